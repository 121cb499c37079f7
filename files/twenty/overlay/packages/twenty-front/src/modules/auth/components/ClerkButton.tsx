// SPDX-License-Identifier: AGPL-3.0-only
import styled from '@emotion/styled';
import { MainButton } from 'twenty-ui/input';

const StyledButton = styled(MainButton)`
  &:focus-visible {
    outline: 2px solid ${({ theme }) => theme.color.blue};
    outline-offset: 2px;
  }
`;

type ClerkButtonProps = {
  title: string;
  onClick: () => void;
  variant?: 'primary' | 'secondary';
};

/* Twenty's button over the whole width, with a frame when the keyboard is on it. */
export const ClerkButton = ({
  title,
  onClick,
  variant = 'secondary',
}: ClerkButtonProps) => (
  <StyledButton
    title={title}
    onClick={onClick}
    variant={variant}
    type="button"
    fullWidth
  />
);
