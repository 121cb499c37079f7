// SPDX-License-Identifier: AGPL-3.0-only
/* What the pieces of Clerk sign-in say to each other. No imports of Twenty's: the tests run these files by themselves. */

export type ClerkIdentity = {
  userId: string;
  sessionId: string;
  organizationId: string | null;
};

export type ClerkReport =
  | { kind: 'unreachable' }
  | { kind: 'signed-out' }
  | { kind: 'signed-in'; identity: ClerkIdentity };

export type ClerkToken = { token: string; expiresAt: string };

export type ClerkTokenPair = {
  accessOrWorkspaceAgnosticToken: ClerkToken;
  refreshToken: ClerkToken;
};

export type ClerkExchangedSession = {
  workspaceId: string;
  userId: string;
  clerkUserId: string;
  organizationId: string;
  tokens: ClerkTokenPair;
};

/* Why a workspace is not made yet, when it is not just being made; the server's words. */
export const CLERK_WORKSPACE_WAITS = [
  'no-room',
  'too-many-organizations',
] as const;

export type ClerkWorkspaceWait = (typeof CLERK_WORKSPACE_WAITS)[number];

/* How far a workspace is that is just being made, in this order; the server's words. */
export const CLERK_SETUP_STEPS = [
  'announced',
  'workspace',
  'data-model',
] as const;

export type ClerkSetupStep = (typeof CLERK_SETUP_STEPS)[number];

export type ClerkExchangeAnswer =
  | { kind: 'signed-in'; session: ClerkExchangedSession }
  | { kind: 'no-organization' }
  | {
      kind: 'workspace-provisioning';
      waitingFor?: ClerkWorkspaceWait;
      step?: ClerkSetupStep;
    }
  | { kind: 'not-a-member' }
  | { kind: 'suspended' }
  /* What Clerk says of the person: not let in for now (locked), or until somebody takes it back (banned). */
  | { kind: 'banned' }
  | { kind: 'locked' }
  /* Clerk's session is over, for the CRM at least: a new one is needed. */
  | { kind: 'session-ended' }
  /* The workspace has an address of its own, and this page is not there: an origin. */
  | { kind: 'elsewhere'; home: string }
  | { kind: 'unauthorized' }
  | { kind: 'unavailable'; retryAfterSeconds: number | null };

export type ClerkWaitReason =
  | 'workspace-provisioning'
  | ClerkWorkspaceWait
  | 'not-a-member'
  | 'unavailable';

export type ClerkStopReason =
  | ClerkWaitReason
  | 'suspended'
  | 'banned'
  | 'locked'
  | 'refused'
  | 'clerk-unreachable'
  | 'redirect-loop'
  | 'restart-loop'
  | 'address-loop'
  | 'sign-out-failed';

/* Requests for the same thing in a row: how many there were, since when. */
export type ClerkWaitSeries = {
  reason: ClerkWaitReason;
  attempt: number;
  startedAt: number;
  /* When the last answer came. */
  askedAt: number;
  step?: ClerkSetupStep;
};

export type ClerkSessionState =
  | { phase: 'checking' }
  | { phase: 'redirecting' }
  | {
      phase: 'exchanging';
      identity: ClerkIdentity;
      isTokenFresh: boolean;
      series: ClerkWaitSeries | null;
    }
  | { phase: 'waiting'; identity: ClerkIdentity; series: ClerkWaitSeries }
  | {
      phase: 'organization';
      identity: ClerkIdentity;
      /* Without one; another one than the one whose workspace cannot be opened; another one than the open one. */
      mode: 'needed' | 'other' | 'switching';
    }
  | {
      phase: 'stopped';
      identity: ClerkIdentity | null;
      reason: ClerkStopReason;
    }
  | {
      phase: 'opening';
      identity: ClerkIdentity;
      session: ClerkExchangedSession;
    }
  | { phase: 'open'; identity: ClerkIdentity; session: ClerkExchangedSession }
  | {
      phase: 'leaving';
      reason: 'sign-out' | 'refused' | 'switch' | 'restart' | 'move';
    };

export type ClerkSessionEvent =
  | { type: 'clerk'; report: ClerkReport }
  | { type: 'answer'; identity: ClerkIdentity; answer: ClerkExchangeAnswer }
  | { type: 'tick' }
  | { type: 'handed-over' }
  | { type: 'session-lost' }
  | { type: 'retry' }
  | { type: 'sign-out' }
  | { type: 'sign-out-failed' }
  | { type: 'choose-organization' }
  | { type: 'keep-organization' };

export type ClerkSessionCommand =
  | { type: 'redirect-to-clerk' }
  | { type: 'exchange'; identity: ClerkIdentity; isTokenFresh: boolean }
  | { type: 'schedule'; delayMs: number }
  | { type: 'hand-over'; session: ClerkExchangedSession }
  | { type: 'forget' }
  | { type: 'sign-out-of-clerk' }
  | { type: 'restart'; at: 'home' | 'here' }
  | { type: 'move'; home: string };

/* When it happened lately, in this tab and across its page loads: what keeps circles from being endless. */
export type ClerkLoopMemory = {
  redirects: number[];
  refusals: number[];
  restarts: number[];
  moves: number[];
};

export type ClerkSessionStep = {
  state: ClerkSessionState;
  commands: ClerkSessionCommand[];
  memory: ClerkLoopMemory;
};
