// SPDX-License-Identifier: AGPL-3.0-only

import { ClerkApiUnavailable, type ClerkProfile } from './clerk-api';
import { KeysUnavailable } from './key-set';
import { type Admission } from './session-checks';
import { type ClerkSession } from './session-claims';
import {
  readBearer,
  verifySessionToken,
  type KeySource,
  type TokenRefusal,
  type VerifierSettings,
} from './session-token';

export type Tokens = {
  accessOrWorkspaceAgnosticToken: { token: string; expiresAt: Date | string };
  refreshToken: { token: string; expiresAt: Date | string };
};

// Why a workspace is not made yet: the machine has no room, or its owner has as many as one person may.
export const TENANT_WAITS = ['no-room', 'too-many-organizations'] as const;

export type TenantWait = (typeof TENANT_WAITS)[number];

// How far a workspace is that is being made: Clerk's message is on its way, the workspace is made, it gets the data model.
export type SetupStep = 'announced' | 'workspace' | 'data-model';

export type Tenant = {
  workspaceId: string | null;
  status: 'provisioning' | 'active' | 'suspended';
  waitingFor?: TenantWait;
  // Made, and without the data model yet: nobody is let in before it is whole.
  lacksDataModel?: boolean;
};

// What the exchange needs of the world; Twenty and the stand-in give each their own.
export type ExchangePorts = {
  keys: KeySource;
  // Seconds since 1970.
  now(): number;
  // False: too often.
  admit(key: string): Promise<boolean>;
  // Whether Clerk still holds session and person for good.
  admitSession(session: ClerkSession): Promise<Admission>;
  findTenant(organizationId: string): Promise<Tenant | null>;
  findUserId(clerkUserId: string): Promise<string | null>;
  // Null: Clerk knows nobody by this id. Throws ClerkApiUnavailable.
  fetchProfile(clerkUserId: string): Promise<ClerkProfile | null>;
  // Found by Clerk's id, else by the verified address, else made; names and picture kept in step. Answers the user's id.
  ensureUser(profile: ClerkProfile): Promise<string>;
  // Whether names and picture were taken from Clerk a short while ago.
  isInStep(clerkUserId: string): boolean;
  isMember(userId: string, workspaceId: string): Promise<boolean>;
  issueTokens(
    userId: string,
    workspaceId: string,
    session: ClerkSession,
  ): Promise<Tokens>;
  // The origin at which the workspace lives; null: all live on one.
  findHome(workspaceId: string): Promise<string | null>;
};

export type WaitingStatus =
  | 'no-organization'
  | 'workspace-provisioning'
  | 'not-a-member'
  | 'suspended'
  | 'session-ended'
  | 'banned'
  | 'locked';

export type Outcome =
  | {
      kind: 'signed-in';
      session: ClerkSession;
      userId: string;
      workspaceId: string;
      tokens: Tokens;
    }
  | {
      kind: WaitingStatus;
      session: ClerkSession;
      waitingFor?: TenantWait;
      step?: SetupStep;
    }
  | { kind: 'elsewhere'; session: ClerkSession; home: string }
  | { kind: 'refused'; reason: TokenRefusal | 'unknown-person' }
  | { kind: 'too-often' }
  | {
      kind: 'unavailable';
      reason: 'key-set' | 'clerk-api';
      retryAfterInSeconds: number;
    };

export type Answer = {
  status: 200 | 401 | 429 | 503;
  headers: Record<string, string>;
  body: Record<string, unknown>;
};

const RETRY_KEYS_IN_SECONDS = 3;
const RETRY_LIMIT_IN_SECONDS = 10;

// The user's id, or null when Clerk does not know the person any more.
const findPerson = async (
  clerkUserId: string,
  told: ClerkProfile | undefined,
  ports: ExchangePorts,
): Promise<string | null> => {
  const known = await ports.findUserId(clerkUserId);

  if (known !== null && ports.isInStep(clerkUserId)) {
    return known;
  }

  try {
    const profile = told ?? (await ports.fetchProfile(clerkUserId));

    return profile === null ? null : await ports.ensureUser(profile);
  } catch (error) {
    // The token says who it is, and the person is known: only the name may be an old one.
    if (known !== null && error instanceof ClerkApiUnavailable) {
      return known;
    }

    throw error;
  }
};

const decide = async (
  session: ClerkSession,
  ports: ExchangePorts,
): Promise<Outcome> => {
  const admission = await ports.admitSession(session);

  if (admission.kind === 'over') {
    return { kind: 'session-ended', session };
  }
  if (admission.kind === 'refused') {
    return admission.reason === 'deleted'
      ? { kind: 'refused', reason: 'unknown-person' }
      : { kind: admission.reason, session };
  }
  if (session.organizationId === null) {
    return { kind: 'no-organization', session };
  }

  const tenant = await ports.findTenant(session.organizationId);

  if (tenant?.status === 'suspended') {
    return { kind: 'suspended', session };
  }
  if (tenant === null) {
    return { kind: 'workspace-provisioning', session, step: 'announced' };
  }
  if (tenant.waitingFor !== undefined) {
    const { waitingFor } = tenant;

    return { kind: 'workspace-provisioning', session, waitingFor };
  }
  if (tenant.status !== 'active' || tenant.workspaceId === null) {
    return { kind: 'workspace-provisioning', session, step: 'workspace' };
  }
  if (tenant.lacksDataModel) {
    return { kind: 'workspace-provisioning', session, step: 'data-model' };
  }

  const userId = await findPerson(
    session.clerkUserId,
    admission.profile,
    ports,
  );

  if (userId === null) {
    return { kind: 'refused', reason: 'unknown-person' };
  }
  if (!(await ports.isMember(userId, tenant.workspaceId))) {
    return { kind: 'not-a-member', session };
  }

  const home = await ports.findHome(tenant.workspaceId);

  // Tokens are handed to no page but the workspace's own.
  if (home !== null && home !== session.origin) {
    return { kind: 'elsewhere', session, home };
  }

  return {
    kind: 'signed-in',
    session,
    userId,
    workspaceId: tenant.workspaceId,
    tokens: await ports.issueTokens(userId, tenant.workspaceId, session),
  };
};

export type EndingPorts = Pick<ExchangePorts, 'keys' | 'now' | 'admit'> & {
  end(session: { sessionId: string; clerkUserId: string }): Promise<void>;
  // Ends the session of an access token of Twenty's own. False: it is none.
  endByAccessToken(token: string): Promise<boolean>;
};

// Signing out: the session is over here, with every token of it. Whoever has one of its tokens may end it.
export const endSession = async (
  request: { authorization: string | undefined; address: string },
  settings: VerifierSettings,
  ports: EndingPorts,
): Promise<{ status: 204 | 401 | 429 | 503 }> => {
  if (!(await ports.admit(`address:${request.address}`))) {
    return { status: 429 };
  }

  const token = readBearer(request.authorization);

  try {
    const verdict = await verifySessionToken(
      token,
      ports.keys,
      settings,
      ports.now(),
    );

    if (verdict.ok) {
      await ports.end(verdict.session);

      return { status: 204 };
    }

    return token !== undefined && (await ports.endByAccessToken(token))
      ? { status: 204 }
      : { status: 401 };
  } catch (error) {
    if (error instanceof KeysUnavailable) {
      return { status: 503 };
    }

    throw error;
  }
};

// A Clerk session token in, Twenty's tokens for the workspace of its organisation out, or why not.
export const exchangeSession = async (
  request: { authorization: string | undefined; address: string },
  settings: VerifierSettings,
  ports: ExchangePorts,
): Promise<Outcome> => {
  if (!(await ports.admit(`address:${request.address}`))) {
    return { kind: 'too-often' };
  }

  try {
    const verdict = await verifySessionToken(
      readBearer(request.authorization),
      ports.keys,
      settings,
      ports.now(),
    );

    if (!verdict.ok) {
      return { kind: 'refused', reason: verdict.reason };
    }
    if (!(await ports.admit(`person:${verdict.session.clerkUserId}`))) {
      return { kind: 'too-often' };
    }

    return await decide(verdict.session, ports);
  } catch (error) {
    if (error instanceof KeysUnavailable) {
      return {
        kind: 'unavailable',
        reason: 'key-set',
        retryAfterInSeconds: RETRY_KEYS_IN_SECONDS,
      };
    }
    if (error instanceof ClerkApiUnavailable) {
      return {
        kind: 'unavailable',
        reason: 'clerk-api',
        retryAfterInSeconds: error.retryAfterInSeconds,
      };
    }

    throw error;
  }
};

const retryAfter = (seconds: number) => ({ 'Retry-After': String(seconds) });

// What goes over the wire. Every refusal is the same to the byte.
export const answerOf = (outcome: Outcome): Answer => {
  const headers = { 'Cache-Control': 'no-store' };

  switch (outcome.kind) {
    case 'refused':
      return { status: 401, headers, body: { error: 'unauthorized' } };
    case 'too-often':
      return {
        status: 429,
        headers: { ...headers, ...retryAfter(RETRY_LIMIT_IN_SECONDS) },
        body: { error: 'too-many-requests' },
      };
    case 'unavailable':
      return {
        status: 503,
        headers: { ...headers, ...retryAfter(outcome.retryAfterInSeconds) },
        body: { error: 'unavailable' },
      };
    case 'signed-in':
      return {
        status: 200,
        headers,
        body: {
          status: outcome.kind,
          workspaceId: outcome.workspaceId,
          userId: outcome.userId,
          clerkUserId: outcome.session.clerkUserId,
          organizationId: outcome.session.organizationId,
          tokens: outcome.tokens,
        },
      };
    case 'elsewhere':
      return {
        status: 200,
        headers,
        body: {
          status: outcome.kind,
          organizationId: outcome.session.organizationId,
          home: outcome.home,
        },
      };
    default:
      return {
        status: 200,
        headers,
        body: {
          status: outcome.kind,
          ...(outcome.session.organizationId === null
            ? {}
            : { organizationId: outcome.session.organizationId }),
          ...(outcome.waitingFor === undefined
            ? {}
            : { reason: outcome.waitingFor }),
          ...(outcome.step === undefined ? {} : { step: outcome.step }),
        },
      };
  }
};

// For log lines and counters: nothing of a person, a tenant or a token.
export const labelsOf = (
  outcome: Outcome,
): { outcome: string; reason: string } => ({
  outcome: outcome.kind,
  reason: 'reason' in outcome ? outcome.reason : 'none',
});
