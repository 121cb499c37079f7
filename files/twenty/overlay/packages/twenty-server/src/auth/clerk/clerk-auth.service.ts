// SPDX-License-Identifier: AGPL-3.0-only

import { Inject, Injectable, Logger } from '@nestjs/common';

import { metrics } from '@opentelemetry/api';

import { CLERK_SETTINGS } from 'src/auth/clerk/clerk-config';
import { fetchProfile } from 'src/auth/clerk/pure/clerk-api';
import { type ClerkSettings } from 'src/auth/clerk/pure/clerk-settings';
import { CachedKeySet, FixedKey } from 'src/auth/clerk/pure/key-set';
import { Recent } from 'src/auth/clerk/pure/recent';
import {
  answerOf,
  exchangeSession,
  labelsOf,
  type Answer,
  type ExchangePorts,
} from 'src/auth/clerk/pure/session-exchange';
import { ClerkStoreService } from 'src/auth/clerk/store/clerk-store.service';
import { ClerkTenantsService } from 'src/auth/clerk/tenants/clerk-tenants.service';
import { ThrottlerException } from 'src/engine/core-modules/throttler/throttler.exception';
import { ThrottlerService } from 'src/engine/core-modules/throttler/throttler.service';
import { UserWorkspaceService } from 'src/engine/core-modules/user-workspace/user-workspace.service';

const LIMIT_WINDOW_IN_MS = 60_000;
// An office shares one address; a page that waits for its workspace asks every few seconds.
const LIMIT_PER_WINDOW = { address: 600, person: 60 };
const IN_STEP_FOR_IN_MS = 5 * 60_000;
const MOST_IN_STEP = 10_000;

// Joins the pure exchange to Twenty's services.
@Injectable()
export class ClerkAuthService {
  private readonly logger = new Logger(ClerkAuthService.name);
  private readonly outcomes = metrics
    .getMeter('twenty-server')
    .createCounter('clerk-session/outcome');
  private readonly inStep = new Recent(IN_STEP_FOR_IN_MS, MOST_IN_STEP);
  private readonly ports: ExchangePorts | null;

  constructor(
    @Inject(CLERK_SETTINGS) private readonly settings: ClerkSettings | null,
    private readonly store: ClerkStoreService,
    private readonly tenants: ClerkTenantsService,
    private readonly userWorkspaces: UserWorkspaceService,
    private readonly throttler: ThrottlerService,
  ) {
    this.ports = settings === null ? null : this.createPorts(settings);
  }

  // Null: sign-in by Clerk is off.
  async exchange(
    authorization: string | undefined,
    address: string,
  ): Promise<Answer | null> {
    if (this.settings === null || this.ports === null) {
      return null;
    }

    const outcome = await exchangeSession(
      { authorization, address },
      this.settings,
      this.ports,
    );
    const labels = labelsOf(outcome);

    this.outcomes.add(1, labels);
    this.logger.log(
      `clerk-session outcome=${labels.outcome} reason=${labels.reason}`,
    );

    return answerOf(outcome);
  }

  private createPorts(settings: ClerkSettings): ExchangePorts {
    return {
      keys:
        settings.jwtKey === undefined
          ? new CachedKeySet(settings.keySetUrl, fetch)
          : new FixedKey(settings.jwtKey),
      now: () => Date.now() / 1000,
      admit: (key) => this.admit(key),
      findTenant: async (organizationId) =>
        (await this.store.findOrganization(organizationId)) ??
        (await this.store.findWait(organizationId)),
      findUserId: (clerkUserId) => this.store.findUserId(clerkUserId),
      fetchProfile: (clerkUserId) => fetchProfile(fetch, settings, clerkUserId),
      ensureUser: async (profile) => {
        const { id } = await this.tenants.ensureUser(profile);

        this.inStep.add(profile.clerkUserId);

        return id;
      },
      isInStep: (clerkUserId) => this.inStep.has(clerkUserId),
      isMember: async (userId, workspaceId) =>
        (await this.userWorkspaces.checkUserWorkspaceExists(
          userId,
          workspaceId,
        )) !== null,
      issueTokens: async (userId, workspaceId) =>
        (await this.tenants.issueTokens(userId, workspaceId)).tokens,
      findHome: async (workspaceId) =>
        settings.subdomainsOf === undefined
          ? null
          : await this.tenants.findHome(workspaceId),
    };
  }

  private async admit(key: string): Promise<boolean> {
    const limit = key.startsWith('person:')
      ? LIMIT_PER_WINDOW.person
      : LIMIT_PER_WINDOW.address;

    try {
      await this.throttler.tokenBucketThrottleOrThrow(
        `clerk-session:${key}`,
        1,
        limit,
        LIMIT_WINDOW_IN_MS,
      );

      return true;
    } catch (error) {
      if (error instanceof ThrottlerException) {
        return false;
      }

      throw error;
    }
  }
}
