// SPDX-License-Identifier: AGPL-3.0-only
import { type ClerkSessionState } from '@/auth/clerk/clerkSessionTypes';
import {
  type ClerkPageAction,
  describeClerkSession,
} from '@/auth/clerk/describeClerkSession';
import { ClerkButton } from '@/auth/components/ClerkButton';
import { ClerkPageFrame } from '@/auth/components/ClerkPageFrame';
import { useClerkAuth } from '@/auth/hooks/useClerkAuth';
import styled from '@emotion/styled';
import { Loader } from 'twenty-ui/feedback';

const StyledProgress = styled.div`
  margin-top: ${({ theme }) => theme.spacing(6)};
`;

const StyledSteps = styled.ol`
  color: ${({ theme }) => theme.font.color.primary};
  list-style: none;
  margin: ${({ theme }) => theme.spacing(6)} 0 0;
  padding: 0;
`;

const StyledStep = styled.li<{ isReached: boolean }>`
  display: flex;
  gap: ${({ theme }) => theme.spacing(2)};
  opacity: ${({ isReached }) => (isReached ? 1 : 0.5)};

  &[aria-current='step'] {
    font-weight: ${({ theme }) => theme.font.weight.medium};
  }
`;

const StyledActions = styled.div`
  display: flex;
  flex-direction: column;
  gap: ${({ theme }) => theme.spacing(2)};
  margin-top: ${({ theme }) => theme.spacing(6)};
  max-width: 280px;
  width: 100%;
`;

type ClerkStatusPageProps = {
  state: ClerkSessionState;
};

/* What stands in the CRM's place while a sign-in is checked, waited for, refused or ended. */
export const ClerkStatusPage = ({ state }: ClerkStatusPageProps) => {
  const { retry, signOut, chooseOrganization } = useClerkAuth();
  const { title, text, isProblem, actions, steps } =
    describeClerkSession(state);
  const isPassing = !isProblem && actions.length === 0;

  const handlers: Record<ClerkPageAction, () => void> = {
    retry,
    'sign-out': signOut,
    'choose-organization': chooseOrganization,
  };

  return (
    <ClerkPageFrame
      title={title}
      text={text}
      isProblem={isProblem}
      isPatient={isPassing}
      isRaised={!isPassing}
    >
      {!isProblem && (
        <StyledProgress>
          <Loader />
        </StyledProgress>
      )}
      {steps !== undefined && (
        <StyledSteps>
          {steps.map(({ label, progress }) => (
            <StyledStep
              key={label}
              isReached={progress !== 'to-do'}
              aria-current={progress === 'current' ? 'step' : undefined}
            >
              <span aria-hidden>{progress === 'done' ? '✓' : '·'}</span>
              {label}
            </StyledStep>
          ))}
        </StyledSteps>
      )}
      {actions.length > 0 && (
        <StyledActions>
          {actions.map(({ action, label }, index) => (
            <ClerkButton
              key={action}
              title={label}
              variant={index === 0 && isProblem ? 'primary' : 'secondary'}
              onClick={handlers[action]}
            />
          ))}
        </StyledActions>
      )}
    </ClerkPageFrame>
  );
};
