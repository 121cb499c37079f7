// SPDX-License-Identifier: AGPL-3.0-only

import { Inject, Injectable, Logger } from '@nestjs/common';

import { metrics } from '@opentelemetry/api';

import { CLERK_SETTINGS } from 'src/auth/clerk/clerk-config';
import { type ClerkSettings } from 'src/auth/clerk/pure/clerk-settings';
import { CachedKeySet, FixedKey } from 'src/auth/clerk/pure/key-set';
import { Recent } from 'src/auth/clerk/pure/recent';
import {
  admitSession,
  type CheckPorts,
} from 'src/auth/clerk/pure/session-checks';
import {
  answerOf,
  endSession,
  exchangeSession,
  labelsOf,
  type Answer,
  type ExchangePorts,
} from 'src/auth/clerk/pure/session-exchange';
import { ownerOf } from 'src/auth/clerk/pure/session-standing';
import { Throttle } from 'src/auth/clerk/pure/throttle';
import { ClerkSessionWatchService } from 'src/auth/clerk/sessions/clerk-session-watch.service';
import { ClerkStoreService } from 'src/auth/clerk/store/clerk-store.service';
import { ClerkTenantsService } from 'src/auth/clerk/tenants/clerk-tenants.service';
import {
  JwtTokenTypeEnum,
  type AccessTokenJwtPayload,
} from 'src/engine/core-modules/auth/types/auth-context.type';
import { JwtWrapperService } from 'src/engine/core-modules/jwt/services/jwt-wrapper.service';
import { UserWorkspaceService } from 'src/engine/core-modules/user-workspace/user-workspace.service';

const LIMIT_WINDOW_IN_MS = 60_000;
// An office shares one address; a page that waits for its workspace asks every few seconds.
const LIMIT_PER_WINDOW = { address: 600, person: 60 };
const IN_STEP_FOR_IN_MS = 5 * 60_000;
const MOST_IN_STEP = 10_000;
const MOST_THROTTLED = 50_000;

// Joins the pure exchange to Twenty's services.
@Injectable()
export class ClerkAuthService {
  private readonly logger = new Logger(ClerkAuthService.name);
  private readonly outcomes = metrics
    .getMeter('twenty-server')
    .createCounter('clerk-session/outcome');
  private readonly inStep = new Recent(IN_STEP_FOR_IN_MS, MOST_IN_STEP);
  private readonly throttle = new Throttle(MOST_THROTTLED);
  private readonly ports: ExchangePorts | null;
  private readonly checks: CheckPorts | null;

  constructor(
    @Inject(CLERK_SETTINGS) private readonly settings: ClerkSettings | null,
    private readonly store: ClerkStoreService,
    private readonly tenants: ClerkTenantsService,
    private readonly userWorkspaces: UserWorkspaceService,
    private readonly jwtWrapper: JwtWrapperService,
    watch: ClerkSessionWatchService,
  ) {
    this.checks = watch.ports;
    this.ports =
      settings === null || watch.ports === null
        ? null
        : this.createPorts(settings, watch.ports);
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

  // Signing out. Null: sign-in by Clerk is off.
  async end(
    authorization: string | undefined,
    address: string,
  ): Promise<{ status: number } | null> {
    const { settings, ports, checks } = this;

    if (settings === null || ports === null || checks === null) {
      return null;
    }

    const why = 'signed out';
    const outcome = await endSession({ authorization, address }, settings, {
      keys: ports.keys,
      now: ports.now,
      admit: ports.admit,
      end: (session) => checks.end(session, why),
      endByAccessToken: async (token) => {
        const sessionId = await this.readSessionId(token);
        const known =
          sessionId === null
            ? undefined
            : await this.store.findSessionOwner(sessionId);

        if (sessionId === null || known === undefined) {
          return false;
        }
        await checks.end({ sessionId, clerkUserId: known }, why);

        return true;
      },
    });

    this.logger.log(`clerk-session outcome=sign-out reason=${outcome.status}`);

    return outcome;
  }

  // Of an access token of ours that is still good.
  private async readSessionId(token: string): Promise<string | null> {
    try {
      await this.jwtWrapper.verifyJwtToken(token, JwtTokenTypeEnum.ACCESS);

      const owner = ownerOf(
        this.jwtWrapper.decode<AccessTokenJwtPayload>(token),
      );

      return owner.kind === 'session' ? owner.sessionId : null;
    } catch {
      return null;
    }
  }

  private createPorts(
    settings: ClerkSettings,
    checks: CheckPorts,
  ): ExchangePorts {
    return {
      keys:
        settings.jwtKey === undefined
          ? new CachedKeySet(settings.keySetUrl, fetch)
          : new FixedKey(settings.jwtKey),
      now: () => Date.now() / 1000,
      admit: (key) => this.admit(key),
      admitSession: (session) => admitSession(session, checks),
      findTenant: async (organizationId) =>
        (await this.store.findOrganization(organizationId)) ??
        (await this.store.findWait(organizationId)),
      findUserId: (clerkUserId) => this.store.findUserId(clerkUserId),
      fetchProfile: async (clerkUserId) =>
        (await checks.fetchPerson(clerkUserId))?.profile ?? null,
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
      issueTokens: async (userId, workspaceId, { sessionId }) =>
        (await this.tenants.issueTokens(userId, workspaceId, sessionId)).tokens,
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

    return this.throttle.take(key, limit, LIMIT_WINDOW_IN_MS);
  }
}
