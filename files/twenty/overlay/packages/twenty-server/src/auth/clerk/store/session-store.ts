// SPDX-License-Identifier: AGPL-3.0-only

import { type Standing } from 'src/auth/clerk/pure/clerk-api';
import { type SessionStorePorts } from 'src/auth/clerk/pure/session-checks';
import {
  type RefusalReason,
  type SessionState,
} from 'src/auth/clerk/pure/session-standing';

export type RunQuery = <Row>(
  sql: string,
  parameters: unknown[],
) => Promise<Row[]>;

export type TenantState = {
  status: 'provisioning' | 'active' | 'suspended';
  // Seconds since 1970, the last suspension; only tokens issued later are admitted.
  sessionsFrom: number;
};

const SECONDS = (column: string) =>
  `extract(epoch FROM ${column})::float8`;

// Sessions of Clerk, and who is not let in, in our own schema. What is over stays over: nothing here takes that back.
export class SessionStore implements SessionStorePorts {
  private readonly query: RunQuery;

  constructor(query: RunQuery) {
    this.query = query;
  }

  // All that decides about a request, in one question.
  async readForRequest(
    workspaceId: string,
    sessionId: string | null,
  ): Promise<{
    tenant: TenantState | undefined;
    organizationId: string | null;
    session: SessionState | undefined;
  }> {
    const [row] = await this.query<
      TenantState & SessionState & { organizationId: string | null }
    >(
      `SELECT organization.organization_id AS "organizationId", organization.status,
              floor(${SECONDS('organization.sessions_from')}) AS "sessionsFrom",
              session.clerk_user_id AS "clerkUserId", session.ended_at IS NOT NULL AS "isOver",
              ${SECONDS('session.confirmed_at')} AS "confirmedAt", refusal.reason AS "refusedFor"
         FROM (SELECT) one
         LEFT JOIN clerk.organization organization ON organization.workspace_id = $1
         LEFT JOIN clerk.session session ON session.session_id = $2
         LEFT JOIN LATERAL (
           SELECT reason FROM clerk.refusal
            WHERE clerk_user_id = session.clerk_user_id
              AND organization_id IN ('', organization.organization_id)
            ORDER BY organization_id LIMIT 1
         ) refusal ON true`,
      [workspaceId, sessionId],
    );
    const { organizationId, status, sessionsFrom, ...session } = row;

    return {
      organizationId,
      tenant: organizationId === null ? undefined : { status, sessionsFrom },
      session: session.clerkUserId === null ? undefined : session,
    };
  }

  async find({
    sessionId,
    clerkUserId,
    organizationId,
  }: {
    sessionId: string;
    clerkUserId: string;
    organizationId: string | null;
  }) {
    const [row] = await this.query<{
      isOver: boolean;
      confirmedAt: number | null;
      refusedFor: RefusalReason | null;
      refusedAt: number;
      noMemberAt: number | null;
    }>(
      // A session that is somebody else's is none of theirs.
      `SELECT coalesce(session.ended_at IS NOT NULL OR session.clerk_user_id <> $2, false) AS "isOver",
              ${SECONDS('session.confirmed_at')} AS "confirmedAt", refusal.reason AS "refusedFor",
              coalesce(${SECONDS('refusal.noted_at')}, 0) AS "refusedAt", ${SECONDS('membership.noted_at')} AS "noMemberAt"
         FROM (SELECT) one
         LEFT JOIN clerk.session session ON session.session_id = $1
         LEFT JOIN clerk.refusal refusal ON refusal.clerk_user_id = $2 AND refusal.organization_id = ''
         LEFT JOIN clerk.refusal membership ON membership.clerk_user_id = $2 AND membership.organization_id = nullif($3, '')`,
      [sessionId, clerkUserId, organizationId ?? ''],
    );

    return row;
  }

  async begin(
    { sessionId, clerkUserId }: { sessionId: string; clerkUserId: string },
    confirmedAt: number,
  ): Promise<boolean> {
    const [row] = await this.query<{ isOver: boolean }>(
      `INSERT INTO clerk.session AS known (session_id, clerk_user_id, confirmed_at) VALUES ($1, $2, to_timestamp($3))
       ON CONFLICT (session_id) DO UPDATE SET confirmed_at = greatest(known.confirmed_at, excluded.confirmed_at)
       RETURNING ended_at IS NOT NULL OR clerk_user_id <> $2 AS "isOver"`,
      [sessionId, clerkUserId, confirmedAt],
    );

    return !row.isOver;
  }

  // Also one that is not known here: an exchange that is on its way finds it over.
  async end(
    { sessionId, clerkUserId }: { sessionId: string; clerkUserId: string },
    why: string,
  ): Promise<void> {
    await this.query(
      `INSERT INTO clerk.session AS known (session_id, clerk_user_id, confirmed_at, ended_at, ended_why)
       VALUES ($1, $2, to_timestamp(0), now(), $3)
       ON CONFLICT (session_id) DO UPDATE SET ended_at = now(), ended_why = excluded.ended_why WHERE known.ended_at IS NULL`,
      [sessionId, clerkUserId, why],
    );
  }

  async endAllOf(clerkUserIds: readonly string[], why: string): Promise<void> {
    await this.query(
      `UPDATE clerk.session SET ended_at = now(), ended_why = $2
        WHERE clerk_user_id = ANY($1::text[]) AND ended_at IS NULL`,
      [clerkUserIds, why],
    );
  }

  async setStandings(
    standings: ReadonlyMap<string, Standing>,
    askedAt: number,
  ): Promise<void> {
    const good = [...standings].filter(([, standing]) => standing === 'good');
    const refused = [...standings].filter(([, standing]) => standing !== 'good');

    if (good.length > 0) {
      await this.query(
        `DELETE FROM clerk.refusal
          WHERE clerk_user_id = ANY($1::text[]) AND organization_id = '' AND noted_at <= to_timestamp($2)`,
        [good.map(([id]) => id), askedAt],
      );
    }
    if (refused.length > 0) {
      await this.query(
        `INSERT INTO clerk.refusal (clerk_user_id, reason)
         SELECT * FROM unnest($1::text[], $2::text[])
         ON CONFLICT (clerk_user_id, organization_id) DO UPDATE SET reason = excluded.reason, noted_at = now()`,
        [refused.map(([id]) => id), refused.map(([, reason]) => reason)],
      );
    }
  }

  async setMembership(
    clerkUserId: string,
    organizationId: string,
    isMember: boolean,
    askedAt: number,
  ): Promise<void> {
    await (isMember
      ? this.query(
          `DELETE FROM clerk.refusal WHERE clerk_user_id = $1 AND organization_id = $2 AND noted_at <= to_timestamp($3)`,
          [clerkUserId, organizationId, askedAt],
        )
      : this.query(
          `INSERT INTO clerk.refusal (clerk_user_id, organization_id, reason) VALUES ($1, $2, 'not-a-member')
           ON CONFLICT (clerk_user_id, organization_id) DO UPDATE SET noted_at = now()`,
          [clerkUserId, organizationId],
        ));
  }

  async listRefused(): Promise<{ clerkUserId: string; standing: Standing }[]> {
    return await this.query(
      `SELECT clerk_user_id AS "clerkUserId", reason AS standing FROM clerk.refusal WHERE organization_id = '' ORDER BY 1`,
      [],
    );
  }

  // What nobody can come back with: a token whose session is not known is refused as well.
  async forgetOld(): Promise<void> {
    await this.query(
      `DELETE FROM clerk.session
        WHERE ended_at < now() - interval '7 days' OR confirmed_at < now() - interval '90 days' AND ended_at IS NULL`,
      [],
    );
  }
}
