// SPDX-License-Identifier: AGPL-3.0-only
import { type AuthTokenPair } from '~/generated/graphql';

/*
 * With Clerk on, a tab works with the tokens of its own exchange, and with none before it. The cookie, which all tabs
 * share, is not asked: it may be from a session that ended, or from a tab in which another organisation is active.
 */
let kept: { tokenPair: AuthTokenPair | undefined } | null = null;

export const startKeepingClerkTokenPair = () => {
  kept = kept ?? { tokenPair: undefined };
};

export const keepClerkTokenPair = (tokenPair: AuthTokenPair | null) => {
  if (kept !== null) {
    kept = { tokenPair: tokenPair ?? undefined };
  }
};

/* Whether Clerk signs people in. Certain for everything below ClerkProvider, which is not mounted before it is known. */
export const isClerkOn = () => kept !== null;

/* Null: Clerk is off, or it is not known yet. */
export const readClerkTokenPair = () => kept;
