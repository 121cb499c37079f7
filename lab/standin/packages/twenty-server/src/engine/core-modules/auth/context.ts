import type { Request } from 'express';

import { apiError, forbiddenResource, permissionDenied } from '../../errors';
import { database } from '../database';
import { verifyToken } from './tokens';

export type User = {
  id: string;
  email: string;
  firstName: string;
  lastName: string;
  passwordHash: string | null;
  isEmailVerified: boolean;
  canImpersonate: boolean;
  canAccessFullAdminPanel: boolean;
};

export type Workspace = {
  id: string;
  displayName: string | null;
  logo: string | null;
  inviteHash: string | null;
  activationStatus: 'ONGOING_CREATION' | 'PENDING_CREATION' | 'ACTIVE' | 'INACTIVE' | 'SUSPENDED';
  subdomain: string;
  version: string | null;
  metadataVersion: number;
  defaultRoleId: string | null;
  isPasswordAuthEnabled: boolean;
  createdAt: Date;
};

export type Role = {
  id: string;
  label: string;
  canUpdateAllSettings: boolean;
  canReadAllObjectRecords: boolean;
  canUpdateAllObjectRecords: boolean;
  canSoftDeleteAllObjectRecords: boolean;
  canDestroyAllObjectRecords: boolean;
};

// Who asks, from the token alone: the origin of a request says nothing about the workspace.
export type AuthContext = {
  user?: User;
  workspace?: Workspace;
  userWorkspaceId?: string;
  workspaceMemberId?: string;
  apiKey?: { id: string; name: string };
  authProvider?: string;
};

export const findUser = async (column: 'id' | 'email', value: string): Promise<User | undefined> => {
  const { rows } = await database().query<User>(
    `SELECT * FROM "core"."user" WHERE "${column}" = $1 AND "deletedAt" IS NULL`,
    [value],
  );
  return rows[0];
};

export const findWorkspace = async (id: string): Promise<Workspace | undefined> => {
  const { rows } = await database().query<Workspace>(
    'SELECT * FROM "core"."workspace" WHERE "id" = $1 AND "deletedAt" IS NULL',
    [id],
  );
  return rows[0];
};

const tokenOf = (request: Request): string | undefined => {
  const [scheme, token] = (request.headers.authorization ?? '').split(' ');
  return scheme?.toLowerCase() === 'bearer' && token ? token : undefined;
};

const workspaceOfToken = async (id: string | undefined): Promise<Workspace> => {
  const workspace = id ? await findWorkspace(id) : undefined;
  if (!workspace) {
    throw apiError('UNAUTHENTICATED', 'Workspace not found', { subCode: 'WORKSPACE_NOT_FOUND' });
  }
  return workspace;
};

// Empty without a token; UNAUTHENTICATED or FORBIDDEN with one that does not hold.
export const authenticate = async (request: Request): Promise<AuthContext> => {
  const token = tokenOf(request);
  if (!token) return {};
  const payload = verifyToken(token, ['ACCESS', 'WORKSPACE_AGNOSTIC', 'API_KEY']);
  if (payload.type === 'API_KEY') {
    const workspace = await workspaceOfToken(payload.sub);
    const { rows } = await database().query(
      'SELECT "id", "name" FROM "core"."apiKey" WHERE "id" = $1 AND "workspaceId" = $2 AND "revokedAt" IS NULL',
      [payload.jti, workspace.id],
    );
    if (!rows[0]) throw apiError('FORBIDDEN', 'This API Key is revoked', { subCode: 'FORBIDDEN_EXCEPTION' });
    return { apiKey: rows[0], workspace };
  }
  const user = payload.sub ? await findUser('id', payload.sub) : undefined;
  if (!user) throw apiError('UNAUTHENTICATED', 'User not found', { subCode: 'USER_NOT_FOUND' });
  if (payload.type === 'WORKSPACE_AGNOSTIC') return { user, authProvider: payload.authProvider };

  const workspace = await workspaceOfToken(payload.workspaceId);
  const { rows } = await database().query<{ id: string }>(
    'SELECT "id" FROM "core"."userWorkspace" WHERE "id" = $1 AND "deletedAt" IS NULL',
    [payload.userWorkspaceId],
  );
  if (!rows[0]) {
    throw apiError('UNAUTHENTICATED', 'User is no member of the workspace', { subCode: 'USER_WORKSPACE_NOT_FOUND' });
  }
  return {
    user,
    workspace,
    userWorkspaceId: rows[0].id,
    workspaceMemberId: payload.workspaceMemberId,
    authProvider: payload.authProvider,
  };
};

export const requireUser = (auth: AuthContext): User => {
  if (!auth.user) throw forbiddenResource();
  return auth.user;
};

export const requireWorkspace = (auth: AuthContext): Workspace => {
  if (!auth.workspace) throw forbiddenResource();
  return auth.workspace;
};

export const roleOf = async (auth: AuthContext): Promise<Role | undefined> => {
  const { rows } = await database().query<Role>(
    `SELECT r.* FROM "core"."roleTargets" t JOIN "core"."role" r ON r."id" = t."roleId"
     WHERE t."workspaceId" = $1 AND (t."userWorkspaceId" = $2 OR t."apiKeyId" = $3)`,
    [auth.workspace?.id, auth.userWorkspaceId ?? null, auth.apiKey?.id ?? null],
  );
  return rows[0];
};

// While a workspace is being set up nobody has a role yet; afterwards settings need one that allows it.
export const requireSettingsPermission = async (auth: AuthContext): Promise<Workspace> => {
  const workspace = requireWorkspace(auth);
  if (['PENDING_CREATION', 'ONGOING_CREATION'].includes(workspace.activationStatus)) return workspace;
  if (!(await roleOf(auth))?.canUpdateAllSettings) throw permissionDenied();
  return workspace;
};
