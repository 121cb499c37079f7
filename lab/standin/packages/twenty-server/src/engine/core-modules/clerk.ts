// Sign-in by Clerk and the internal API beside it, small. What decides is not written here: the files below src/auth/clerk are
// the ones that the patchset lays into Twenty's tree, the same in both. This file gives them a store and HTTP.
import { randomUUID } from 'node:crypto';
import express, { type Request, type RequestHandler, type Response, type Router } from 'express';
import type { PoolClient } from 'pg';

import { carriesInternalSecret, readInternalSecret } from '../../auth/clerk/guards/internal-secret';
import { fetchProfile } from '../../auth/clerk/pure/clerk-api';
import { readClerkClientConfig, readClerkSettings } from '../../auth/clerk/pure/clerk-settings';
import { CachedKeySet, FixedKey } from '../../auth/clerk/pure/key-set';
import { Recent } from '../../auth/clerk/pure/recent';
import { answerOf, exchangeSession, labelsOf, type ExchangePorts, type Tenant } from '../../auth/clerk/pure/session-exchange';
import { CLERK_SCHEMA_STATEMENTS } from '../../auth/clerk/store/clerk-schema';
import { knownEmail } from '../../auth/clerk/tenants/tenant-decisions';
import { readIds, readMember, readTenant, type ClerkPerson, type MemberRole, type Validated } from '../../auth/clerk/tenants/tenant-input';
import { logger } from '../../logger';
import { addWorkspaceMember, initialiseWorkspace } from '../workspace-manager';
import { accessTokens } from './auth/auth.service';
import { findUser, findWorkspace, type User, type Workspace } from './auth/context';
import { database, inTransaction } from './database';
import { queueRedis } from './redis';

const log = logger('clerk');
const settings = readClerkSettings(process.env);
const internalSecret = readInternalSecret();
const recent = new Recent(5 * 60_000, 10_000);
const LIMIT = { address: 600, person: 60 };

export const clerkClientConfig = () => readClerkClientConfig(process.env);

export const prepareClerk = async (): Promise<void> => {
  await inTransaction(async (client) => {
    await client.query(`SELECT pg_advisory_xact_lock(hashtextextended('twentyops clerk schema', 0))`);
    for (const statement of CLERK_SCHEMA_STATEMENTS) await client.query(statement);
  });
};

const locked = async <T>(keys: string[], work: (client: PoolClient) => Promise<T>): Promise<T> =>
  inTransaction(async (client) => {
    for (const key of [...keys].sort()) await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [key]);
    return work(client);
  });

const findTenant = async (organizationId: string): Promise<Tenant | null> => {
  const { rows } = await database().query<Tenant>(
    'SELECT workspace_id AS "workspaceId", status FROM clerk.organization WHERE organization_id = $1',
    [organizationId],
  );
  return rows[0] ?? null;
};

const findUserId = async (clerkUserId: string): Promise<string | null> => {
  const { rows } = await database().query<{ id: string }>('SELECT user_id AS id FROM clerk."user" WHERE clerk_user_id = $1', [
    clerkUserId,
  ]);
  return rows[0]?.id ?? null;
};

const ensureUser = async (person: ClerkPerson): Promise<User> =>
  locked([`user ${person.clerkUserId}`], async (client) => {
    const linked = await findUserId(person.clerkUserId);
    const email = knownEmail(person);
    const known = linked ? await findUser('id', linked) : await findUser('email', email);
    const { rows } = known
      ? await client.query<User>('UPDATE core."user" SET "firstName" = $2, "lastName" = $3 WHERE id = $1 RETURNING *', [
          known.id,
          person.firstName,
          person.lastName,
        ])
      : await client.query<User>(
          'INSERT INTO core."user" (email, "firstName", "lastName", "isEmailVerified") VALUES ($1, $2, $3, $4) RETURNING *',
          [email, person.firstName, person.lastName, person.emailVerified],
        );
    const user = rows[0] as User;
    await client.query(
      'INSERT INTO clerk."user" (clerk_user_id, user_id) VALUES ($1, $2) ON CONFLICT (clerk_user_id) DO NOTHING',
      [person.clerkUserId, user.id],
    );
    return user;
  });

const isMember = async (userId: string, workspaceId: string): Promise<boolean> => {
  const { rowCount } = await database().query(
    'SELECT 1 FROM core."userWorkspace" WHERE "userId" = $1 AND "workspaceId" = $2 AND "deletedAt" IS NULL',
    [userId, workspaceId],
  );
  return rowCount === 1;
};

const admit = async (key: string): Promise<boolean> => {
  const name = `standin:clerk-session:${key}:${Math.floor(Date.now() / 60_000)}`;
  const asked = await queueRedis().incr(name);
  if (asked === 1) await queueRedis().expire(name, 120);
  return asked <= (key.startsWith('person:') ? LIMIT.person : LIMIT.address);
};

const ports: ExchangePorts | undefined = settings
  ? {
      keys: settings.jwtKey ? new FixedKey(settings.jwtKey) : new CachedKeySet(settings.keySetUrl, fetch),
      now: () => Date.now() / 1000,
      admit,
      findTenant,
      findUserId,
      fetchProfile: (clerkUserId) => fetchProfile(fetch, settings, clerkUserId),
      ensureUser: async (profile) => {
        const { id } = await ensureUser(profile);
        recent.add(profile.clerkUserId);
        return id;
      },
      isInStep: (clerkUserId) => recent.has(clerkUserId),
      isMember,
      issueTokens: async (userId, workspaceId) => accessTokens((await findUser('id', userId)) as User, workspaceId, 'SSO'),
      findHome: async () => null,
    }
  : undefined;

const addressOf = (request: Request): string => request.get('x-forwarded-for')?.split(',').pop()?.trim() || request.ip || 'unknown';

const exchange = async (request: Request, response: Response): Promise<void> => {
  if (!settings || !ports) {
    response.status(404).json({ error: 'not-found' });
    return;
  }
  try {
    const outcome = await exchangeSession(
      { authorization: request.get('authorization'), address: addressOf(request) },
      settings,
      ports,
    );
    const labels = labelsOf(outcome);
    log.log(`clerk-session outcome=${labels.outcome} reason=${labels.reason}`);
    const answer = answerOf(outcome);
    response.status(answer.status).set(answer.headers).json(answer.body);
  } catch (error) {
    log.error(`clerk-session outcome=failed ${(error as Error).stack}`);
    response.status(503).set({ 'Cache-Control': 'no-store', 'Retry-After': '5' }).json({ error: 'unavailable' });
  }
};

const guarded: RequestHandler = (request, response, next) => {
  if (internalSecret === undefined) response.status(404).json({ error: 'not-found' });
  else if (!carriesInternalSecret(request.get('authorization'), internalSecret)) response.status(401).json({ error: 'unauthorized' });
  else next();
};

// A handler whose input is checked first; what it throws goes to the server's own answer for errors.
const answering =
  <T>(read: (request: Request) => Validated<T>, work: (value: T, response: Response) => Promise<object>): RequestHandler =>
  (request, response, next) => {
    const input = read(request);
    if (!input.ok) {
      response.status(400).json({ error: 'invalid', details: input.details });
      return;
    }
    work(input.value, response)
      .then((body) => response.set('Cache-Control', 'no-store').json(body))
      .catch(next);
  };

const describe = async (organizationId: string) => {
  const tenant = await findTenant(organizationId);
  const workspace = tenant?.workspaceId ? await findWorkspace(tenant.workspaceId) : undefined;
  return tenant && workspace
    ? { organizationId, workspaceId: workspace.id, status: tenant.status, name: workspace.displayName ?? '' }
    : undefined;
};

const notFound = (response: Response) => {
  response.status(404);
  return { error: 'tenant-not-found' };
};

const setRole = async (client: PoolClient, userId: string, workspaceId: string, role: MemberRole): Promise<void> => {
  await client.query(
    `DELETE FROM core."roleTargets" WHERE "userWorkspaceId" =
       (SELECT id FROM core."userWorkspace" WHERE "userId" = $1 AND "workspaceId" = $2 AND "deletedAt" IS NULL)`,
    [userId, workspaceId],
  );
  await client.query(
    `INSERT INTO core."roleTargets" ("workspaceId", "roleId", "userWorkspaceId")
     SELECT $2, r.id, uw.id FROM core."userWorkspace" uw, core.role r
      WHERE uw."userId" = $1 AND uw."workspaceId" = $2 AND uw."deletedAt" IS NULL AND r."workspaceId" = $2 AND r.label = $3`,
    [userId, workspaceId, role === 'admin' ? 'Admin' : 'Member'],
  );
};

const ensureTenant = answering(
  (request) => readTenant(request.params.organizationId as string, request.body),
  async ({ organizationId, name, owner }, response) => {
    const user = await ensureUser(owner);
    return locked([`organization ${organizationId}`], async (client) => {
      const known = await describe(organizationId);
      if (known) return { ...known, created: false };
      const { rows } = await database().query<Workspace>(
        `INSERT INTO core.workspace ("displayName", subdomain, "inviteHash", "activationStatus")
         VALUES ('', $1, $2, 'PENDING_CREATION') RETURNING *`,
        [`w${randomUUID().slice(0, 8)}`, randomUUID()],
      );
      const workspace = rows[0] as Workspace;
      await database().query('INSERT INTO core."userWorkspace" ("userId", "workspaceId") VALUES ($1, $2)', [user.id, workspace.id]);
      await initialiseWorkspace(workspace, user, name);
      await client.query(
        `INSERT INTO clerk.organization (organization_id, workspace_id, owner_clerk_user_id, status) VALUES ($1, $2, $3, 'active')`,
        [organizationId, workspace.id, owner.clerkUserId],
      );
      response.status(201);
      return { organizationId, workspaceId: workspace.id, status: 'active', name, created: true };
    });
  },
);

const ensureMember = answering(
  (request) => {
    const { organizationId = '', clerkUserId = '' } = request.params;
    const read = readMember(organizationId, clerkUserId, request.body);
    return read.ok ? { ok: true, value: { ...read.value, organizationId } } : read;
  },
  async ({ person, role, organizationId }, response) => {
    const tenant = await describe(organizationId);
    if (!tenant) return notFound(response);
    const user = await ensureUser(person);
    return locked([`organization ${tenant.organizationId}`], async (client) => {
      const created = !(await isMember(user.id, tenant.workspaceId));
      if (created) {
        await client.query('INSERT INTO core."userWorkspace" ("userId", "workspaceId") VALUES ($1, $2)', [user.id, tenant.workspaceId]);
        await addWorkspaceMember(client, tenant.workspaceId, user);
      }
      await setRole(client, user.id, tenant.workspaceId, role);
      response.status(created ? 201 : 200);
      return { clerkUserId: person.clerkUserId, userId: user.id, role, created };
    });
  },
);

const removeMember = answering(
  (request) => {
    const { organizationId = '', clerkUserId = '' } = request.params;
    const details = readIds({ organizationId, clerkUserId });
    return details.length > 0 ? { ok: false, details } : { ok: true, value: { organizationId, clerkUserId } };
  },
  async ({ organizationId, clerkUserId }, response) => {
    const tenant = await describe(organizationId);
    if (!tenant) return notFound(response);
    const userId = await findUserId(clerkUserId);
    const { rowCount } = await database().query(
      'UPDATE core."userWorkspace" SET "deletedAt" = now() WHERE "userId" = $1 AND "workspaceId" = $2 AND "deletedAt" IS NULL',
      [userId, tenant.workspaceId],
    );
    await database().query(
      `UPDATE core."appToken" SET "revokedAt" = now() WHERE "userId" = $1 AND "workspaceId" = $2 AND type = 'REFRESH_TOKEN'`,
      [userId, tenant.workspaceId],
    );
    return { removed: (rowCount ?? 0) > 0 };
  },
);

const readOrganization = (request: Request): Validated<string> => {
  const { organizationId = '' } = request.params;
  const details = readIds({ organizationId });
  return details.length > 0 ? { ok: false, details } : { ok: true, value: organizationId };
};

const setStatus = (status: 'active' | 'suspended') =>
  answering(readOrganization, async (organizationId, response) => {
    await database().query('UPDATE clerk.organization SET status = $2, updated_at = now() WHERE organization_id = $1', [
      organizationId,
      status,
    ]);
    return (await describe(organizationId)) ?? notFound(response);
  });

export const clerkRouter = (): Router => {
  const router = express.Router();
  router.post('/clerk/session', exchange);
  router.use('/internal', guarded, express.json());
  router.put('/internal/tenants/:organizationId', ensureTenant);
  router.get('/internal/tenants/:organizationId', answering(readOrganization, async (id, response) => (await describe(id)) ?? notFound(response)));
  router.post('/internal/tenants/:organizationId/suspend', setStatus('suspended'));
  router.post('/internal/tenants/:organizationId/resume', setStatus('active'));
  router.put('/internal/tenants/:organizationId/members/:clerkUserId', ensureMember);
  router.delete('/internal/tenants/:organizationId/members/:clerkUserId', removeMember);
  return router;
};
