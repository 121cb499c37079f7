// SPDX-License-Identifier: AGPL-3.0-only

import {
  Inject,
  Injectable,
  Logger,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';

import { CLERK_SETTINGS } from 'src/auth/clerk/clerk-config';
import { connectSessionWatch } from 'src/auth/clerk/guards/clerk-gate';
import {
  ClerkApiUnavailable,
  fetchMembers,
  fetchOrganizationsOf,
  fetchPerson,
  fetchStandings,
  isSessionLive,
} from 'src/auth/clerk/pure/clerk-api';
import { type ClerkSettings } from 'src/auth/clerk/pure/clerk-settings';
import { BUDGET, RequestBudget } from 'src/auth/clerk/pure/request-budget';
import {
  SessionChecks,
  type CheckPorts,
  type SessionInUse,
} from 'src/auth/clerk/pure/session-checks';
import { ClerkSessionsService } from 'src/auth/clerk/sessions/clerk-sessions.service';

// What comes within it is asked together.
const GATHER_FOR_IN_MS = 500;
const FORGET_EVERY_IN_MS = 60 * 60_000;
// Longest that a renewal waits for Clerk.
const CONFIRM_WITHIN_IN_MS = 4_000;

const nowInSeconds = () => Date.now() / 1000;

// Asks Clerk for the sessions that are in use, within Clerk's rate limit and beside every request.
@Injectable()
export class ClerkSessionWatchService implements OnModuleInit, OnModuleDestroy {
  // Null: sign-in by Clerk is off.
  readonly ports: CheckPorts | null;
  private readonly logger = new Logger(ClerkSessionWatchService.name);
  private readonly checks: SessionChecks | null;
  private readonly confirming = new Map<string, Promise<boolean>>();
  private round: NodeJS.Timeout | undefined;
  private forgetting: NodeJS.Timeout | undefined;
  private isSilent = false;

  constructor(
    @Inject(CLERK_SETTINGS) settings: ClerkSettings | null,
    private readonly sessions: ClerkSessionsService,
  ) {
    this.ports = settings === null ? null : this.createPorts(settings);
    this.checks =
      this.ports === null
        ? null
        : new SessionChecks(this.ports, () => this.wake());
  }

  onModuleInit() {
    const { checks } = this;

    if (checks === null) {
      return;
    }

    connectSessionWatch({
      offer: (session) => checks.offer(session),
      confirm: (session) => this.confirm(checks, session),
    });
    this.forgetting = setInterval(
      () =>
        void this.sessions.sessions
          .forgetOld()
          .catch((error) => this.logger.warn(`Old sessions stay: ${error}`)),
      FORGET_EVERY_IN_MS,
    ).unref();
  }

  onModuleDestroy() {
    clearTimeout(this.round);
    clearInterval(this.forgetting);
  }

  private wake(): void {
    this.round ??= setTimeout(() => {
      this.round = undefined;
      void this.checks?.work().then(
        () => this.noteAnswer(),
        (error) => this.noteFailure(error),
      );
    }, GATHER_FOR_IN_MS).unref();
  }

  // Ten requests of one page ask once.
  private async confirm(
    checks: SessionChecks,
    session: SessionInUse,
  ): Promise<boolean> {
    const key = `${session.sessionId} ${session.organizationId}`;
    const asking =
      this.confirming.get(key) ??
      checks
        .confirm(session)
        .then(
          () => true,
          (error) => {
            this.noteFailure(error);

            return false;
          },
        )
        .finally(() => this.confirming.delete(key));

    this.confirming.set(key, asking);

    let timer: NodeJS.Timeout | undefined;

    try {
      return await Promise.race([
        asking,
        new Promise<boolean>((resolve) => {
          timer = setTimeout(() => resolve(false), CONFIRM_WITHIN_IN_MS);
        }),
      ]);
    } finally {
      clearTimeout(timer);
    }
  }

  private noteAnswer(): void {
    if (this.isSilent) {
      this.isSilent = false;
      this.logger.log('Clerk answers again about sessions in use');
    }
  }

  // Said once for an outage, not once a minute for each session.
  private noteFailure(error: unknown): void {
    if (!(error instanceof ClerkApiUnavailable)) {
      this.logger.error(
        'Sessions in use could not be checked',
        error instanceof Error ? error.stack : undefined,
      );
    } else if (!this.isSilent) {
      this.isSilent = true;
      this.logger.warn(
        `Sessions in use cannot be checked, and go on for 30 minutes: ${error.message}`,
      );
    }
  }

  private createPorts(settings: ClerkSettings): CheckPorts {
    const { sessions } = this.sessions;
    const budget = new RequestBudget(
      settings.secretKey.startsWith('sk_live_') ? BUDGET.live : BUDGET.test,
      nowInSeconds,
    );
    const within = async <Answer>(ask: () => Promise<Answer>) => {
      if (!budget.take()) {
        throw new ClerkApiUnavailable('asked as often as we may', 1);
      }

      try {
        return await ask();
      } catch (error) {
        if (error instanceof ClerkApiUnavailable && error.wantsQuiet) {
          budget.beQuietFor(error.retryAfterInSeconds);
        }
        throw error;
      }
    };

    return {
      now: nowInSeconds,
      isSessionLive: (session) =>
        within(() => isSessionLive(fetch, settings, session)),
      fetchPerson: (id) => within(() => fetchPerson(fetch, settings, id)),
      fetchStandings: (ids) =>
        within(() => fetchStandings(fetch, settings, ids)),
      fetchMembers: (organizationId, ids) =>
        within(() => fetchMembers(fetch, settings, organizationId, ids)),
      fetchOrganizationsOf: (id) =>
        within(() => fetchOrganizationsOf(fetch, settings, id)),
      find: (session) => sessions.find(session),
      begin: (session, confirmedAt) => sessions.begin(session, confirmedAt),
      end: (session, why) =>
        this.sessions.endSession(session.sessionId, session.clerkUserId, why),
      setStandings: (standings, askedAt) =>
        this.sessions.setStandings(standings, askedAt),
      setMembership: (clerkUserId, organizationId, isMember, askedAt) =>
        sessions.setMembership(clerkUserId, organizationId, isMember, askedAt),
    };
  }
}
