import styled from '@emotion/styled';
import { MainButton } from 'twenty-ui/input';

/* Twenty's button, with a frame when the keyboard is on it. */
export const ClerkButton = styled(MainButton)`
  &:focus-visible {
    outline: 2px solid ${({ theme }) => theme.color.blue};
    outline-offset: 2px;
  }
`;
