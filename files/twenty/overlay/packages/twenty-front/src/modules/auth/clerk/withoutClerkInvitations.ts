// SPDX-License-Identifier: AGPL-3.0-only
import { isClerkOn } from '@/auth/clerk/clerkTokenPair';
import { OnboardingStatus } from '~/generated/graphql';

/* Clerk invites people: with it on, the step that invites a team is over before it begins. */
export const withoutClerkInvitations = <T>(onboardingStatus: T) =>
  isClerkOn() && onboardingStatus === OnboardingStatus.INVITE_TEAM
    ? OnboardingStatus.COMPLETED
    : onboardingStatus;
