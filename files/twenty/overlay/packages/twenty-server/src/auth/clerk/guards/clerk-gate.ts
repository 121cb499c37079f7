// SPDX-License-Identifier: AGPL-3.0-only

import { type DataSource } from 'typeorm';

import { isClerkOn, isSingleOrigin } from 'src/auth/clerk/guards/clerk-switch';
import {
  closedByClerk,
  sessionEnded,
} from 'src/auth/clerk/guards/closed-by-clerk';
import {
  isSessionAdmitted,
  type TenantState,
} from 'src/auth/clerk/guards/session-admission';
import {
  AuthException,
  AuthExceptionCode,
} from 'src/engine/core-modules/auth/auth.exception';
import { type AuthContext } from 'src/engine/core-modules/auth/types/auth-context.type';
import { WorkspaceEntity } from 'src/engine/core-modules/workspace/workspace.entity';

// Upstream's services reach the gate without injection, so that each of them needs one line only. The store sets the
// data source when the server starts; without it every question is answered with a refusal.
let gateDataSource: DataSource | undefined;

export const connectClerkGate = (dataSource: DataSource) => {
  gateDataSource = dataSource;
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

// Access tokens and API keys, on every request: whatever upstream's own checks let through.
export const assertSessionIsAdmitted = async (
  context: AuthContext,
  token: object,
): Promise<void> => {
  if (!isClerkOn()) {
    return;
  }

  const admitted = isSessionAdmitted({
    hasWorkspace: context.workspace !== undefined,
    isApiKey: context.apiKey !== undefined,
    isImpersonating: context.impersonationContext !== undefined,
    issuedAt: 'iat' in token && typeof token.iat === 'number' ? token.iat : undefined,
    tenant: context.workspace
      ? await readTenantState(context.workspace.id)
      : undefined,
  });

  if (!admitted) {
    throw sessionEnded();
  }
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
};

// A live subscription: the event is of the listener's workspace, and the listener is still a member of it.
export const isEventForListener = async (
  eventWorkspaceId: string | undefined,
  request: EventListenerRequest | undefined,
): Promise<boolean> => {
  const workspaceId = request?.workspace?.id;

  if (workspaceId === undefined || workspaceId !== eventWorkspaceId) {
    return false;
  }

  if (!isClerkOn()) {
    return true;
  }

  const userWorkspaceId = request?.userWorkspace?.id;

  if (userWorkspaceId === undefined || !(await isWorkspaceOpen(workspaceId))) {
    return false;
  }

  const members = await query<{ id: string }>(
    `SELECT id FROM core."userWorkspace" WHERE id = $1 AND "workspaceId" = $2 AND "deletedAt" IS NULL`,
    [userWorkspaceId, workspaceId],
  );

  return members.length === 1;
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
