// The internal API, small: tenants, members, people, the data model. What it takes is read by the patchset's own files.
import { randomUUID } from 'node:crypto';
import express, { type Request, type RequestHandler, type Response, type Router } from 'express';
import type { PoolClient } from 'pg';

import { carriesInternalSecret, readInternalSecret } from '../../auth/clerk/guards/internal-secret';
import { knownEmail } from '../../auth/clerk/tenants/tenant-decisions';
import {
  readIds,
  readMember,
  readPage,
  readPerson,
  readRename,
  readTenant,
  readWait,
  type MemberRole,
  type Validated,
} from '../../auth/clerk/tenants/tenant-input';
import { readEnding, readStanding } from '../../auth/clerk/sessions/session-input';
import { type Mode } from '../../data-model/pure/apply';
import { addWorkspaceMember, initialiseWorkspace } from '../workspace-manager';
import { findWorkspace, type Workspace } from './auth/context';
import { ensureUser, findTenant, findUserId, isMember, locked, sessions, setWait } from './clerk-store';
import { describeDataModel, listWorkspaceIds, runDataModel } from './data-model';
import { database } from './database';

const internalSecret = readInternalSecret();

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

const membersOf = async (workspaceId: string) => {
  const { rows } = await database().query(
    `SELECT c.clerk_user_id AS "clerkUserId", u.id AS "userId", u.email,
            CASE WHEN r.label = 'Admin' THEN 'admin' ELSE 'member' END AS role
       FROM core."userWorkspace" uw JOIN core."user" u ON u.id = uw."userId" JOIN clerk."user" c ON c.user_id = u.id
       LEFT JOIN core."roleTargets" t ON t."userWorkspaceId" = uw.id LEFT JOIN core.role r ON r.id = t."roleId"
      WHERE uw."workspaceId" = $1 AND uw."deletedAt" IS NULL`,
    [workspaceId],
  );
  return rows;
};

const describe = async (organizationId: string) => {
  const tenant = await findTenant(organizationId);
  const workspace = tenant?.workspaceId ? await findWorkspace(tenant.workspaceId) : undefined;
  return tenant && workspace
    ? { organizationId, workspaceId: workspace.id, status: tenant.status, name: workspace.displayName ?? '' }
    : undefined;
};

const describeWithMembers = async (organizationId: string) => {
  const tenant = await describe(organizationId);
  return tenant && { ...tenant, members: await membersOf(tenant.workspaceId) };
};

const notFound = (response: Response, error = 'tenant-not-found') => {
  response.status(404);
  return { error };
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
  async ({ organizationId, name, owner, getsDataModel }, response) => {
    const user = await ensureUser(owner);
    return locked([`organization ${organizationId}`], async (client) => {
      const known = await describe(organizationId);
      if (known) return { ...known, created: false };
      await setWait(organizationId, getsDataModel ? 'data-model' : null);
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

const wait = answering(
  (request) => {
    const organizationId = request.params.organizationId as string;
    const read = readWait(organizationId, request.body);
    return read.ok ? { ok: true, value: { organizationId, reason: read.value } } : read;
  },
  async ({ organizationId, reason }) => {
    await setWait(organizationId, reason);
    return { organizationId, reason };
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
    const left = await membersOf(tenant.workspaceId);
    return { removed: (rowCount ?? 0) > 0, adminsLeft: left.filter(({ role }) => role === 'admin').length };
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

const list = answering(
  (request) => readPage(request.query as Record<string, string>),
  async ({ limit, offset }) => {
    const { rows } = await database().query<{ id: string; total: string }>(
      'SELECT organization_id AS id, count(*) OVER () AS total FROM clerk.organization ORDER BY organization_id LIMIT $1 OFFSET $2',
      [limit, offset],
    );
    const data = await Promise.all(rows.map(({ id }) => describeWithMembers(id)));
    return { data: data.filter((tenant) => tenant !== undefined), total: Number(rows[0]?.total ?? 0) };
  },
);

const rename = answering(
  (request) => {
    const organizationId = request.params.organizationId as string;
    const read = readRename(organizationId, request.body);
    return read.ok ? { ok: true, value: { organizationId, name: read.value } } : read;
  },
  async ({ organizationId, name }, response) => {
    const tenant = await describe(organizationId);
    if (!tenant) return notFound(response);
    await database().query('UPDATE core.workspace SET "displayName" = $2 WHERE id = $1', [tenant.workspaceId, name]);
    return { ...tenant, name };
  },
);

const updateUser = answering(
  (request) => readPerson(request.body, 'person', request.params.clerkUserId),
  async (person, response) => {
    if (!(await findUserId(person.clerkUserId))) return notFound(response, 'user-not-found');
    const { id } = await ensureUser(person);
    const { rowCount } = await database().query('UPDATE core."user" SET email = $2 WHERE id = $1 AND email <> $2', [
      id,
      knownEmail(person),
    ]);
    return { clerkUserId: person.clerkUserId, userId: id, updated: rowCount === 1 };
  },
);

const endSession = answering(
  (request) => {
    const sessionId = request.params.sessionId as string;
    const read = readEnding(sessionId, request.body);
    return read.ok ? { ok: true, value: { ...read.value, sessionId } } : read;
  },
  async (session) => {
    await sessions.end(session, 'ended at Clerk');
    return { sessionId: session.sessionId };
  },
);

// Keys and webhooks are upstream's: none is withdrawn here.
const setStanding = answering(
  (request) => {
    const clerkUserId = request.params.clerkUserId as string;
    const read = readStanding(clerkUserId, request.body);
    return read.ok ? { ok: true, value: { clerkUserId, standing: read.value } } : read;
  },
  async ({ clerkUserId, standing }) => {
    await sessions.setStandings(new Map([[clerkUserId, standing]]), Date.now() / 1000);
    if (standing === 'banned' || standing === 'deleted') await sessions.endAllOf([clerkUserId], `the person is ${standing}`);
    return { clerkUserId, standing, withdrawn: { apiKeys: 0, webhooks: 0 } };
  },
);

const listRefused = answering(
  () => ({ ok: true, value: null }),
  async () => ({ data: await sessions.listRefused() }),
);

const MODES = ['plan', 'apply', 'verify'] as const;

const readMode = (request: Request): Validated<Mode> => {
  const mode = MODES.find((known) => known === (request.body as { mode?: unknown })?.mode);
  return mode ? { ok: true, value: mode } : { ok: false, details: [`mode: one of ${MODES.join(', ')}`] };
};

const applyDataModel = answering(
  (request) => {
    const organization = readOrganization(request);
    const mode = readMode(request);
    if (!organization.ok) return organization;
    return mode.ok ? { ok: true, value: { organizationId: organization.value, mode: mode.value } } : mode;
  },
  async ({ organizationId, mode }, response) => {
    const tenant = await describe(organizationId);
    return tenant ? runDataModel(tenant.workspaceId, mode) : notFound(response, 'not-found');
  },
);

const applyDataModelToWorkspace = answering(
  (request) => {
    const { workspaceId } = (request.body ?? {}) as { workspaceId?: unknown };
    const mode = readMode(request);
    if (!mode.ok) return mode;
    return typeof workspaceId === 'string'
      ? { ok: true, value: { workspaceId, mode: mode.value } }
      : { ok: false, details: ['workspaceId: the id of a workspace'] };
  },
  async ({ workspaceId, mode }, response) =>
    (await listWorkspaceIds()).includes(workspaceId) ? runDataModel(workspaceId, mode) : notFound(response, 'not-found'),
);

export const tenantsRouter = (): Router => {
  const router = express.Router();
  const tenant = '/tenants/:organizationId';
  router.use(guarded, express.json());
  router.get('/data-model', answering(() => ({ ok: true, value: null }), describeDataModel));
  router.post('/data-model', applyDataModelToWorkspace);
  router.get('/tenants', list);
  router.put(tenant, ensureTenant);
  router.put(`${tenant}/waiting`, wait);
  router.patch(tenant, rename);
  router.get(tenant, answering(readOrganization, async (id, response) => (await describeWithMembers(id)) ?? notFound(response)));
  router.post(`${tenant}/suspend`, setStatus('suspended'));
  router.post(`${tenant}/resume`, setStatus('active'));
  router.post(`${tenant}/data-model`, applyDataModel);
  router.put(`${tenant}/members/:clerkUserId`, ensureMember);
  router.delete(`${tenant}/members/:clerkUserId`, removeMember);
  router.patch('/users/:clerkUserId', updateUser);
  router.get('/users/refused', listRefused);
  router.put('/users/:clerkUserId/standing', setStanding);
  router.post('/sessions/:sessionId/end', endSession);
  return router;
};
