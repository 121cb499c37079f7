import { randomUUID } from 'node:crypto';
import bcrypt from 'bcryptjs';
import type { SignOptions } from 'jsonwebtoken';
import type { PoolClient } from 'pg';

import { getConfig } from '../../../config';
import { apiError } from '../../errors';
import { addWorkspaceMember, findWorkspaceMemberId, initialiseWorkspace } from '../../workspace-manager';
import { database, inTransaction } from '../database';
import { findUser, findWorkspace, type User, type Workspace } from './context';
import { signToken, type AuthToken, type TokenType, verifyToken } from './tokens';

type TokenPair = { accessOrWorkspaceAgnosticToken: AuthToken; refreshToken: AuthToken };
type Ttl = SignOptions['expiresIn'];

const forbidden = (message: string, subCode = 'FORBIDDEN_EXCEPTION') => apiError('FORBIDDEN', message, { subCode });

export const workspaceUrls = ({ subdomain }: Pick<Workspace, 'subdomain'>): { subdomainUrl: string } => {
  const url = new URL(getConfig().serverUrl);
  if (getConfig().isMultiWorkspaceEnabled) url.hostname = `${subdomain}.${url.hostname}`;
  return { subdomainUrl: url.toString() };
};

// With one workspace per server the origin is ignored and the newest workspace is meant.
export const workspaceByOrigin = async (origin: string): Promise<Workspace> => {
  const { rows } = getConfig().isMultiWorkspaceEnabled
    ? await database().query<Workspace>(
        'SELECT * FROM "core"."workspace" WHERE "subdomain" = $1 AND "deletedAt" IS NULL',
        [URL.canParse(origin) ? new URL(origin).hostname.split('.')[0] : ''],
      )
    : await database().query<Workspace>(
        'SELECT * FROM "core"."workspace" WHERE "deletedAt" IS NULL ORDER BY "createdAt" DESC LIMIT 1',
      );
  if (!rows[0]) throw apiError('UNAUTHENTICATED', 'Workspace not found', { subCode: 'WORKSPACE_NOT_FOUND' });
  return rows[0];
};

// The first user of a server with one workspace is its administrator; once that workspace is there, nobody signs up.
const rightsOfNewcomer = async (): Promise<boolean> => {
  if (getConfig().isMultiWorkspaceEnabled) return false;
  const { rows } = await database().query<{ count: number }>(
    'SELECT count(*)::int AS count FROM "core"."workspace" WHERE "deletedAt" IS NULL',
  );
  if ((rows[0]?.count ?? 0) > 0) throw forbidden('New workspace setup is disabled', 'SIGNUP_DISABLED');
  return true;
};

const refreshToken = async (payload: {
  userId: string;
  workspaceId?: string;
  authProvider: string;
  targetedTokenType: TokenType;
}): Promise<AuthToken> => {
  const jwtid = randomUUID();
  const token = signToken(
    { ...payload, sub: payload.userId, type: 'REFRESH' },
    { expiresIn: getConfig().refreshTokenTtl as Ttl, jwtid },
  );
  await database().query(
    `INSERT INTO "core"."appToken" ("id", "userId", "workspaceId", "type", "expiresAt")
     VALUES ($1, $2, $3, 'REFRESH_TOKEN', $4)`,
    [jwtid, payload.userId, payload.workspaceId ?? null, token.expiresAt],
  );
  return token;
};

const agnosticTokens = async (userId: string, authProvider: string): Promise<TokenPair> => ({
  accessOrWorkspaceAgnosticToken: signToken(
    { sub: userId, userId, authProvider, type: 'WORKSPACE_AGNOSTIC' },
    { expiresIn: getConfig().workspaceAgnosticTokenTtl as Ttl },
  ),
  refreshToken: await refreshToken({ userId, authProvider, targetedTokenType: 'WORKSPACE_AGNOSTIC' }),
});

export const accessTokens = async (user: User, workspaceId: string, authProvider: string): Promise<TokenPair> => {
  const workspace = await findWorkspace(workspaceId);
  if (!workspace) throw apiError('UNAUTHENTICATED', 'Workspace not found', { subCode: 'WORKSPACE_NOT_FOUND' });
  const { rows } = await database().query<{ id: string }>(
    'SELECT "id" FROM "core"."userWorkspace" WHERE "userId" = $1 AND "workspaceId" = $2 AND "deletedAt" IS NULL',
    [user.id, workspaceId],
  );
  if (!rows[0]) {
    throw apiError('UNAUTHENTICATED', 'User is no member of the workspace', { subCode: 'USER_WORKSPACE_NOT_FOUND' });
  }
  let workspaceMemberId: string | undefined;
  if (['ACTIVE', 'SUSPENDED'].includes(workspace.activationStatus)) {
    workspaceMemberId = await findWorkspaceMemberId(workspaceId, user.id);
    if (!workspaceMemberId) throw forbidden('User is not a member of the workspace');
  }
  return {
    accessOrWorkspaceAgnosticToken: signToken(
      {
        sub: user.id,
        userId: user.id,
        workspaceId,
        ...(workspaceMemberId ? { workspaceMemberId } : {}),
        userWorkspaceId: rows[0].id,
        type: 'ACCESS',
        authProvider,
        isImpersonating: false,
      },
      { expiresIn: getConfig().accessTokenTtl as Ttl },
    ),
    refreshToken: await refreshToken({ userId: user.id, workspaceId, authProvider, targetedTokenType: 'ACCESS' }),
  };
};

const loginToken = (email: string, workspaceId: string, authProvider: string): AuthToken =>
  signToken({ type: 'LOGIN', sub: email, workspaceId, authProvider }, { expiresIn: getConfig().loginTokenTtl as Ttl });

const availableWorkspaces = async (user: User) => {
  const { rows } = await database().query<Workspace>(
    `SELECT w.* FROM "core"."userWorkspace" uw JOIN "core"."workspace" w ON w."id" = uw."workspaceId"
     WHERE uw."userId" = $1 AND uw."deletedAt" IS NULL AND w."deletedAt" IS NULL ORDER BY w."createdAt"`,
    [user.id],
  );
  return {
    availableWorkspacesForSignIn: rows.map((workspace) => ({
      ...workspace,
      loginToken: loginToken(user.email, workspace.id, 'password').token,
      workspaceUrls: workspaceUrls(workspace),
      sso: [],
    })),
    availableWorkspacesForSignUp: [],
  };
};

const addUser = async (
  client: Pick<PoolClient, 'query'>,
  email: string,
  password: string,
  isAdministrator: boolean,
): Promise<User> => {
  if (!/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(email)) throw apiError('BAD_USER_INPUT', 'email must be an email');
  if (password.length < 8) throw apiError('BAD_USER_INPUT', 'Password too weak', { subCode: 'INVALID_INPUT' });
  const { rows } = await client.query(
    `INSERT INTO "core"."user" ("email", "passwordHash", "canImpersonate", "canAccessFullAdminPanel")
     VALUES ($1, $2, $3, $3) RETURNING *`,
    [email.toLowerCase(), await bcrypt.hash(password, 10), isAdministrator],
  );
  return rows[0];
};

export const signUp = async (email: string, password: string) => {
  if (await findUser('email', email.toLowerCase())) throw forbidden('User already exists', 'USER_ALREADY_EXISTS');
  const user = await addUser(database(), email, password, await rightsOfNewcomer());
  return { availableWorkspaces: await availableWorkspaces(user), tokens: await agnosticTokens(user.id, 'password') };
};

export const signUpInNewWorkspace = async (user: User, authProvider: string) => {
  await rightsOfNewcomer();
  const workspace = await inTransaction(async (client) => {
    const { rows } = await client.query<Workspace>(
      `INSERT INTO "core"."workspace" ("displayName", "subdomain", "inviteHash", "activationStatus")
       VALUES ('', $1, $2, 'PENDING_CREATION') RETURNING *`,
      [`w${randomUUID().slice(0, 8)}`, randomUUID()],
    );
    const created = rows[0] as Workspace;
    await client.query('INSERT INTO "core"."userWorkspace" ("userId", "workspaceId") VALUES ($1, $2)', [
      user.id,
      created.id,
    ]);
    return created;
  });
  return {
    loginToken: loginToken(user.email, workspace.id, authProvider),
    workspace: { id: workspace.id, workspaceUrls: workspaceUrls(workspace) },
  };
};

// A further member by the workspace's invitation link.
export const signUpInWorkspace = async (input: { email: string; password: string; workspaceInviteHash?: string }) => {
  const { rows } = await database().query<Workspace>(
    'SELECT * FROM "core"."workspace" WHERE "inviteHash" = $1 AND "deletedAt" IS NULL',
    [input.workspaceInviteHash ?? ''],
  );
  const workspace = rows[0];
  if (!workspace) throw forbidden('Invitation not found');
  if (workspace.activationStatus !== 'ACTIVE') throw forbidden('Workspace is not ready to welcome new members');
  const user = await inTransaction(async (client) => {
    const known = await findUser('email', input.email.toLowerCase());
    if (known && !(await bcrypt.compare(input.password, known.passwordHash ?? ''))) throw forbidden('Wrong password');
    const joining = known ?? (await addUser(client, input.email, input.password, false));
    const membership = await client.query<{ id: string }>(
      `INSERT INTO "core"."userWorkspace" ("userId", "workspaceId") VALUES ($1, $2)
       ON CONFLICT ("userId", "workspaceId") WHERE "deletedAt" IS NULL DO NOTHING RETURNING "id"`,
      [joining.id, workspace.id],
    );
    if (membership.rows[0]) {
      await client.query(
        'INSERT INTO "core"."roleTargets" ("workspaceId", "roleId", "userWorkspaceId") VALUES ($1, $2, $3)',
        [workspace.id, workspace.defaultRoleId, membership.rows[0].id],
      );
      await addWorkspaceMember(client, workspace.id, joining);
    }
    return joining;
  });
  return {
    loginToken: loginToken(user.email, workspace.id, 'password'),
    workspace: { id: workspace.id, workspaceUrls: workspaceUrls(workspace) },
  };
};

const checkPassword = async (email: string, password: string): Promise<User> => {
  const user = await findUser('email', email);
  if (!user) throw apiError('UNAUTHENTICATED', 'User not found', { subCode: 'USER_NOT_FOUND' });
  if (!user.passwordHash) throw apiError('BAD_USER_INPUT', 'Incorrect login method', { subCode: 'INVALID_INPUT' });
  if (!(await bcrypt.compare(password, user.passwordHash))) throw forbidden('Wrong password');
  return user;
};

export const signIn = async (email: string, password: string) => {
  const user = await checkPassword(email, password);
  return { availableWorkspaces: await availableWorkspaces(user), tokens: await agnosticTokens(user.id, 'password') };
};

// AUTH_PASSWORD_ENABLED hides the form only: this answers all the same, as upstream.
export const loginTokenFromCredentials = async (email: string, password: string, origin: string) => {
  const workspace = await workspaceByOrigin(origin);
  if (!workspace.isPasswordAuthEnabled) throw forbidden('Password sign-in is off for this workspace');
  const user = await checkPassword(email, password);
  const { rowCount } = await database().query(
    'SELECT 1 FROM "core"."userWorkspace" WHERE "userId" = $1 AND "workspaceId" = $2 AND "deletedAt" IS NULL',
    [user.id, workspace.id],
  );
  if (!rowCount) throw forbidden('User is not a member of the workspace.');
  return { loginToken: loginToken(user.email, workspace.id, 'password') };
};

export const tokensFromLoginToken = async (token: string, origin: string): Promise<{ tokens: TokenPair }> => {
  const payload = verifyToken(token, ['LOGIN']);
  const workspace = await workspaceByOrigin(origin);
  if (payload.workspaceId !== workspace.id) throw forbidden('Token is not valid for this workspace');
  const user = await findUser('email', payload.sub ?? '');
  if (!user) throw apiError('UNAUTHENTICATED', 'User not found', { subCode: 'USER_NOT_FOUND' });
  return { tokens: await accessTokens(user, workspace.id, payload.authProvider ?? 'password') };
};

const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

const secondsOf = (duration: string): number => {
  const match = /^(\d+)([smhd])$/.exec(duration);
  if (!match) throw new Error(`REFRESH_TOKEN_COOL_DOWN: ${duration} is not a duration such as 1m`);
  return Number(match[1]) * (SECONDS[match[2] as string] as number);
};

// A refresh token is revoked by its use; used again after the cool-down, all tokens of the user are.
export const renewTokens = async (token: string): Promise<{ tokens: TokenPair }> => {
  const payload = verifyToken(token, ['REFRESH']);
  const { rows } = await database().query<{ revokedAt: Date | null }>(
    'SELECT "revokedAt" FROM "core"."appToken" WHERE "id" = $1',
    [payload.jti],
  );
  const user = payload.sub ? await findUser('id', payload.sub) : undefined;
  if (!rows[0] || !user) throw apiError('BAD_USER_INPUT', 'This refresh token is unknown', { subCode: 'INVALID_INPUT' });
  const { revokedAt } = rows[0];
  if (revokedAt && revokedAt.getTime() <= Date.now() - secondsOf(getConfig().refreshTokenCoolDown) * 1000) {
    await database().query(
      `UPDATE "core"."appToken" SET "revokedAt" = now() WHERE "userId" = $1 AND "type" = 'REFRESH_TOKEN'`,
      [user.id],
    );
    throw forbidden('This refresh token was used before; all tokens have been revoked');
  }
  await database().query('UPDATE "core"."appToken" SET "revokedAt" = now() WHERE "id" = $1', [payload.jti]);
  const provider = payload.authProvider ?? 'password';
  return {
    tokens: payload.workspaceId
      ? await accessTokens(user, payload.workspaceId, provider)
      : await agnosticTokens(user.id, provider),
  };
};

export const checkUserExists = async (email: string) => {
  const user = await findUser('email', email.toLowerCase());
  const workspaces = user ? (await availableWorkspaces(user)).availableWorkspacesForSignIn.length : 0;
  return { exists: Boolean(user), availableWorkspacesCount: workspaces, isEmailVerified: user?.isEmailVerified ?? false };
};

export const activateWorkspace = async (user: User, workspace: Workspace, displayName: string | undefined) => {
  if (!displayName) throw apiError('INTERNAL_SERVER_ERROR', "'displayName' not provided");
  if (workspace.activationStatus !== 'PENDING_CREATION') {
    throw apiError('INTERNAL_SERVER_ERROR', 'Workspace is not pending creation');
  }
  await initialiseWorkspace(workspace, user, displayName);
  return findWorkspace(workspace.id);
};

export const createApiKey = async (
  workspaceId: string,
  input: { name: string; expiresAt: string; roleId: string },
) => {
  const expiresAt = new Date(input.expiresAt);
  if (Number.isNaN(expiresAt.getTime())) throw apiError('BAD_USER_INPUT', 'expiresAt must be a date');
  return inTransaction(async (client) => {
    const role = await client.query(
      'SELECT 1 FROM "core"."role" WHERE "id" = $1 AND "workspaceId" = $2',
      [input.roleId, workspaceId],
    );
    if (!role.rows[0]) throw apiError('BAD_USER_INPUT', `Role ${input.roleId} not found in this workspace`);
    // like upstream, which does not look at the role's canBeAssignedToApiKeys here
    const { rows } = await client.query(
      'INSERT INTO "core"."apiKey" ("name", "expiresAt", "workspaceId") VALUES ($1, $2, $3) RETURNING *',
      [input.name, expiresAt, workspaceId],
    );
    await client.query('INSERT INTO "core"."roleTargets" ("workspaceId", "roleId", "apiKeyId") VALUES ($1, $2, $3)', [
      workspaceId,
      input.roleId,
      rows[0].id,
    ]);
    return rows[0];
  });
};

export const generateApiKeyToken = async (workspaceId: string, apiKeyId: string, expiresAt: string) => {
  const { rows } = await database().query<{ revokedAt: Date | null; expiresAt: Date }>(
    'SELECT "revokedAt", "expiresAt" FROM "core"."apiKey" WHERE "id" = $1 AND "workspaceId" = $2',
    [apiKeyId, workspaceId],
  );
  if (!rows[0]) throw apiError('INTERNAL_SERVER_ERROR', `API Key with id ${apiKeyId} not found`);
  if (rows[0].revokedAt) throw apiError('INTERNAL_SERVER_ERROR', 'This API Key is revoked');
  if (rows[0].expiresAt < new Date()) throw apiError('INTERNAL_SERVER_ERROR', 'This API Key has expired');
  const expiresIn = Math.floor((new Date(expiresAt).getTime() - Date.now()) / 1000);
  if (!Number.isFinite(expiresIn)) throw apiError('BAD_USER_INPUT', 'expiresAt must be a date');
  const { token } = signToken({ sub: workspaceId, type: 'API_KEY', workspaceId }, { expiresIn, jwtid: apiKeyId });
  return { token };
};
