// Who and what Clerk's ids stand for: the patchset's own schema, and the rows of Twenty that it points to.
import type { PoolClient } from 'pg';

import { type Tenant, type TenantWait } from '../../auth/clerk/pure/session-exchange';
import { CLERK_SCHEMA_STATEMENTS } from '../../auth/clerk/store/clerk-schema';
import { decideIdentity, knownEmail, placeholderEmail } from '../../auth/clerk/tenants/tenant-decisions';
import { type ClerkPerson } from '../../auth/clerk/tenants/tenant-input';
import { SessionStore } from '../../auth/clerk/store/session-store';
import { findUser, type User } from './auth/context';
import { database, inTransaction } from './database';

export const prepareClerk = async (): Promise<void> => {
  await inTransaction(async (client) => {
    await client.query(`SELECT pg_advisory_xact_lock(hashtextextended('twentyops clerk schema', 0))`);
    for (const statement of CLERK_SCHEMA_STATEMENTS) await client.query(statement);
  });
};

// Sessions of Clerk, as the patchset keeps them. The stand-in's own tokens do not end with them.
export const sessions = new SessionStore(async (sql, parameters) => (await database().query(sql, parameters)).rows);

export const locked = async <T>(keys: string[], work: (client: PoolClient) => Promise<T>): Promise<T> =>
  inTransaction(async (client) => {
    for (const key of [...keys].sort()) await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [key]);
    return work(client);
  });

export const findTenant = async (organizationId: string): Promise<Tenant | null> => {
  const { rows } = await database().query<Tenant>(
    'SELECT workspace_id AS "workspaceId", status FROM clerk.organization WHERE organization_id = $1',
    [organizationId],
  );
  const reason = await findWait(organizationId);
  if (rows[0]) return { ...rows[0], lacksDataModel: reason === 'data-model' };
  return reason && reason !== 'data-model' ? { workspaceId: null, status: 'provisioning', waitingFor: reason } : null;
};

type Wait = TenantWait | 'data-model';

const findWait = async (organizationId: string): Promise<Wait | undefined> => {
  const { rows } = await database().query<{ reason: Wait }>('SELECT reason FROM clerk.waiting WHERE organization_id = $1', [
    organizationId,
  ]);
  return rows[0]?.reason;
};

export const endWaitForDataModel = async (workspaceId: string): Promise<void> => {
  await database().query(
    `DELETE FROM clerk.waiting w USING clerk.organization o
      WHERE o.workspace_id = $1 AND w.organization_id = o.organization_id AND w.reason = 'data-model'`,
    [workspaceId],
  );
};

export const setWait = async (organizationId: string, reason: Wait | null): Promise<void> => {
  await database().query('DELETE FROM clerk.waiting WHERE organization_id = $1', [organizationId]);
  if (reason) await database().query('INSERT INTO clerk.waiting (organization_id, reason) VALUES ($1, $2)', [organizationId, reason]);
};

export const findUserId = async (clerkUserId: string): Promise<string | null> => {
  const { rows } = await database().query<{ id: string }>('SELECT user_id AS id FROM clerk."user" WHERE clerk_user_id = $1', [
    clerkUserId,
  ]);
  return rows[0]?.id ?? null;
};

/** Who has this address, and is this person; of somebody else at Clerk (a person made again there) the address is taken away. */
const findHolder = async (client: PoolClient, person: ClerkPerson, email: string): Promise<User | null> => {
  const holder = await findUser('email', email);
  if (!holder) return null;
  const { rows } = await client.query<{ id: string }>('SELECT clerk_user_id AS id FROM clerk."user" WHERE user_id = $1', [holder.id]);
  const clerkUserId = rows[0]?.id ?? null;
  if (decideIdentity(person, { userId: holder.id, clerkUserId }) !== 'displace-and-create') return holder;
  await client.query('UPDATE core."user" SET email = $2 WHERE id = $1', [holder.id, placeholderEmail(clerkUserId ?? holder.id)]);
  return null;
};

export const ensureUser = async (person: ClerkPerson): Promise<User> =>
  locked([`user ${person.clerkUserId}`], async (client) => {
    const linked = await findUserId(person.clerkUserId);
    const email = knownEmail(person);
    const known = linked ? await findUser('id', linked) : await findHolder(client, person, email);
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

export const isMember = async (userId: string, workspaceId: string): Promise<boolean> => {
  const { rowCount } = await database().query(
    'SELECT 1 FROM core."userWorkspace" WHERE "userId" = $1 AND "workspaceId" = $2 AND "deletedAt" IS NULL',
    [userId, workspaceId],
  );
  return rowCount === 1;
};
