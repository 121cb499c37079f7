// SPDX-License-Identifier: AGPL-3.0-only
import { useSourceCodeUrl } from '@/auth/hooks/useSourceCodeUrl';
import styled from '@emotion/styled';
import { isDefined } from 'twenty-shared/utils';

const StyledLink = styled.a`
  color: ${({ theme }) => theme.font.color.tertiary};

  &:focus-visible {
    outline: 2px solid ${({ theme }) => theme.color.blue};
  }
`;

/* The AGPL's offer of what runs here, patchset included. Nothing, when the operator set no address. */
export const SourceCodeLink = () => {
  const sourceCodeUrl = useSourceCodeUrl();

  return isDefined(sourceCodeUrl) ? (
    <StyledLink href={sourceCodeUrl} target="_blank" rel="noreferrer">
      Source code
    </StyledLink>
  ) : null;
};
