// SPDX-License-Identifier: AGPL-3.0-only

import { createHash, createHmac } from 'crypto';

// A short-lived access token from inside: signed with APP_SECRET as Twenty signs its own, kept nowhere, never asked of a person.

const TOKEN_LIVES_S = 600;

export type Queryable = {
  query: (
    text: string,
    values?: unknown[],
  ) => Promise<{ rows: Record<string, string>[] }>;
};

const base64url = (value: unknown) =>
  Buffer.from(JSON.stringify(value)).toString('base64url');

const sign = (payload: Record<string, unknown>, secret: string) => {
  const text = `${base64url({ alg: 'HS256', typ: 'JWT' })}.${base64url(payload)}`;
  const mac = createHmac('sha256', secret).update(text).digest('base64url');

  return `${text}.${mac}`;
};

const quoteName = (name: string) => `"${name.replace(/"/g, '""')}"`;

export const listWorkspaceIds = async (
  database: Queryable,
): Promise<string[]> => {
  const { rows } = await database.query(
    `SELECT "id" FROM "core"."workspace"
     WHERE "activationStatus"::text IN ('ACTIVE', 'SUSPENDED') AND "deletedAt" IS NULL ORDER BY "id"`,
  );

  return rows.map(({ id }) => id);
};

export const signAccessToken = async (
  database: Queryable,
  workspaceId: string,
  appSecret: string,
): Promise<string> => {
  const { rows } = await database.query(
    `SELECT "userWorkspace"."id", "userWorkspace"."userId" FROM "core"."userWorkspace"
     JOIN "core"."roleTargets" ON "roleTargets"."userWorkspaceId" = "userWorkspace"."id"
     JOIN "core"."role" ON "role"."id" = "roleTargets"."roleId"
     WHERE "userWorkspace"."workspaceId" = $1 AND "userWorkspace"."deletedAt" IS NULL AND "role"."canUpdateAllSettings"
     ORDER BY "userWorkspace"."createdAt" LIMIT 1`,
    [workspaceId],
  );

  if (rows.length === 0) {
    throw new Error(
      `workspace ${workspaceId} has no member who may change settings, in whose name the metadata API could be used`,
    );
  }
  const [{ id: userWorkspaceId, userId }] = rows;
  const schemas = await database.query(
    `SELECT "schema" FROM "core"."dataSource" WHERE "workspaceId" = $1 ORDER BY "createdAt" DESC LIMIT 1`,
    [workspaceId],
  );
  const members = await database.query(
    `SELECT "id" FROM ${quoteName(schemas.rows[0].schema)}."workspaceMember" WHERE "userId" = $1`,
    [userId],
  );
  const now = Math.floor(Date.now() / 1000);

  return sign(
    {
      sub: userId,
      userId,
      workspaceId,
      workspaceMemberId: members.rows[0]?.id,
      userWorkspaceId,
      type: 'ACCESS',
      authProvider: 'password',
      // Nobody's session: src/auth/clerk/pure/session-standing.ts
      clerkSessionId: 'inside',
      iat: now,
      exp: now + TOKEN_LIVES_S,
    },
    createHash('sha256')
      .update(`${appSecret}${workspaceId}ACCESS`)
      .digest('hex'),
  );
};
