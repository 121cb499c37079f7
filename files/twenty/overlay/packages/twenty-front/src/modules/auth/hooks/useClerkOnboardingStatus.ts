import { useClerkAuth } from '@/auth/hooks/useClerkAuth';
import { OnboardingStatus } from '~/generated/graphql';

/* Clerk invites people: with it on, the step that invites a team is over before it begins. */
export const useClerkOnboardingStatus = <T>(onboardingStatus: T) => {
  const { isClerkOn } = useClerkAuth();

  return isClerkOn && onboardingStatus === OnboardingStatus.INVITE_TEAM
    ? OnboardingStatus.COMPLETED
    : onboardingStatus;
};
