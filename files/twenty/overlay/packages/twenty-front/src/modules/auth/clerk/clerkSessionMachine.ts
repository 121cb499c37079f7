// SPDX-License-Identifier: AGPL-3.0-only
import type {
  ClerkExchangeAnswer,
  ClerkIdentity,
  ClerkLoopMemory,
  ClerkSessionCommand,
  ClerkSessionEvent,
  ClerkSessionState,
  ClerkSessionStep,
  ClerkSetupStep,
  ClerkStopReason,
  ClerkWaitReason,
  ClerkWaitSeries,
} from './clerkSessionTypes';

/* How long each wait goes on before a person is asked, in ms. */
export const CLERK_WAIT_LIMITS: Record<ClerkWaitReason, number> = {
  // A burst of organizations is made one after the other.
  'workspace-provisioning': 600_000,
  'no-room': 1_800_000,
  'too-many-organizations': 1_800_000,
  'not-a-member': 45_000,
  unavailable: 120_000,
};

/* How often something may happen within a time (ms) before it counts as a circle. */
export const CLERK_LOOP_LIMITS: Record<
  keyof ClerkLoopMemory,
  { times: number; withinMs: number }
> = {
  redirects: { times: 4, withinMs: 30_000 },
  refusals: { times: 1, withinMs: 600_000 },
  restarts: { times: 2, withinMs: 60_000 },
  moves: { times: 3, withinMs: 60_000 },
};

export const EMPTY_CLERK_LOOP_MEMORY: ClerkLoopMemory = {
  redirects: [],
  refusals: [],
  restarts: [],
  moves: [],
};

export const INITIAL_CLERK_SESSION_STATE: ClerkSessionState = {
  phase: 'checking',
};

const FIRST_DELAY_MS = 1_000;
const LONGEST_DELAY_MS = 10_000;
const LONGEST_ASKED_DELAY_MS = 60_000;
/* A place becomes free when somebody else leaves, or the operator makes room: not in seconds. */
const PLACE_DELAY_S = 30;
/* A workspace is most often made within seconds: a person does not wait longer for the next question than for the workspace. */
const SOON_READY_MS = 30_000;
const SOON_READY_DELAY_MS = 2_000;

/* Back-off that doubles by halves, ten seconds at most; up to a fifth more or less, so that many pages do not ask at once. */
export const getClerkRetryDelay = (
  attempt: number,
  random: number,
  retryAfterSeconds: number | null,
): number => {
  if (retryAfterSeconds !== null) {
    const asked = Math.max(retryAfterSeconds * 1_000, FIRST_DELAY_MS);

    return Math.round(
      Math.min(asked, LONGEST_ASKED_DELAY_MS) + random * FIRST_DELAY_MS,
    );
  }

  const grown = Math.min(
    FIRST_DELAY_MS * 1.5 ** Math.max(attempt - 1, 0),
    LONGEST_DELAY_MS,
  );

  return Math.round(grown * (0.8 + 0.4 * random));
};

export const isSameClerkIdentity = (
  one: ClerkIdentity,
  other: ClerkIdentity,
): boolean =>
  one.userId === other.userId && one.organizationId === other.organizationId;

type Surroundings = {
  now: number;
  random: number;
  memory: ClerkLoopMemory;
};

const stay = (
  state: ClerkSessionState,
  { memory }: Surroundings,
): ClerkSessionStep => ({ state, commands: [], memory });

const stop = (
  reason: ClerkStopReason,
  identity: ClerkIdentity | null,
  { memory }: Surroundings,
  commands: ClerkSessionCommand[] = [],
): ClerkSessionStep => ({
  state: { phase: 'stopped', identity, reason },
  commands,
  memory,
});

/* Notes that it happens once more. Null: it happened too often already. */
const countOnceMore = (
  kind: keyof ClerkLoopMemory,
  { memory, now }: Surroundings,
): ClerkLoopMemory | null => {
  const { times, withinMs } = CLERK_LOOP_LIMITS[kind];
  const lately = memory[kind].filter(
    (moment) => moment <= now && now - moment < withinMs,
  );

  return lately.length >= times
    ? null
    : { ...memory, [kind]: [...lately, now] };
};

const goToClerk = (around: Surroundings): ClerkSessionStep => {
  const memory = countOnceMore('redirects', around);

  if (memory === null) {
    return stop('redirect-loop', null, around, [{ type: 'forget' }]);
  }

  return {
    state: { phase: 'redirecting' },
    commands: [{ type: 'forget' }, { type: 'redirect-to-clerk' }],
    memory,
  };
};

const exchange = (
  identity: ClerkIdentity,
  isTokenFresh: boolean,
  series: ClerkWaitSeries | null,
  { memory }: Surroundings,
): ClerkSessionStep => ({
  state: { phase: 'exchanging', identity, isTokenFresh, series },
  commands: [{ type: 'exchange', identity, isTokenFresh }],
  memory,
});

const beginWith = (
  identity: ClerkIdentity,
  around: Surroundings,
): ClerkSessionStep =>
  identity.organizationId === null
    ? {
        state: { phase: 'organization', identity, mode: 'needed' },
        commands: [],
        memory: around.memory,
      }
    : exchange(identity, false, null, around);

const waitFor = (
  reason: ClerkWaitReason,
  retryAfterSeconds: number | null,
  state: Extract<ClerkSessionState, { phase: 'exchanging' }>,
  around: Surroundings,
  step?: ClerkSetupStep,
): ClerkSessionStep => {
  const isSame = state.series?.reason === reason;
  const series: ClerkWaitSeries = {
    reason,
    attempt: isSame ? (state.series?.attempt ?? 0) + 1 : 1,
    startedAt: isSame ? (state.series?.startedAt ?? 0) : around.now,
    askedAt: around.now,
    ...(step === undefined ? {} : { step }),
  };

  if (around.now - series.startedAt >= CLERK_WAIT_LIMITS[reason]) {
    return stop(reason, state.identity, around);
  }

  const delayMs = Math.min(
    getClerkRetryDelay(series.attempt, around.random, retryAfterSeconds),
    reason === 'workspace-provisioning' &&
      around.now - series.startedAt < SOON_READY_MS
      ? Math.round(SOON_READY_DELAY_MS * (0.8 + 0.4 * around.random))
      : Infinity,
  );

  return {
    state: { phase: 'waiting', identity: state.identity, series },
    // not let in: what an earlier session left in the browser goes
    commands:
      reason === 'not-a-member' && series.attempt === 1
        ? [{ type: 'forget' }, { type: 'schedule', delayMs }]
        : [{ type: 'schedule', delayMs }],
    memory: around.memory,
  };
};

const takeAnswer = (
  state: Extract<ClerkSessionState, { phase: 'exchanging' }>,
  answer: ClerkExchangeAnswer,
  around: Surroundings,
): ClerkSessionStep => {
  const { identity, isTokenFresh, series } = state;
  const onceMoreWithFreshToken = () => exchange(identity, true, series, around);

  switch (answer.kind) {
    case 'signed-in': {
      const { session } = answer;

      // A token from before a switch names another organisation: its workspace must not open here.
      if (
        session.organizationId !== identity.organizationId ||
        session.clerkUserId !== identity.userId
      ) {
        return isTokenFresh
          ? stop('refused', identity, around)
          : onceMoreWithFreshToken();
      }

      return {
        state: { phase: 'opening', identity, session },
        commands: [{ type: 'hand-over', session }],
        memory: { ...around.memory, redirects: [], refusals: [] },
      };
    }
    case 'no-organization':
      return isTokenFresh
        ? {
            state: {
              phase: 'organization',
              identity,
              mode: identity.organizationId === null ? 'needed' : 'other',
            },
            commands: [],
            memory: around.memory,
          }
        : onceMoreWithFreshToken();
    case 'workspace-provisioning':
      return answer.waitingFor === undefined
        ? waitFor(answer.kind, null, state, around, answer.step)
        : waitFor(answer.waitingFor, PLACE_DELAY_S, state, around);
    case 'not-a-member':
      return waitFor(answer.kind, null, state, around);
    case 'unavailable':
      return waitFor('unavailable', answer.retryAfterSeconds, state, around);
    case 'suspended':
    case 'banned':
    case 'locked':
      return stop(answer.kind, identity, around, [{ type: 'forget' }]);
    case 'session-ended': {
      // Clerk's page would come back with the same session: it ends there first. Once more than a few times is a circle.
      const memory = countOnceMore('restarts', around);

      return memory === null
        ? stop('refused', identity, around, [{ type: 'forget' }])
        : {
            state: { phase: 'leaving', reason: 'refused' },
            commands: [{ type: 'forget' }, { type: 'sign-out-of-clerk' }],
            memory,
          };
    }
    case 'elsewhere': {
      // A token from before a switch would lead to the last organisation's address.
      if (!isTokenFresh) {
        return onceMoreWithFreshToken();
      }

      // Two addresses that send to each other, or one to itself, are a circle.
      const memory = countOnceMore('moves', around);

      return memory === null
        ? stop('address-loop', identity, around)
        : {
            state: { phase: 'leaving', reason: 'move' },
            commands: [{ type: 'move', home: answer.home }],
            memory,
          };
    }
    case 'unauthorized': {
      if (!isTokenFresh) {
        return onceMoreWithFreshToken();
      }

      const memory = countOnceMore('refusals', around);

      return memory === null
        ? stop('refused', identity, around, [{ type: 'forget' }])
        : {
            state: { phase: 'leaving', reason: 'refused' },
            commands: [{ type: 'forget' }, { type: 'sign-out-of-clerk' }],
            memory,
          };
    }
  }
};

const takeSignedOut = (
  state: ClerkSessionState,
  around: Surroundings,
): ClerkSessionStep => {
  if (state.phase === 'redirecting') {
    return stay(state, around);
  }

  if (state.phase === 'stopped' && state.reason === 'redirect-loop') {
    return stay(state, around);
  }

  if (
    (state.phase === 'leaving' && state.reason === 'sign-out') ||
    (state.phase === 'stopped' && state.reason === 'sign-out-failed')
  ) {
    return {
      state: { phase: 'leaving', reason: 'restart' },
      commands: [{ type: 'restart', at: 'home' }],
      memory: around.memory,
    };
  }

  if (state.phase === 'leaving' && state.reason !== 'refused') {
    return stay(state, around); // the page is being loaded anew, and looks again
  }

  return goToClerk(around);
};

const takeSignedIn = (
  state: ClerkSessionState,
  identity: ClerkIdentity,
  around: Surroundings,
): ClerkSessionStep => {
  switch (state.phase) {
    case 'checking':
    case 'redirecting':
      return beginWith(identity, around);
    case 'exchanging':
    case 'waiting':
      return isSameClerkIdentity(state.identity, identity)
        ? stay(state, around)
        : beginWith(identity, around);
    case 'stopped': {
      const isAboutThisPerson =
        state.identity !== null &&
        isSameClerkIdentity(state.identity, identity);

      return isAboutThisPerson || state.reason === 'sign-out-failed'
        ? stay(state, around)
        : beginWith(identity, around);
    }
    case 'organization':
      if (isSameClerkIdentity(state.identity, identity)) {
        return stay(state, around);
      }

      return state.mode === 'switching'
        ? leaveForSwitch(around)
        : beginWith(identity, around);
    case 'opening':
    case 'open':
      return isSameClerkIdentity(state.identity, identity)
        ? stay(state, around)
        : leaveForSwitch(around);
    case 'leaving':
      return stay(state, around);
  }
};

// Another person or organisation: nothing of the last one may remain in memory, so the page starts anew.
const leaveForSwitch = ({ memory }: Surroundings): ClerkSessionStep => ({
  state: { phase: 'leaving', reason: 'switch' },
  commands: [{ type: 'forget' }, { type: 'restart', at: 'home' }],
  memory,
});

const retry = (
  state: ClerkSessionState,
  around: Surroundings,
): ClerkSessionStep => {
  if (state.phase === 'waiting') {
    return exchange(state.identity, false, state.series, around);
  }

  if (state.phase !== 'stopped') {
    return stay(state, around);
  }

  switch (state.reason) {
    case 'clerk-unreachable':
    case 'restart-loop':
    case 'address-loop':
      return {
        state: { phase: 'leaving', reason: 'restart' },
        commands: [{ type: 'restart', at: 'here' }],
        memory: { ...around.memory, restarts: [], moves: [] },
      };
    case 'redirect-loop':
      return goToClerk({
        ...around,
        memory: { ...around.memory, redirects: [] },
      });
    case 'refused':
      return {
        state: { phase: 'leaving', reason: 'refused' },
        commands: [{ type: 'forget' }, { type: 'sign-out-of-clerk' }],
        memory: around.memory,
      };
    case 'sign-out-failed':
      return {
        state: { phase: 'leaving', reason: 'sign-out' },
        commands: [{ type: 'sign-out-of-clerk' }],
        memory: around.memory,
      };
    default:
      return state.identity === null
        ? goToClerk(around)
        : exchange(state.identity, true, null, around);
  }
};

/* The whole of the decisions: what is, and what happened, give what will be and what to do. */
export const advanceClerkSession = (
  state: ClerkSessionState,
  event: ClerkSessionEvent,
  around: Surroundings,
): ClerkSessionStep => {
  switch (event.type) {
    case 'clerk':
      if (event.report.kind === 'signed-in') {
        return takeSignedIn(state, event.report.identity, around);
      }
      if (event.report.kind === 'signed-out') {
        return takeSignedOut(state, around);
      }

      return state.phase === 'checking' || state.phase === 'redirecting'
        ? stop('clerk-unreachable', null, around)
        : stay(state, around);
    case 'answer':
      return state.phase === 'exchanging' &&
        isSameClerkIdentity(state.identity, event.identity)
        ? takeAnswer(state, event.answer, around)
        : stay(state, around);
    case 'tick':
      return state.phase === 'waiting'
        ? exchange(state.identity, false, state.series, around)
        : stay(state, around);
    case 'handed-over':
      return state.phase === 'opening'
        ? { ...stay(state, around), state: { ...state, phase: 'open' } }
        : stay(state, around);
    case 'session-lost': {
      if (state.phase !== 'open') {
        return stay(state, around);
      }

      const memory = countOnceMore('restarts', around);

      return memory === null
        ? stop('restart-loop', state.identity, around, [{ type: 'forget' }])
        : {
            state: { phase: 'leaving', reason: 'restart' },
            commands: [{ type: 'forget' }, { type: 'restart', at: 'here' }],
            memory,
          };
    }
    case 'retry':
      return retry(state, around);
    case 'sign-out':
      return {
        state: { phase: 'leaving', reason: 'sign-out' },
        commands: [{ type: 'forget' }, { type: 'sign-out-of-clerk' }],
        memory: around.memory,
      };
    case 'sign-out-failed':
      return state.phase === 'leaving' && state.reason !== 'switch'
        ? stop('sign-out-failed', null, around)
        : stay(state, around);
    case 'choose-organization':
      return state.phase === 'open' ||
        state.phase === 'stopped' ||
        state.phase === 'waiting' ||
        state.phase === 'exchanging'
        ? chooseOrganization(state, around)
        : stay(state, around);
    case 'keep-organization':
      return state.phase === 'organization' && state.mode !== 'needed'
        ? {
            state: { phase: 'leaving', reason: 'restart' },
            commands: [{ type: 'restart', at: 'here' }],
            memory: around.memory,
          }
        : stay(state, around);
  }
};

const chooseOrganization = (
  state: Extract<
    ClerkSessionState,
    { phase: 'open' | 'stopped' | 'waiting' | 'exchanging' }
  >,
  around: Surroundings,
): ClerkSessionStep =>
  state.identity === null
    ? stay(state, around)
    : {
        state: {
          phase: 'organization',
          identity: state.identity,
          mode: state.phase === 'open' ? 'switching' : 'other',
        },
        commands: [],
        memory: around.memory,
      };
