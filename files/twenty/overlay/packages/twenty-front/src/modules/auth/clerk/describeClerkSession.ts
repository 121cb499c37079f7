// SPDX-License-Identifier: AGPL-3.0-only
import {
  CLERK_SETUP_STEPS,
  type ClerkSessionState,
  type ClerkSetupStep,
  type ClerkStopReason,
  type ClerkWaitSeries,
} from './clerkSessionTypes';

export type ClerkPageAction = 'retry' | 'choose-organization' | 'sign-out';

export type ClerkPageDescription = {
  title: string;
  text: string;
  isProblem: boolean;
  actions: { action: ClerkPageAction; label: string }[];
  /* What is made one after the other, where the page waits for that. */
  steps?: { label: string; progress: 'done' | 'current' | 'to-do' }[];
};

const TRY_AGAIN = { action: 'retry', label: 'Try again' } as const;
const SIGN_OUT = { action: 'sign-out', label: 'Sign out' } as const;
const OTHER_ORGANIZATION = {
  action: 'choose-organization',
  label: 'Use another organization',
} as const;

const STOPPED: Record<
  ClerkStopReason,
  Omit<ClerkPageDescription, 'isProblem'>
> = {
  'workspace-provisioning': {
    title: 'Your workspace is not ready yet',
    text: 'Setting it up takes longer than it should. Try again in a few minutes. If it stays like this, tell whoever runs this CRM.',
    actions: [TRY_AGAIN, OTHER_ORGANIZATION, SIGN_OUT],
  },
  'no-room': {
    title: 'There is no room for another workspace yet',
    text: 'This CRM has as many workspaces as it can serve. Yours is made as soon as there is a place: come back later, or ask whoever runs this CRM.',
    actions: [TRY_AGAIN, OTHER_ORGANIZATION, SIGN_OUT],
  },
  'too-many-organizations': {
    title: 'This organization gets no workspace yet',
    text: 'Whoever created it has as many workspaces as one person may have here. Use one of those, or ask whoever runs this CRM for another.',
    actions: [TRY_AGAIN, OTHER_ORGANIZATION, SIGN_OUT],
  },
  'not-a-member': {
    title: 'You are not a member of this workspace',
    text: 'Your organization has a workspace here, and you are not in it. If you were added just now, try again in a minute; otherwise ask an administrator of your organization.',
    actions: [TRY_AGAIN, OTHER_ORGANIZATION, SIGN_OUT],
  },
  suspended: {
    title: 'This workspace is suspended',
    text: 'Nothing was deleted. An administrator of your organization can tell why, and whoever runs this CRM can lift it.',
    actions: [TRY_AGAIN, OTHER_ORGANIZATION, SIGN_OUT],
  },
  banned: {
    title: 'You cannot use this CRM',
    text: 'Your account was closed to you. An administrator of your organization, or whoever runs this CRM, can tell why.',
    actions: [SIGN_OUT],
  },
  locked: {
    title: 'Your account is locked for a while',
    text: 'There were too many wrong codes or passwords. Nothing was deleted. Try again later; if it was not you, tell an administrator of your organization.',
    actions: [TRY_AGAIN, SIGN_OUT],
  },
  refused: {
    title: 'Your sign-in was not accepted',
    text: 'The CRM could not confirm who you are. Sign in again. If it happens once more, the clock of this device may be wrong, or the CRM and its sign-in service do not fit together: tell whoever runs this CRM.',
    actions: [{ action: 'retry', label: 'Sign in again' }],
  },
  unavailable: {
    title: 'The CRM does not answer',
    text: 'You are signed in, but your workspace cannot be opened right now. Check your connection and try again.',
    actions: [TRY_AGAIN, SIGN_OUT],
  },
  'clerk-unreachable': {
    title: 'The sign-in service cannot be reached',
    text: 'Check your connection. A content blocker, a firewall or a wrong publishable key can also be the cause.',
    actions: [TRY_AGAIN],
  },
  'redirect-loop': {
    title: 'Signing in does not work in this browser',
    text: 'You were sent to sign-in several times and came back without a session. Allow cookies for this site, then try again.',
    actions: [TRY_AGAIN],
  },
  'restart-loop': {
    title: 'Your session ends again and again',
    text: 'The CRM accepted your sign-in and then refused it. Try again in a minute. If it stays like this, tell whoever runs this CRM.',
    actions: [TRY_AGAIN, SIGN_OUT],
  },
  'address-loop': {
    title: 'Your workspace has another address',
    text: 'This page was sent there and came back. Tell whoever runs this CRM: the addresses of the workspaces do not fit to the one that this page was opened at.',
    actions: [TRY_AGAIN, OTHER_ORGANIZATION, SIGN_OUT],
  },
  'sign-out-failed': {
    title: 'You are not signed out completely',
    text: 'You have left the CRM, but the sign-in service could not be reached: whoever uses this browser next might still get in. Try again.',
    actions: [{ action: 'retry', label: 'Sign out again' }],
  },
};

const LEAVING = {
  'sign-out': 'Signing out',
  refused: 'Signing in again',
  switch: 'Switching organization',
  restart: 'One moment',
  move: 'Taking you to your workspace',
} as const;

const inProgress = (title: string, text = ''): ClerkPageDescription => ({
  title,
  text,
  isProblem: false,
  actions: [],
});

const SETUP_STEPS: Record<ClerkSetupStep, string> = {
  announced: 'Hearing of your organization',
  workspace: 'Making the workspace',
  'data-model': 'Adding objects and fields',
};

/* After this (ms) a person reads what to do. */
export const LONGER_THAN_USUAL_MS = 120_000;

const settingUp = ({
  step,
  startedAt,
  askedAt,
}: ClerkWaitSeries): ClerkPageDescription => {
  const place = step === undefined ? -1 : CLERK_SETUP_STEPS.indexOf(step);

  return {
    ...inProgress(
      'Setting up your workspace',
      askedAt - startedAt < LONGER_THAN_USUAL_MS
        ? 'This takes a few seconds, and some minutes when many are made at once. The page goes on by itself.'
        : 'It takes longer than usual; nothing is lost. You can close this page and come back later. If it is not ready in ten minutes, tell whoever runs this CRM.',
    ),
    actions: [OTHER_ORGANIZATION, SIGN_OUT],
    ...(place === -1
      ? {}
      : {
          steps: CLERK_SETUP_STEPS.map((known, index) => ({
            label: SETUP_STEPS[known],
            progress:
              index < place ? 'done' : index === place ? 'current' : 'to-do',
          })),
        }),
  };
};

/* What a person reads while the CRM is not open. */
export const describeClerkSession = (
  state: ClerkSessionState,
): ClerkPageDescription => {
  switch (state.phase) {
    case 'checking':
      return inProgress('Checking your sign-in');
    case 'redirecting':
      return inProgress('Taking you to sign-in');
    case 'exchanging':
    case 'waiting':
      if (state.series?.reason === 'workspace-provisioning') {
        return settingUp(state.series);
      }
      switch (state.series?.reason) {
        case 'no-room':
          return {
            ...inProgress(
              'Waiting for a place',
              'This CRM has as many workspaces as it can serve. Yours is next in the line when a place is free; the page goes on by itself, and you can come back later.',
            ),
            actions: [OTHER_ORGANIZATION, SIGN_OUT],
          };
        case 'too-many-organizations':
          return {
            ...inProgress(
              'Waiting for permission',
              'Whoever created this organization has as many workspaces as one person may have here. Use one of those, or ask whoever runs this CRM for another.',
            ),
            actions: [OTHER_ORGANIZATION, SIGN_OUT],
          };
        case 'not-a-member':
          return {
            ...inProgress(
              'Adding you to the workspace',
              'This takes a few seconds. The page goes on by itself.',
            ),
            actions: [OTHER_ORGANIZATION, SIGN_OUT],
          };
        case 'unavailable':
          return {
            ...inProgress(
              'The CRM is busy',
              'It is asked again in a moment. The page goes on by itself.',
            ),
            actions: [TRY_AGAIN, SIGN_OUT],
          };
        default:
          return inProgress('Opening your workspace');
      }
    case 'organization':
      return inProgress('Choose an organization');
    case 'opening':
    case 'open':
      return inProgress('Opening your workspace');
    case 'leaving':
      return inProgress(LEAVING[state.reason]);
    case 'stopped':
      return { ...STOPPED[state.reason], isProblem: true };
  }
};
