import type { PoolClient } from 'pg';
import semver from 'semver';

import { getConfig } from '../config';
import { database, inTransaction, quoteName, type Queryable } from './core-modules/database';
import type { User, Workspace } from './core-modules/auth/context';
import { createTables } from './metadata-modules/columns';
import { insertFields, insertObjects, type ModelObject, raiseVersion, schemaName } from './metadata-modules/model';
import { standardModel } from './metadata-modules/standard-objects';

const ALL_RECORDS = ['canReadAllObjectRecords', 'canUpdateAllObjectRecords', 'canSoftDeleteAllObjectRecords', 'canDestroyAllObjectRecords'];

const addRole = async (
  client: Queryable,
  workspaceId: string,
  label: string,
  rights: string[],
  more: { isEditable: boolean; canBeAssignedToApiKeys: boolean },
): Promise<string> => {
  const { rows } = await (client as PoolClient).query<{ id: string }>(
    `INSERT INTO "core"."role" ("workspaceId", "label", "description", "isEditable", "canBeAssignedToApiKeys",
       "canBeAssignedToAgents", ${rights.map(quoteName).join(', ')})
     VALUES ($1, $2, $3, $4, $5, false, ${rights.map(() => 'true').join(', ')}) RETURNING "id"`,
    [workspaceId, label, `${label} role`, more.isEditable, more.canBeAssignedToApiKeys],
  );
  return (rows[0] as { id: string }).id;
};

export const addWorkspaceMember = async (client: Queryable, workspaceId: string, user: User): Promise<void> => {
  await (client as PoolClient).query(
    `INSERT INTO ${quoteName(schemaName(workspaceId))}."workspaceMember"
       ("userId", "userEmail", "nameFirstName", "nameLastName") VALUES ($1, $2, $3, $4)`,
    [user.id, user.email, user.firstName, user.lastName],
  );
};

export const findWorkspaceMemberId = async (workspaceId: string, userId: string): Promise<string | undefined> => {
  const { rows } = await database().query<{ id: string }>(
    `SELECT "id" FROM ${quoteName(schemaName(workspaceId))}."workspaceMember"
     WHERE "userId" = $1 AND "deletedAt" IS NULL`,
    [userId],
  );
  return rows[0]?.id;
};

// From "pending" to "active": schema, standard objects, roles, first member; all or nothing.
export const initialiseWorkspace = async (workspace: Workspace, user: User, displayName: string): Promise<void> => {
  const schema = schemaName(workspace.id);
  await inTransaction(async (client) => {
    const claimed = await client.query(
      `UPDATE "core"."workspace" SET "activationStatus" = 'ONGOING_CREATION'
       WHERE "id" = $1 AND "activationStatus" = 'PENDING_CREATION'`,
      [workspace.id],
    );
    if (claimed.rowCount !== 1) throw new Error('Workspace is already being created');
    await client.query(`CREATE SCHEMA ${quoteName(schema)}`);
    const source = await client.query<{ id: string }>(
      'INSERT INTO "core"."dataSource" ("workspaceId", "schema") VALUES ($1, $2) RETURNING "id"',
      [workspace.id, schema],
    );
    const { objects, fields } = standardModel(workspace.id, (source.rows[0] as { id: string }).id);
    await insertObjects(client, objects);
    await insertFields(client, fields);
    const byId = new Map(objects.map((object) => [object.id, object]));
    await client.query(
      createTables(
        schema,
        objects,
        (object) => fields.filter(({ objectMetadataId }) => objectMetadataId === object.id),
        (id) => byId.get(id) as ModelObject,
      ).join(';\n'),
    );
    const adminRole = await addRole(
      client,
      workspace.id,
      'Admin',
      ['canUpdateAllSettings', 'canAccessAllTools', ...ALL_RECORDS],
      { isEditable: false, canBeAssignedToApiKeys: true },
    );
    const memberRole = await addRole(client, workspace.id, 'Member', ['canAccessAllTools', ...ALL_RECORDS], {
      isEditable: true,
      canBeAssignedToApiKeys: false,
    });
    await client.query(
      `INSERT INTO "core"."roleTargets" ("workspaceId", "roleId", "userWorkspaceId")
       SELECT $1, $2, "id" FROM "core"."userWorkspace" WHERE "workspaceId" = $1 AND "userId" = $3`,
      [workspace.id, adminRole, user.id],
    );
    await addWorkspaceMember(client, workspace.id, user);
    await client.query(
      `UPDATE "core"."workspace" SET "displayName" = $2, "activationStatus" = 'ACTIVE',
         "defaultRoleId" = $3, "version" = $4, "updatedAt" = now() WHERE "id" = $1`,
      [workspace.id, displayName, memberRole, semver.parse(getConfig().appVersion)?.version ?? null],
    );
    await raiseVersion(client, workspace.id);
  });
};
