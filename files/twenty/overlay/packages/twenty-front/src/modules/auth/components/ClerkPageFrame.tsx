// SPDX-License-Identifier: AGPL-3.0-only
import { SourceCodeLink } from '@/auth/components/SourceCodeLink';
import { useSystemColorScheme } from '@/ui/theme/hooks/useSystemColorScheme';
import { persistedColorSchemeState } from '@/ui/theme/states/persistedColorSchemeState';
import { css, Global, keyframes, ThemeProvider } from '@emotion/react';
import styled from '@emotion/styled';
import { useEffect, useRef } from 'react';
import { useRecoilValue } from 'recoil';
import {
  MOBILE_VIEWPORT,
  THEME_DARK,
  THEME_LIGHT,
  ThemeContextProvider,
} from 'twenty-ui/theme';

const StyledPage = styled.main`
  align-items: center;
  background: ${({ theme }) => theme.background.noisy};
  box-sizing: border-box;
  display: flex;
  flex-direction: column;
  font-family: ${({ theme }) => theme.font.family};
  justify-content: center;
  min-height: 100dvh;
  padding: ${({ theme }) => theme.spacing(4)};
  width: 100%;
`;

const StyledCard = styled.div<{ isRaised: boolean }>`
  align-items: center;
  background: ${({ theme, isRaised }) =>
    isRaised ? theme.background.primary : 'transparent'};
  border-radius: ${({ theme }) => theme.border.radius.md};
  box-shadow: ${({ theme, isRaised }) =>
    isRaised ? theme.boxShadow.strong : 'none'};
  box-sizing: border-box;
  display: flex;
  flex-direction: column;
  max-width: 480px;
  padding: ${({ theme }) => theme.spacing(8)};
  width: 100%;

  @media (max-width: ${MOBILE_VIEWPORT}px) {
    padding: ${({ theme }) => theme.spacing(4)};
  }
`;

const StyledLogo = styled.img`
  height: ${({ theme }) => theme.spacing(12)};
  width: ${({ theme }) => theme.spacing(12)};
`;

const StyledTitle = styled.h1`
  color: ${({ theme }) => theme.font.color.primary};
  font-size: ${({ theme }) => theme.font.size.xl};
  font-weight: ${({ theme }) => theme.font.weight.semiBold};
  margin: ${({ theme }) => theme.spacing(6)} 0 0;
  outline: none;
  text-align: center;
`;

const StyledText = styled.p`
  color: ${({ theme }) => theme.font.color.secondary};
  font-size: ${({ theme }) => theme.font.size.md};
  line-height: ${({ theme }) => theme.text.lineHeight.lg};
  margin: ${({ theme }) => theme.spacing(3)} 0 0;
  text-align: center;
`;

const appear = keyframes`
  from {
    opacity: 0;
  }
  to {
    opacity: 1;
  }
`;

// An ordinary page load passes here in a blink: words show only when it takes longer.
const StyledWords = styled.div<{ isPatient: boolean }>`
  animation: ${({ isPatient }) =>
    isPatient
      ? css`
          ${appear} 200ms ease-out 700ms both
        `
      : 'none'};
  width: 100%;
`;

const StyledFooter = styled.footer`
  font-size: ${({ theme }) => theme.font.size.sm};
  margin-top: ${({ theme }) => theme.spacing(4)};
`;

type ClerkPageFrameProps = React.PropsWithChildren<{
  title: string;
  text: string;
  isProblem?: boolean;
  isPatient?: boolean;
  isRaised?: boolean;
}>;

/* A page of its own, in Twenty's look, for when the CRM is not open: no part of Twenty's interface is mounted with it. */
export const ClerkPageFrame = ({
  title,
  text,
  isProblem = false,
  isPatient = false,
  isRaised = true,
  children,
}: ClerkPageFrameProps) => {
  const persistedColorScheme = useRecoilValue(persistedColorSchemeState);
  const systemColorScheme = useSystemColorScheme();
  const colorScheme =
    persistedColorScheme === 'System'
      ? systemColorScheme
      : persistedColorScheme;
  const theme = colorScheme === 'Dark' ? THEME_DARK : THEME_LIGHT;

  const titleRef = useRef<HTMLHeadingElement>(null);

  useEffect(() => {
    if (isRaised) {
      titleRef.current?.focus();
    }
  }, [isRaised, title]);

  useEffect(() => {
    document.title = title;
  }, [title]);

  return (
    <ThemeProvider theme={theme}>
      <ThemeContextProvider theme={theme}>
        <Global
          styles={css`
            body {
              background: ${theme.background.tertiary};
            }
          `}
        />
        <StyledPage data-testid="clerk-page" aria-busy={!isRaised}>
          <StyledCard isRaised={isRaised}>
            <StyledLogo
              src="/images/icons/android/android-launchericon-192-192.png"
              alt=""
            />
            <StyledWords isPatient={isPatient}>
              <div role={isProblem ? 'alert' : 'status'}>
                <StyledTitle ref={titleRef} tabIndex={-1}>
                  {title}
                </StyledTitle>
                {text !== '' && <StyledText>{text}</StyledText>}
              </div>
            </StyledWords>
            {children}
          </StyledCard>
          {isRaised && (
            <StyledFooter>
              <SourceCodeLink />
            </StyledFooter>
          )}
        </StyledPage>
      </ThemeContextProvider>
    </ThemeProvider>
  );
};
