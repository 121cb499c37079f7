// SPDX-License-Identifier: AGPL-3.0-only

import { type RunQuery } from 'src/auth/clerk/store/session-store';

export type CredentialKind = 'apiKey' | 'webhook';

// Who asks: a person, or a program with an API key, which stands for whoever made the key.
export type Maker = { userId: string } | { apiKeyId: string };

export type Withdrawn = { apiKeys: number; webhooks: number };

export type Credential = {
  kind: CredentialKind;
  id: string;
  // Of an API key; of a webhook the origin that it sends to.
  name: string;
  createdAt: string;
  // Clerk's ids, or Twenty's where there is none. Empty: made before makers were recorded.
  makers: string[];
};

// Whose API keys and webhooks are, so that they end with their makers' membership.
export class CredentialStore {
  private readonly query: RunQuery;

  constructor(query: RunQuery) {
    this.query = query;
  }

  async record(
    kind: CredentialKind,
    id: string,
    workspaceId: string,
    maker: Maker,
  ): Promise<void> {
    await ('userId' in maker
      ? this.query(
          `INSERT INTO clerk.credential (kind, id, user_id, workspace_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
          [kind, id, maker.userId, workspaceId],
        )
      : this.query(
          `INSERT INTO clerk.credential (kind, id, user_id, workspace_id)
           SELECT $1, $2, user_id, $4 FROM clerk.credential WHERE kind = 'apiKey' AND id = $3 ON CONFLICT DO NOTHING`,
          [kind, id, maker.apiKeyId, workspaceId],
        ));
  }

  // Asked after recording: whoever is removed meanwhile is either seen here, or finds the record.
  async isStillEntitled(workspaceId: string, maker: Maker): Promise<boolean> {
    const found = await ('userId' in maker
      ? this.query(
          `SELECT FROM core."userWorkspace" membership
            WHERE membership."userId" = $1 AND membership."workspaceId" = $2 AND membership."deletedAt" IS NULL
              AND NOT EXISTS (
                SELECT FROM clerk.refusal refusal JOIN clerk."user" link USING (clerk_user_id)
                 WHERE link.user_id = $1 AND refusal.organization_id = '' AND refusal.reason <> 'locked')`,
          [maker.userId, workspaceId],
        )
      : this.query(
          `SELECT FROM core."apiKey" WHERE id = $1 AND "workspaceId" = $2 AND "revokedAt" IS NULL`,
          [maker.apiKeyId, workspaceId],
        ));

    return found.length > 0;
  }

  async readTarget(webhookId: string): Promise<string | undefined> {
    const [row] = await this.query<{ targetUrl: string }>(
      `SELECT "targetUrl" FROM core.webhook WHERE id = $1`,
      [webhookId],
    );

    return row?.targetUrl;
  }

  async withdraw(kind: CredentialKind, id: string): Promise<void> {
    await this.query(
      kind === 'apiKey'
        ? `UPDATE core."apiKey" SET "revokedAt" = now() WHERE id = $1 AND "revokedAt" IS NULL`
        : `UPDATE core.webhook SET "deletedAt" = now() WHERE id = $1 AND "deletedAt" IS NULL`,
      [id],
    );
  }

  // Everything of a person, in one workspace or in all. It does not come back with them.
  async withdrawAllOf(
    userId: string,
    workspaceId?: string,
  ): Promise<Withdrawn> {
    const theirs = (kind: CredentialKind) =>
      `id IN (SELECT id FROM clerk.credential WHERE kind = '${kind}' AND user_id = $1 AND ($2::uuid IS NULL OR workspace_id = $2))`;
    const parameters = [userId, workspaceId ?? null];
    // In a SELECT, so that the rows come back: of an UPDATE TypeORM gives a count beside them.
    const count = async (changed: string) =>
      (
        await this.query<{ number: number }>(
          `WITH changed AS (${changed} RETURNING id) SELECT count(*)::int AS number FROM changed`,
          parameters,
        )
      )[0].number;

    return {
      apiKeys: await count(
        `UPDATE core."apiKey" SET "revokedAt" = now() WHERE "revokedAt" IS NULL AND ${theirs('apiKey')}`,
      ),
      webhooks: await count(
        `UPDATE core.webhook SET "deletedAt" = now() WHERE "deletedAt" IS NULL AND ${theirs('webhook')}`,
      ),
    };
  }

  // What is in force in a workspace. No secret is among it; an address may hold one, so only its origin is told.
  async list(workspaceId: string): Promise<Credential[]> {
    return await this.query(
      `SELECT credential.kind, credential.id, credential.name, credential."createdAt",
              ARRAY(
                SELECT coalesce(link.clerk_user_id, maker.user_id::text)
                  FROM clerk.credential maker LEFT JOIN clerk."user" link USING (user_id)
                 WHERE maker.kind = credential.kind AND maker.id = credential.id ORDER BY coalesce(link.clerk_user_id, maker.user_id::text) COLLATE "C"
              ) AS makers
         FROM (
           SELECT 'apiKey' AS kind, id, name, "createdAt" FROM core."apiKey"
            WHERE "workspaceId" = $1 AND "revokedAt" IS NULL AND "expiresAt" > now()
           UNION ALL
           SELECT 'webhook', id, substring("targetUrl" FROM '^[a-z]+://(?:[^/?#@]*@)?([^/?#]*)'), "createdAt" FROM core.webhook
            WHERE "workspaceId" = $1 AND "deletedAt" IS NULL
         ) credential
        ORDER BY credential."createdAt", credential.id`,
      [workspaceId],
    );
  }
}
