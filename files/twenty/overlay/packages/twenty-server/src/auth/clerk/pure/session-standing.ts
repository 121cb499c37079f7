// SPDX-License-Identifier: AGPL-3.0-only

// A session in use is asked for at Clerk at most so often, in seconds.
export const CONFIRM_EVERY = 60;
// For so long after Clerk's last good answer a session goes on by itself, in seconds.
export const TRUSTED_FOR = 30 * 60;
// In the place of Clerk's session id, in the tokens of our own tools. Clerk's ids begin with sess_.
export const INSIDE = 'inside';
// Longest life of such a token, in seconds.
export const INSIDE_LIVES = 600;

export type RefusalReason = 'banned' | 'locked' | 'deleted' | 'not-a-member';

// What our store knows of a Clerk session. Times in seconds since 1970.
export type SessionState = {
  clerkUserId: string;
  isOver: boolean;
  confirmedAt: number;
  // Why this person is not let in; null: nothing against them.
  refusedFor: RefusalReason | null;
};

export type TokenOwner =
  | { kind: 'session'; sessionId: string }
  | { kind: 'inside' }
  // Made without Clerk, or before tokens belonged to sessions.
  | { kind: 'nobody' };

const numberOf = (token: object, name: 'iat' | 'exp'): number => {
  const value = (token as Record<string, unknown>)[name];

  return typeof value === 'number' ? value : Number.NaN;
};

// Whose an access or refresh token of Twenty is. Its signature was verified before.
export const ownerOf = (token: object): TokenOwner => {
  const { clerkSessionId } = token as { clerkSessionId?: unknown };

  if (clerkSessionId === INSIDE) {
    // Not a NaN either.
    return numberOf(token, 'exp') - numberOf(token, 'iat') <= INSIDE_LIVES
      ? { kind: 'inside' }
      : { kind: 'nobody' };
  }

  return typeof clerkSessionId === 'string' && clerkSessionId !== ''
    ? { kind: 'session', sessionId: clerkSessionId }
    : { kind: 'nobody' };
};

export type SessionVerdict =
  | { kind: 'good'; isDue: boolean }
  | { kind: 'over' }
  | { kind: 'refused'; reason: RefusalReason }
  // Good when Clerk was last asked, and that is too long ago.
  | { kind: 'unconfirmed' };

// Undefined: a session that the store does not know, or has forgotten.
export const judgeSession = (
  state: SessionState | undefined,
  now: number,
): SessionVerdict => {
  if (state === undefined || state.isOver) {
    return { kind: 'over' };
  }
  if (state.refusedFor !== null) {
    return { kind: 'refused', reason: state.refusedFor };
  }

  const age = now - state.confirmedAt;

  return age > TRUSTED_FOR
    ? { kind: 'unconfirmed' }
    : { kind: 'good', isDue: age >= CONFIRM_EVERY };
};
