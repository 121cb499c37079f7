// SPDX-License-Identifier: AGPL-3.0-only

import { Injectable, Logger } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';

import { DataSource } from 'typeorm';

import { type Standing } from 'src/auth/clerk/pure/clerk-api';
import {
  CredentialStore,
  type Credential,
  type Withdrawn,
} from 'src/auth/clerk/store/credential-store';
import { SessionStore } from 'src/auth/clerk/store/session-store';
import { ClerkTenantsException } from 'src/auth/clerk/tenants/clerk-tenants.exception';

const NOTHING: Withdrawn = { apiKeys: 0, webhooks: 0 };

// What ends here because it ended at Clerk: sessions, and the keys of people who are gone. Every call may be repeated.
@Injectable()
export class ClerkSessionsService {
  readonly sessions: SessionStore;
  private readonly credentials: CredentialStore;
  private readonly logger = new Logger(ClerkSessionsService.name);

  constructor(@InjectDataSource() private readonly dataSource: DataSource) {
    const query = async <Row>(sql: string, parameters: unknown[]) =>
      (await this.dataSource.query(sql, parameters)) as Row[];

    this.sessions = new SessionStore(query);
    this.credentials = new CredentialStore(query);
  }

  async endSession(
    sessionId: string,
    clerkUserId: string,
    why: string,
  ): Promise<void> {
    await this.sessions.end({ sessionId, clerkUserId }, why);
    this.logger.log(`A session ended: ${why}`);
  }

  // A ban and a deletion end every session and withdraw every key. A lock passes: sessions rest until then.
  async setStanding(
    clerkUserId: string,
    standing: Standing,
    askedAt = Date.now() / 1000,
  ): Promise<Withdrawn> {
    await this.sessions.setStandings(
      new Map([[clerkUserId, standing]]),
      askedAt,
    );

    if (standing !== 'banned' && standing !== 'deleted') {
      return NOTHING;
    }

    await this.sessions.endAllOf([clerkUserId], `the person is ${standing}`);

    return await this.withdrawAllOf(clerkUserId);
  }

  // What the server itself learns of many people. No key is withdrawn for a deletion that was only read: with the secret
  // key of another instance everybody would look deleted. The tenant manager does it, which stops at too many.
  async setStandings(
    standings: ReadonlyMap<string, Standing>,
    askedAt: number,
  ): Promise<void> {
    await this.sessions.setStandings(standings, askedAt);

    for (const [clerkUserId, standing] of standings) {
      if (standing === 'banned') {
        await this.setStanding(clerkUserId, standing, askedAt);
      }
    }
  }

  async withdrawAllOf(
    clerkUserId: string,
    workspaceId?: string,
  ): Promise<Withdrawn> {
    const [link] = await this.dataSource.query(
      `SELECT user_id AS "userId" FROM clerk."user" WHERE clerk_user_id = $1`,
      [clerkUserId],
    );

    if (link === undefined) {
      return NOTHING;
    }

    const withdrawn = await this.credentials.withdrawAllOf(
      link.userId,
      workspaceId,
    );

    if (withdrawn.apiKeys + withdrawn.webhooks > 0) {
      this.logger.log(
        `Withdrawn with their maker: ${withdrawn.apiKeys} API keys, ${withdrawn.webhooks} webhooks`,
      );
    }

    return withdrawn;
  }

  // Of the workspace of an organisation; those without a maker are from before makers were recorded.
  async listCredentials(organizationId: string): Promise<Credential[]> {
    const [tenant] = await this.dataSource.query(
      `SELECT workspace_id AS "workspaceId" FROM clerk.organization WHERE organization_id = $1 AND workspace_id IS NOT NULL`,
      [organizationId],
    );

    if (tenant === undefined) {
      throw new ClerkTenantsException(
        'tenant-not-found',
        'No workspace belongs to this organisation',
      );
    }

    return await this.credentials.list(tenant.workspaceId);
  }
}
