// SPDX-License-Identifier: AGPL-3.0-only

import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';

import { DataSource } from 'typeorm';

import { connectClerkGate } from 'src/auth/clerk/guards/clerk-gate';
import { isClerkOn } from 'src/auth/clerk/guards/clerk-switch';
import { readInternalSecret } from 'src/auth/clerk/guards/internal-secret';
import { type TenantWait } from 'src/auth/clerk/pure/session-exchange';
import {
  CLERK_SCHEMA_LOCK,
  CLERK_SCHEMA_STATEMENTS,
} from 'src/auth/clerk/store/clerk-schema';
import { LocksService } from 'src/locks/locks.service';

export type ClerkOrganization = {
  organizationId: string;
  // Null until the workspace exists, and again when it was deleted.
  workspaceId: string | null;
  ownerClerkUserId: string;
  status: 'provisioning' | 'active' | 'suspended';
  lacksDataModel: boolean;
};

// Beside the tenant manager's reasons: the workspace is made, and the data model is not in it yet.
const DATA_MODEL = 'data-model';

const ORGANIZATION_COLUMNS = `
  organization.organization_id AS "organizationId",
  workspace.id AS "workspaceId",
  organization.owner_clerk_user_id AS "ownerClerkUserId",
  CASE WHEN workspace.id IS NULL THEN 'provisioning' ELSE organization.status END AS status,
  EXISTS (
    SELECT FROM clerk.waiting wait
     WHERE wait.organization_id = organization.organization_id AND wait.reason = '${DATA_MODEL}'
  ) AS "lacksDataModel"`;

const ORGANIZATION_TABLES = `
  clerk.organization organization
  LEFT JOIN core.workspace workspace
    ON workspace.id = organization.workspace_id AND workspace."deletedAt" IS NULL`;

// Which Twenty user and workspace belong to which Clerk user and organisation.
@Injectable()
export class ClerkStoreService implements OnModuleInit {
  private readonly logger = new Logger(ClerkStoreService.name);

  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly locks: LocksService,
  ) {}

  async onModuleInit() {
    // Without Clerk it is asked as well, whether a listener may hear an event.
    connectClerkGate(this.dataSource);

    if (isClerkOn() || readInternalSecret() !== undefined) {
      await this.ensureSchema();
    }
  }

  // Server and worker may start together, each more than once.
  async ensureSchema(): Promise<void> {
    await this.locks.withLocks([CLERK_SCHEMA_LOCK], async () => {
      await this.dataSource.transaction(async (manager) => {
        for (const statement of CLERK_SCHEMA_STATEMENTS) {
          await manager.query(statement);
        }
      });
    });
    this.logger.log('The schema for Clerk ids is in place');
  }

  async findUserId(clerkUserId: string): Promise<string | null> {
    const [row] = await this.dataSource.query(
      `SELECT person.id AS "userId" FROM clerk."user" link
         JOIN core."user" person ON person.id = link.user_id AND person."deletedAt" IS NULL
        WHERE link.clerk_user_id = $1`,
      [clerkUserId],
    );

    return row?.userId ?? null;
  }

  // Upstream deletes an account with its last membership; to Clerk the person is still there.
  async restoreUser(clerkUserId: string): Promise<void> {
    await this.dataSource.query(
      `UPDATE core."user" person SET "deletedAt" = NULL
         FROM clerk."user" link
        WHERE link.clerk_user_id = $1 AND person.id = link.user_id AND person."deletedAt" IS NOT NULL
          AND NOT EXISTS (
            SELECT FROM core."user" other
             WHERE other.email = person.email AND other.id <> person.id AND other."deletedAt" IS NULL)`,
      [clerkUserId],
    );
  }

  async findClerkUserId(userId: string): Promise<string | null> {
    const [row] = await this.dataSource.query(
      `SELECT clerk_user_id AS "clerkUserId" FROM clerk."user" WHERE user_id = $1`,
      [userId],
    );

    return row?.clerkUserId ?? null;
  }

  async findSessionOwner(sessionId: string): Promise<string | undefined> {
    const [row] = await this.dataSource.query(
      `SELECT clerk_user_id AS "clerkUserId" FROM clerk.session WHERE session_id = $1`,
      [sessionId],
    );

    return row?.clerkUserId;
  }

  // The first link wins, unless its user is gone. Answers the user that is linked in the end.
  async linkUser(clerkUserId: string, userId: string): Promise<string> {
    const [row] = await this.dataSource.query(
      `INSERT INTO clerk."user" AS link (clerk_user_id, user_id) VALUES ($1, $2)
       ON CONFLICT (clerk_user_id) DO UPDATE SET
         user_id = CASE
           WHEN EXISTS (SELECT FROM core."user" WHERE id = link.user_id AND "deletedAt" IS NULL) THEN link.user_id
           ELSE excluded.user_id END,
         updated_at = now()
       RETURNING user_id AS "userId"`,
      [clerkUserId, userId],
    );

    return row.userId;
  }

  async findOrganization(
    organizationId: string,
  ): Promise<ClerkOrganization | null> {
    const [row] = await this.dataSource.query(
      `SELECT ${ORGANIZATION_COLUMNS} FROM ${ORGANIZATION_TABLES} WHERE organization.organization_id = $1`,
      [organizationId],
    );

    return row ?? null;
  }

  // Why an organisation has no workspace yet, as the tenant manager told; null where it told nothing.
  async findWait(organizationId: string): Promise<{
    workspaceId: null;
    status: 'provisioning';
    waitingFor: TenantWait;
  } | null> {
    const [row] = await this.dataSource.query(
      `SELECT reason FROM clerk.waiting WHERE organization_id = $1 AND reason <> '${DATA_MODEL}'`,
      [organizationId],
    );

    return row === undefined
      ? null
      : { workspaceId: null, status: 'provisioning', waitingFor: row.reason };
  }

  async setWait(
    organizationId: string,
    reason: TenantWait | typeof DATA_MODEL | null,
  ): Promise<void> {
    await (reason === null
      ? this.dataSource.query(
          `DELETE FROM clerk.waiting WHERE organization_id = $1`,
          [organizationId],
        )
      : this.dataSource.query(
          `INSERT INTO clerk.waiting (organization_id, reason) VALUES ($1, $2)
           ON CONFLICT (organization_id) DO UPDATE SET reason = excluded.reason`,
          [organizationId, reason],
        ));
  }

  // The data model is in the workspace: whoever waits for it is let in.
  async endWaitForDataModel(workspaceId: string): Promise<void> {
    await this.dataSource.query(
      `DELETE FROM clerk.waiting wait USING clerk.organization organization
        WHERE organization.workspace_id = $1 AND wait.organization_id = organization.organization_id
          AND wait.reason = '${DATA_MODEL}'`,
      [workspaceId],
    );
  }

  async listOrganizations(
    limit: number,
    offset: number,
  ): Promise<{ organizations: ClerkOrganization[]; total: number }> {
    const organizations = await this.dataSource.query(
      `SELECT ${ORGANIZATION_COLUMNS} FROM ${ORGANIZATION_TABLES}
        ORDER BY organization.created_at, organization.organization_id LIMIT $1 OFFSET $2`,
      [limit, offset],
    );
    const [{ total }] = await this.dataSource.query(
      `SELECT count(*)::int AS total FROM clerk.organization`,
    );

    return { organizations, total };
  }

  // Written before the workspace is made: what a killed server leaves behind is then found again.
  async announceOrganization(
    organizationId: string,
    ownerClerkUserId: string,
  ): Promise<void> {
    await this.dataSource.query(
      `INSERT INTO clerk.organization AS organization (organization_id, owner_clerk_user_id) VALUES ($1, $2)
       ON CONFLICT (organization_id) DO UPDATE SET owner_clerk_user_id = excluded.owner_clerk_user_id, updated_at = now()`,
      [organizationId, ownerClerkUserId],
    );
  }

  async linkWorkspace(
    organizationId: string,
    workspaceId: string | null,
  ): Promise<void> {
    await this.dataSource.query(
      `UPDATE clerk.organization SET workspace_id = $2, status = 'provisioning', updated_at = now()
        WHERE organization_id = $1`,
      [organizationId, workspaceId],
    );
  }

  // A workspace of this owner that was begun and never linked, from a creation that was cut off.
  async findAbandonedWorkspaceId(userId: string): Promise<string | null> {
    const [row] = await this.dataSource.query(
      `SELECT workspace.id FROM core.workspace workspace
         JOIN core."userWorkspace" membership
           ON membership."workspaceId" = workspace.id AND membership."userId" = $1 AND membership."deletedAt" IS NULL
        WHERE workspace."activationStatus" = 'PENDING_CREATION' AND workspace."deletedAt" IS NULL
          AND NOT EXISTS (SELECT FROM clerk.organization WHERE workspace_id = workspace.id)
        ORDER BY workspace."createdAt" LIMIT 1`,
      [userId],
    );

    return row?.id ?? null;
  }

  // Sessions from before a suspension stay ended after it.
  async setStatus(
    organizationId: string,
    status: 'active' | 'suspended',
  ): Promise<void> {
    await this.dataSource.query(
      `UPDATE clerk.organization SET
         sessions_from = CASE WHEN $2 = 'suspended' THEN now() ELSE sessions_from END,
         status = $2, updated_at = now()
        WHERE organization_id = $1 AND status <> $2`,
      [organizationId, status],
    );
  }

  // Refresh tokens are rows; without them a session cannot be renewed, nor come back with a later membership.
  async endSessions(workspaceId: string, userId?: string): Promise<void> {
    await this.dataSource.query(
      `DELETE FROM core."appToken"
        WHERE "workspaceId" = $1 AND type = 'REFRESH_TOKEN' AND ($2::uuid IS NULL OR "userId" = $2)`,
      [workspaceId, userId ?? null],
    );
  }
}
