// SPDX-License-Identifier: AGPL-3.0-only

import {
  ClerkApiUnavailable,
  MOST_PEOPLE_ASKED,
  type ClerkProfile,
  type Standing,
} from './clerk-api';
import { Recent } from './recent';
import { type ClerkSession } from './session-claims';
import { CONFIRM_EVERY, type RefusalReason } from './session-standing';

// A Clerk session in whose name somebody works here. Times in seconds since 1970.
export type SessionInUse = {
  sessionId: string;
  clerkUserId: string;
  // Of the workspace that is worked in; null: it belongs to none.
  organizationId: string | null;
  confirmedAt: number;
};

// What is asked of Clerk; each throws ClerkApiUnavailable.
export type ClerkPorts = {
  isSessionLive(session: {
    sessionId: string;
    clerkUserId: string;
  }): Promise<boolean>;
  // Null: Clerk knows nobody by this id.
  fetchPerson(
    clerkUserId: string,
  ): Promise<{ profile: ClerkProfile; standing: Standing } | null>;
  fetchStandings(ids: readonly string[]): Promise<Map<string, Standing>>;
  fetchMembers(
    organizationId: string,
    ids: readonly string[],
  ): Promise<Set<string>>;
  fetchOrganizationsOf(clerkUserId: string): Promise<Set<string>>;
};

// What is written down. `askedAt`: when Clerk was asked; what was noted later is newer, and stays.
export type SessionStorePorts = {
  find(session: {
    sessionId: string;
    clerkUserId: string;
    organizationId: string | null;
  }): Promise<{
    isOver: boolean;
    // Null: the session is not known.
    confirmedAt: number | null;
    refusedFor: RefusalReason | null;
    refusedAt: number;
    // When Clerk did not know the membership; null: nothing against it.
    noMemberAt: number | null;
  }>;
  // Keeps a session that Clerk holds for good. False: it is over already, whatever Clerk said before.
  begin(
    session: { sessionId: string; clerkUserId: string },
    confirmedAt: number,
  ): Promise<boolean>;
  end(
    session: { sessionId: string; clerkUserId: string },
    why: string,
  ): Promise<void>;
  setStandings(
    standings: ReadonlyMap<string, Standing>,
    askedAt: number,
  ): Promise<void>;
  setMembership(
    clerkUserId: string,
    organizationId: string,
    isMember: boolean,
    askedAt: number,
  ): Promise<void>;
};

export type CheckPorts = ClerkPorts &
  SessionStorePorts & {
    // Seconds since 1970.
    now(): number;
  };

export type Admission =
  // `profile`: Clerk was asked for the person by the way.
  | { kind: 'good'; profile?: ClerkProfile }
  | { kind: 'over' }
  | { kind: 'refused'; reason: RefusalReason };

// Before an exchange: whether Clerk still holds this session, this person and their membership for good.
export const admitSession = async (
  session: ClerkSession,
  ports: CheckPorts,
): Promise<Admission> => {
  const known = await ports.find(session);
  const admission = await admitPerson(session, known, ports);

  if (
    admission.kind !== 'good' ||
    session.organizationId === null ||
    known.noMemberAt === null
  ) {
    return admission;
  }
  // Clerk names no organisation in a token to whom it does not belong.
  if (known.noMemberAt >= session.issuedAt) {
    return { kind: 'refused', reason: 'not-a-member' };
  }
  await ports.setMembership(
    session.clerkUserId,
    session.organizationId,
    true,
    session.issuedAt,
  );

  return admission;
};

const admitPerson = async (
  session: ClerkSession,
  known: Awaited<ReturnType<CheckPorts['find']>>,
  ports: CheckPorts,
): Promise<Admission> => {
  const now = ports.now();
  const refused: Admission | null =
    known.refusedFor === null
      ? null
      : { kind: 'refused', reason: known.refusedFor };

  if (refused !== null && now - known.refusedAt < CONFIRM_EVERY) {
    return refused;
  }
  if (known.isOver) {
    return { kind: 'over' };
  }
  if (
    refused === null &&
    known.confirmedAt !== null &&
    now - known.confirmedAt < CONFIRM_EVERY
  ) {
    return { kind: 'good' };
  }

  try {
    const [isLive, person] = await Promise.all([
      ports.isSessionLive(session),
      ports.fetchPerson(session.clerkUserId),
    ]);
    const standing = person?.standing ?? 'deleted';

    await ports.setStandings(new Map([[session.clerkUserId, standing]]), now);
    if (standing !== 'good') {
      return { kind: 'refused', reason: standing };
    }
    if (!isLive) {
      await ports.end(session, 'ended at Clerk');

      return { kind: 'over' };
    }

    return (await ports.begin(session, now))
      ? { kind: 'good', profile: person?.profile }
      : { kind: 'over' };
  } catch (error) {
    if (!(error instanceof ClerkApiUnavailable)) {
      throw error;
    }
    if (refused !== null) {
      return refused;
    }

    // Clerk signs no token for a session that is over: the token itself is a good answer, as old as it is.
    return (await ports.begin(
      session,
      Math.max(known.confirmedAt ?? 0, Math.min(session.issuedAt, now)),
    ))
      ? { kind: 'good' }
      : { kind: 'over' };
  }
};

const MOST_REMEMBERED = 50_000;
const ASKED_AT_ONCE = 8;

const inParts = <Value>(values: readonly Value[], size: number): Value[][] =>
  Array.from({ length: Math.ceil(values.length / size) }, (_, part) =>
    values.slice(part * size, (part + 1) * size),
  );

// Asks Clerk for sessions in use, each at most once a minute; people and memberships many at a time. Requests never wait for it.
export class SessionChecks {
  private readonly ports: CheckPorts;
  private readonly wake: () => void;
  private readonly offered: Recent;
  private readonly askedPeople: Recent;
  private readonly askedSessions: Recent;
  private waiting = new Map<string, SessionInUse>();
  private isWorking = false;

  // `wake` is called when there is work: call `work` then, soon.
  constructor(ports: CheckPorts, wake: () => void) {
    const recent = () =>
      new Recent(CONFIRM_EVERY, MOST_REMEMBERED, () => ports.now());

    this.ports = ports;
    this.wake = wake;
    this.offered = recent();
    this.askedPeople = recent();
    this.askedSessions = recent();
  }

  offer(session: SessionInUse): void {
    const key = `${session.sessionId} ${session.organizationId}`;

    if (this.offered.has(key)) {
      return;
    }
    this.offered.add(key);
    this.waiting.set(key, session);
    this.wake();
  }

  // One round over what waits. What Clerk does not answer is offered again by the next request of its session.
  async work(): Promise<void> {
    if (this.isWorking || this.waiting.size === 0) {
      return;
    }
    this.isWorking = true;

    // Whoever was confirmed longest ago comes first: the budget may not do for all.
    const round = [...this.waiting].sort(
      ([, one], [, other]) => one.confirmedAt - other.confirmedAt,
    );
    const left = new Set(round.map(([key]) => key));

    this.waiting = new Map();

    try {
      const sessions = round.map(([, session]) => session);

      await this.checkPeople(sessions);
      await this.checkMembers(sessions);
      for (const part of inParts(round, ASKED_AT_ONCE)) {
        await Promise.all(
          part.map(async ([key, session]) => {
            await this.checkSession(session);
            left.delete(key);
          }),
        );
      }
    } finally {
      for (const key of left) {
        this.offered.forget(key);
      }
      this.isWorking = false;
      if (this.waiting.size > 0) {
        this.wake();
      }
    }
  }

  // Everything about one session now, for a renewal. Throws ClerkApiUnavailable.
  async confirm(session: SessionInUse): Promise<void> {
    await Promise.all([
      this.checkPeople([session], true),
      this.checkMembers([session]),
      this.checkSession(session, true),
    ]);
  }

  private async checkPeople(
    sessions: readonly SessionInUse[],
    isUrgent = false,
  ): Promise<void> {
    const people = [
      ...new Set(sessions.map(({ clerkUserId }) => clerkUserId)),
    ].filter((id) => isUrgent || !this.askedPeople.has(id));

    for (const part of inParts(people, MOST_PEOPLE_ASKED)) {
      const askedAt = this.ports.now();
      const standings = await this.ports.fetchStandings(part);

      for (const id of part.filter((id) => !standings.has(id))) {
        // Missing from a list is not yet deleted.
        standings.set(
          id,
          (await this.ports.fetchPerson(id))?.standing ?? 'deleted',
        );
      }
      await this.ports.setStandings(
        new Map(part.map((id) => [id, standings.get(id) ?? 'good'])),
        askedAt,
      );
      part.forEach((id) => this.askedPeople.add(id));
    }
  }

  private async checkMembers(
    sessions: readonly SessionInUse[],
  ): Promise<void> {
    const organizations = new Map<string, Set<string>>();

    for (const { organizationId, clerkUserId } of sessions) {
      if (organizationId !== null) {
        organizations.set(
          organizationId,
          (organizations.get(organizationId) ?? new Set()).add(clerkUserId),
        );
      }
    }

    for (const [organizationId, people] of organizations) {
      for (const part of inParts([...people], MOST_PEOPLE_ASKED)) {
        const askedAt = this.ports.now();
        const members = await this.ports.fetchMembers(organizationId, part);

        for (const id of part) {
          const isMember =
            members.has(id) ||
            (await this.ports.fetchOrganizationsOf(id)).has(organizationId);

          await this.ports.setMembership(id, organizationId, isMember, askedAt);
        }
      }
    }
  }

  private async checkSession(
    session: SessionInUse,
    isUrgent = false,
  ): Promise<void> {
    if (!isUrgent && this.askedSessions.has(session.sessionId)) {
      return;
    }

    const askedAt = this.ports.now();

    // Before the answer: two tabs in two workspaces share a session.
    this.askedSessions.add(session.sessionId);
    try {
      if (await this.ports.isSessionLive(session)) {
        await this.ports.begin(session, askedAt);
      } else {
        await this.ports.end(session, 'ended at Clerk');
      }
    } catch (error) {
      this.askedSessions.forget(session.sessionId);
      throw error;
    }
  }
}
