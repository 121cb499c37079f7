// SPDX-License-Identifier: AGPL-3.0-only

import { type DataSource } from 'typeorm';

import { isClerkOn, isSingleOrigin } from 'src/auth/clerk/guards/clerk-switch';
import {
  closedByClerk,
  sessionEnded,
  sessionUnconfirmed,
} from 'src/auth/clerk/guards/closed-by-clerk';
import { isSessionAdmitted } from 'src/auth/clerk/guards/session-admission';
import { type SessionInUse } from 'src/auth/clerk/pure/session-checks';
import {
  judgeSession,
  ownerOf,
  type SessionVerdict,
} from 'src/auth/clerk/pure/session-standing';
import { CredentialStore } from 'src/auth/clerk/store/credential-store';
import {
  SessionStore,
  type TenantState,
} from 'src/auth/clerk/store/session-store';
import {
  AuthException,
  AuthExceptionCode,
} from 'src/engine/core-modules/auth/auth.exception';
import { type AuthContext } from 'src/engine/core-modules/auth/types/auth-context.type';
import { WorkspaceEntity } from 'src/engine/core-modules/workspace/workspace.entity';
import { isLive, LISTENER_MAY_READ } from 'src/tenancy/events/pure/live-objects';

// Upstream's services reach the gate without injection, so that each of them needs one line only. The store sets the
// data source when the server starts; without it every question is answered with a refusal.
let gateDataSource: DataSource | undefined;

export const connectClerkGate = (dataSource: DataSource) => {
  gateDataSource = dataSource;
};

// What asks Clerk for sessions in use. The server has it; without it (worker, commands) nobody is asked.
export type SessionWatch = {
  offer(session: SessionInUse): void;
  // Asks now, within a few seconds. False: Clerk gave no answer.
  confirm(session: SessionInUse): Promise<boolean>;
};

let sessionWatch: SessionWatch | undefined;

export const connectSessionWatch = (watch: SessionWatch) => {
  sessionWatch = watch;
};

const query = async <Row>(sql: string, parameters: unknown[]) => {
  if (!gateDataSource) {
    throw new AuthException(
      'The tenant store is not ready',
      AuthExceptionCode.FORBIDDEN_EXCEPTION,
    );
  }

  return (await gateDataSource.query(sql, parameters)) as Row[];
};

const readTenantState = async (
  workspaceId: string,
): Promise<TenantState | undefined> => {
  const [row] = await query<TenantState>(
    `SELECT status, floor(extract(epoch FROM sessions_from))::float8 AS "sessionsFrom"
       FROM clerk.organization WHERE workspace_id = $1`,
    [workspaceId],
  );

  return row;
};

const sessions = new SessionStore(query);

export const credentialStore = new CredentialStore(query);

const nowInSeconds = () => Date.now() / 1000;

const assertVerdict = (verdict: SessionVerdict): void => {
  if (verdict.kind === 'unconfirmed') {
    throw sessionUnconfirmed();
  }
  if (verdict.kind !== 'good') {
    throw sessionEnded();
  }
};

// Access tokens and API keys, on every request: whatever upstream's own checks let through. One question to our own
// database; Clerk is asked beside it, and nobody waits for that, but for a session that slept through half an hour.
export const assertSessionIsAdmitted = async (
  context: AuthContext,
  token: object,
): Promise<void> => {
  if (!isClerkOn()) {
    return;
  }

  const owner = ownerOf(token);
  const sessionId = owner.kind === 'session' ? owner.sessionId : null;
  const found = context.workspace
    ? await sessions.readForRequest(context.workspace.id, sessionId)
    : undefined;
  const admitted = isSessionAdmitted({
    hasWorkspace: context.workspace !== undefined,
    isApiKey: context.apiKey !== undefined,
    isImpersonating: context.impersonationContext !== undefined,
    owner: owner.kind,
    issuedAt: 'iat' in token && typeof token.iat === 'number' ? token.iat : undefined,
    tenant: found?.tenant,
  });

  if (!admitted || found === undefined) {
    throw sessionEnded();
  }

  if (context.apiKey !== undefined || sessionId === null) {
    return;
  }

  await assertSessionIsGood(
    context.workspace?.id ?? '',
    sessionId,
    found,
    (verdict) => verdict.kind === 'unconfirmed',
  );
};

const assertSessionIsGood = async (
  workspaceId: string,
  sessionId: string,
  found: Awaited<ReturnType<SessionStore['readForRequest']>>,
  isToBeAskedFor: (verdict: SessionVerdict) => boolean,
): Promise<void> => {
  const { session, organizationId } = found;
  const verdict = judgeSession(session, nowInSeconds());

  if (session === undefined || !['good', 'unconfirmed'].includes(verdict.kind)) {
    return assertVerdict(verdict);
  }

  const inUse = {
    sessionId,
    organizationId,
    clerkUserId: session.clerkUserId,
    confirmedAt: session.confirmedAt,
  };

  if (!isToBeAskedFor(verdict)) {
    if (verdict.kind === 'good' && verdict.isDue) {
      sessionWatch?.offer(inUse);
    }

    return assertVerdict(verdict);
  }

  if ((await sessionWatch?.confirm(inUse)) !== true) {
    return assertVerdict(verdict);
  }

  const { session: after } = await sessions.readForRequest(
    workspaceId,
    sessionId,
  );

  assertVerdict(judgeSession(after, nowInSeconds()));
};

// A refresh token lives for weeks and is used every half hour: Clerk is asked, and waited for, each time that it is due.
export const assertRefreshIsAdmitted = async (token: {
  workspaceId?: string | null;
}): Promise<void> => {
  if (!isClerkOn()) {
    return;
  }

  const owner = ownerOf(token);

  if (owner.kind !== 'session' || !token.workspaceId) {
    throw sessionEnded();
  }

  await assertSessionIsGood(
    token.workspaceId,
    owner.sessionId,
    await sessions.readForRequest(token.workspaceId, owner.sessionId),
    (verdict) =>
      verdict.kind === 'unconfirmed' ||
      (verdict.kind === 'good' && verdict.isDue),
  );
};

// Before an access token is made: sign-in, renewal and exchange alike.
export const assertWorkspaceIsOpen = async (
  workspaceId: string,
): Promise<void> => {
  if (!(await isWorkspaceOpen(workspaceId))) {
    throw closedByClerk();
  }
};

export const isWorkspaceOpen = async (
  workspaceId: string,
): Promise<boolean> => {
  if (!isClerkOn()) {
    return true;
  }

  const tenant = await readTenantState(workspaceId);

  return tenant === undefined || tenant.status !== 'suspended';
};

export type EventListenerRequest = {
  workspace?: { id: string };
  userWorkspace?: { id: string };
  headers?: { authorization?: string };
};

// Of a request whose token was verified when it came.
const ownerOfRequest = (request: EventListenerRequest) => {
  try {
    const [, payload = ''] = (request.headers?.authorization ?? '').split('.');

    return ownerOf(
      JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')),
    );
  } catch {
    return { kind: 'nobody' } as const;
  }
};

// A live subscription: the event is of the listener's workspace and of an object that is sent, the listener is still a member
// whose role may read it, and their session lasts.
export const isEventForListener = async (
  event: { workspaceId?: string; objectNameSingular?: string },
  request: EventListenerRequest | undefined,
): Promise<boolean> => {
  const workspaceId = request?.workspace?.id;
  const userWorkspaceId = request?.userWorkspace?.id;

  if (
    workspaceId === undefined ||
    workspaceId !== event.workspaceId ||
    userWorkspaceId === undefined ||
    !isLive(event.objectNameSingular)
  ) {
    return false;
  }

  const readers = await query<{ id: string }>(LISTENER_MAY_READ, [
    userWorkspaceId,
    workspaceId,
  ]);

  if (readers.length === 0) {
    return false;
  }

  if (!isClerkOn()) {
    return true;
  }

  const owner = ownerOfRequest(request ?? {});

  if (owner.kind === 'nobody') {
    return false;
  }

  const { tenant, organizationId, session } = await sessions.readForRequest(
    workspaceId,
    owner.kind === 'session' ? owner.sessionId : null,
  );

  if (tenant?.status === 'suspended') {
    return false;
  }

  if (owner.kind === 'session') {
    const verdict = judgeSession(session, nowInSeconds());

    if (verdict.kind !== 'good' || session === undefined) {
      return false;
    }
    if (verdict.isDue) {
      sessionWatch?.offer({
        sessionId: owner.sessionId,
        organizationId,
        clerkUserId: session.clerkUserId,
        confirmedAt: session.confirmedAt,
      });
    }
  }

  return true;
};

// The workspace of a login token: on one origin the token names it, with subdomains the origin must agree.
export const findWorkspaceForExchange = async (
  workspaceId: string,
  findByOrigin: () => Promise<WorkspaceEntity | undefined>,
): Promise<WorkspaceEntity | undefined> => {
  if (!isClerkOn() || !isSingleOrigin()) {
    return await findByOrigin();
  }

  return (
    (await gateDataSource
      ?.getRepository(WorkspaceEntity)
      .findOne({ where: { id: workspaceId } })) ?? undefined
  );
};
