// SPDX-License-Identifier: AGPL-3.0-only
import {
  CLERK_SETUP_STEPS,
  CLERK_WORKSPACE_WAITS,
  type ClerkExchangeAnswer,
  type ClerkExchangedSession,
  type ClerkToken,
} from './clerkSessionTypes';

const UNAVAILABLE: ClerkExchangeAnswer = {
  kind: 'unavailable',
  retryAfterSeconds: null,
};

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isText = (value: unknown): value is string =>
  typeof value === 'string' && value !== '';

/* https://acme.crm.example.com: nothing but an origin, as a page's address can have it. */
const isOrigin = (value: unknown): value is string =>
  isText(value) &&
  /^https?:\/\//.test(value) &&
  URL.canParse(value) &&
  new URL(value).origin === value;

const isToken = (value: unknown): value is ClerkToken =>
  isRecord(value) && isText(value.token) && isText(value.expiresAt);

const isExchangedSession = (value: unknown): value is ClerkExchangedSession =>
  isRecord(value) &&
  isText(value.workspaceId) &&
  isText(value.userId) &&
  isText(value.clerkUserId) &&
  isText(value.organizationId) &&
  isRecord(value.tokens) &&
  isToken(value.tokens.accessOrWorkspaceAgnosticToken) &&
  isToken(value.tokens.refreshToken);

/* Retry-After in seconds: a number or a date, as RFC 9110 has it. Null when it says nothing. */
export const parseRetryAfter = (
  header: string | null,
  now: number,
): number | null => {
  if (header === null || header.trim() === '') {
    return null;
  }

  if (/^\d+$/.test(header.trim())) {
    return Number(header.trim());
  }

  const moment = Date.parse(header);

  return Number.isNaN(moment) ? null : Math.max((moment - now) / 1_000, 0);
};

/* What an answer of POST /clerk/session means. Whatever is not understood is "try again later", never a way in. */
export const readClerkExchangeAnswer = (
  status: number,
  retryAfter: string | null,
  body: unknown,
  now: number,
): ClerkExchangeAnswer => {
  if (status === 401) {
    return { kind: 'unauthorized' };
  }

  if (status !== 200) {
    return {
      kind: 'unavailable',
      retryAfterSeconds: parseRetryAfter(retryAfter, now),
    };
  }

  if (!isRecord(body)) {
    return UNAVAILABLE;
  }

  switch (body.status) {
    case 'signed-in':
      return isExchangedSession(body)
        ? {
            kind: 'signed-in',
            session: {
              workspaceId: body.workspaceId,
              userId: body.userId,
              clerkUserId: body.clerkUserId,
              organizationId: body.organizationId,
              tokens: body.tokens,
            },
          }
        : UNAVAILABLE;
    case 'workspace-provisioning': {
      const waitingFor = CLERK_WORKSPACE_WAITS.find(
        (reason) => reason === body.reason,
      );

      const step = CLERK_SETUP_STEPS.find((known) => known === body.step);

      return {
        kind: body.status,
        ...(waitingFor === undefined ? {} : { waitingFor }),
        ...(step === undefined ? {} : { step }),
      };
    }
    case 'no-organization':
    case 'not-a-member':
    case 'suspended':
    case 'banned':
    case 'locked':
    case 'session-ended':
      return { kind: body.status };
    case 'elsewhere':
      return isOrigin(body.home)
        ? { kind: body.status, home: body.home }
        : UNAVAILABLE;
    default:
      return UNAVAILABLE;
  }
};

/* One exchange of a Clerk session token for Twenty's tokens. Never throws. */
export const requestClerkSession = async ({
  url,
  sessionToken,
  fetchFn,
  timeoutMs = 20_000,
}: {
  url: string;
  sessionToken: string;
  fetchFn: typeof fetch;
  timeoutMs?: number;
}): Promise<ClerkExchangeAnswer> => {
  try {
    const response = await fetchFn(url, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${sessionToken}`,
        'Content-Type': 'application/json',
      },
      body: '{}',
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    });
    const body: unknown =
      response.status === 200 ? await response.json() : null;

    return readClerkExchangeAnswer(
      response.status,
      response.headers.get('Retry-After'),
      body,
      Date.now(),
    );
  } catch {
    return UNAVAILABLE;
  }
};

/* Ends the session in the CRM, so that nothing opens with its tokens any more. False: nobody answered, or not with yes. Never throws. */
export const endClerkSession = async ({
  url,
  sessionToken,
  fetchFn,
  timeoutMs = 5_000,
}: {
  url: string;
  sessionToken: string;
  fetchFn: typeof fetch;
  timeoutMs?: number;
}): Promise<boolean> => {
  try {
    const response = await fetchFn(url, {
      method: 'DELETE',
      headers: { Authorization: `Bearer ${sessionToken}` },
      cache: 'no-store',
      credentials: 'omit',
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    });

    return response.ok;
  } catch {
    return false;
  }
};
