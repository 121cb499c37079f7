// SPDX-License-Identifier: AGPL-3.0-only
import {
  readClerkLoopMemory,
  writeClerkLoopMemory,
} from '@/auth/clerk/clerkLoopMemory';
import { type ClerkTokenPair } from '@/auth/clerk/clerkSessionTypes';
import { isClerkOn, keepClerkTokenPair } from '@/auth/clerk/clerkTokenPair';
import { createClerkSessionController } from '@/auth/clerk/createClerkSessionController';
import {
  getClerkHomeAddress,
  getClerkReturnAddress,
} from '@/auth/clerk/getClerkReturnAddress';
import {
  endClerkSession,
  requestClerkSession,
} from '@/auth/clerk/requestClerkSession';
import { isDefined } from 'twenty-shared/utils';
import { REACT_APP_SERVER_BASE_URL } from '~/config';
import { cookieStorage } from '~/utils/cookie-storage';

/* What is needed of Clerk once its script runs. */
export type ClerkHandle = {
  getToken: (isTokenFresh: boolean) => Promise<string | null>;
  redirectToSignIn: (returnAddress: string) => Promise<unknown>;
  signOut: () => Promise<unknown>;
  /* A development instance shares no cookies between addresses: its session goes along in the address itself. */
  carrySessionTo: (address: string) => string;
};

type TokenPairSetter = (tokenPair: ClerkTokenPair | null) => void;

// Clerk's own entries stay: it signs out by itself. So does what is no tenant's: looks and language.
const KEPT_STORAGE_KEYS =
  /^(__?clerk|clerk|persistedColorScheme|locale|twentyops\.)/i;

const SIGN_OUT_TIMEOUT_MS = 15_000;
const END_TIMEOUT_MS = 5_000;

let clerkHandle: ClerkHandle | null = null;
let setTokenPair: TokenPairSetter | null = null;

export const attachClerkHandle = (handle: ClerkHandle) => {
  clerkHandle = handle;
};

export const attachTokenPairSetter = (setter: TokenPairSetter) => {
  setTokenPair = setter;
};

const clearStorage = (storage: Storage) => {
  for (const key of Object.keys(storage)) {
    if (!KEPT_STORAGE_KEYS.test(key)) {
      storage.removeItem(key);
    }
  }
};

const withDeadline = <T>(promise: Promise<T>, timeoutMs: number): Promise<T> =>
  Promise.race([
    promise,
    new Promise<never>((_, reject) =>
      setTimeout(() => reject(new Error('Took too long')), timeoutMs),
    ),
  ]);

export const clerkSession = createClerkSessionController({
  now: () => Date.now(),
  random: () => Math.random(),
  readMemory: () => readClerkLoopMemory(sessionStorage),
  writeMemory: (memory) => writeClerkLoopMemory(sessionStorage, memory),
  schedule: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);

    return () => clearTimeout(timer);
  },
  exchange: async (isTokenFresh) => {
    const sessionToken = await clerkHandle?.getToken(isTokenFresh);

    return isDefined(sessionToken)
      ? requestClerkSession({
          url: `${REACT_APP_SERVER_BASE_URL}/clerk/session`,
          sessionToken,
          fetchFn: (input, init) => fetch(input, init),
        })
      : { kind: 'unavailable', retryAfterSeconds: null };
  },
  redirectToClerk: () => {
    const report = () =>
      clerkSession.send({ type: 'clerk', report: { kind: 'unreachable' } });

    if (!isDefined(clerkHandle)) {
      report();
      return;
    }

    clerkHandle
      .redirectToSignIn(getClerkReturnAddress(window.location.href))
      .catch(report);
  },
  signOutOfClerk: async () => {
    if (!isDefined(clerkHandle)) {
      throw new Error('Clerk is not loaded');
    }

    // First here: afterwards Clerk gives no token to do it with. Whether it works or not, Clerk's session ends; and then ours
    // within seconds, by Clerk's webhook.
    const sessionToken = await withDeadline(
      clerkHandle.getToken(false),
      END_TIMEOUT_MS,
    ).catch(() => null);

    if (isDefined(sessionToken)) {
      await endClerkSession({
        url: `${REACT_APP_SERVER_BASE_URL}/clerk/session`,
        sessionToken,
        fetchFn: (input, init) => fetch(input, init),
        timeoutMs: END_TIMEOUT_MS,
      });
    }

    await withDeadline(clerkHandle.signOut(), SIGN_OUT_TIMEOUT_MS);
  },
  handOver: (session) => {
    keepClerkTokenPair(session.tokens);
    setTokenPair?.(session.tokens);
  },
  forget: () => {
    keepClerkTokenPair(null);
    setTokenPair?.(null);
    // Recoil writes the cookie later; a page that is loaded anew would be gone by then
    cookieStorage.removeItem('tokenPair');
    clearStorage(localStorage);
    clearStorage(sessionStorage);
  },
  restart: (at) => {
    if (at === 'here') {
      window.location.reload();
    } else {
      window.location.replace('/');
    }
  },
  move: (home) => {
    const address = getClerkHomeAddress(window.location.href, home);

    window.location.replace(clerkHandle?.carrySessionTo(address) || address);
  },
});

/* Twenty refuses the session's tokens and their renewal. True: Clerk decides what happens, Twenty has nothing to do. */
export const leaveLostSessionToClerk = (): boolean => {
  if (!isClerkOn()) {
    return false;
  }

  clerkSession.send({ type: 'session-lost' });

  return true;
};

/* True: both sessions end by Clerk's hand, and the page starts anew. False: Clerk is off. */
export const leaveSignOutToClerk = (): boolean => {
  if (!isClerkOn()) {
    return false;
  }

  clerkSession.send({ type: 'sign-out' });

  return true;
};
