// SPDX-License-Identifier: AGPL-3.0-only

import { Busy } from './busy';
import { orAborted, pause } from './waiting';

// One session of Postgres. `onLost` is called at most once, when it ends for whatever reason but `end`.
export type LockConnection = {
  query: (
    text: string,
    values: unknown[],
  ) => Promise<{ rows: Record<string, unknown>[] }>;
  onLost: (listener: () => void) => void;
  end: () => Promise<void>;
};

export type LockOptions = {
  signal?: AbortSignal;
  longestWaitInMs?: number;
};

type Session = { connection: LockConnection; lost: AbortController };

const TRY = 'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS locked';
const UNLOCK = 'SELECT pg_advisory_unlock(hashtextextended($1, 0))';
const TRY_EVERY_MS = 250;
const CONNECT_EVERY_MS = 500;
const LONGEST_WAIT_MS = 30_000;
const RETRY_AFTER_S = 5;

// Advisory locks of Postgres, all of a process in one session of its own: no lock, and nobody who waits for one, ever has a
// connection that the work below it needs. Within the process the callers stand in a line for each key; other processes are
// asked by trying again, without blocking the session.
export class Locks {
  private readonly connect: () => Promise<LockConnection>;
  private readonly lines = new Map<string, Promise<void>>();
  private session: Promise<Session> | undefined;

  constructor(connect: () => Promise<LockConnection>) {
    this.connect = connect;
  }

  // Keys are taken in sorted order, so two callers never wait for each other. The work's signal aborts when the caller's does,
  // and when the session is lost and the locks with it: it should end then at its next safe point.
  async withLocks<Result>(
    keys: readonly string[],
    work: (signal: AbortSignal) => Promise<Result>,
    { signal, longestWaitInMs = LONGEST_WAIT_MS }: LockOptions = {},
  ): Promise<Result> {
    const sorted = [...new Set(keys)].sort();
    const waiting = new AbortController();
    const timer = setTimeout(
      () =>
        waiting.abort(
          new Busy(
            'lock',
            `Somebody else has been at it for ${longestWaitInMs / 1000} s`,
            RETRY_AFTER_S,
          ),
        ),
      longestWaitInMs,
    );
    const patience =
      signal === undefined
        ? waiting.signal
        : AbortSignal.any([signal, waiting.signal]);
    const leave: (() => void)[] = [];

    try {
      patience.throwIfAborted();
      for (const key of sorted) {
        leave.push(await this.standInLine(key, patience));
      }
      const session = await this.lockAll(sorted, patience);

      clearTimeout(timer);
      try {
        return await work(
          signal === undefined
            ? session.lost.signal
            : AbortSignal.any([signal, session.lost.signal]),
        );
      } finally {
        await this.unlock(session, sorted);
      }
    } finally {
      clearTimeout(timer);
      leave.reverse().forEach((step) => step());
    }
  }

  async close(): Promise<void> {
    const session = await this.session?.catch(() => undefined);

    this.session = undefined;
    await session?.connection.end().catch(() => undefined);
  }

  // Answers what has to be called to let the next one pass.
  private async standInLine(
    key: string,
    patience: AbortSignal,
  ): Promise<() => void> {
    const before = this.lines.get(key) ?? Promise.resolve();
    let leave: () => void = () => undefined;
    const mine = new Promise<void>((resolve) => {
      leave = resolve;
    });
    const line = before.then(() => mine);

    this.lines.set(key, line);
    void line.then(() => {
      if (this.lines.get(key) === line) {
        this.lines.delete(key);
      }
    });

    try {
      await orAborted(before, patience);
    } catch (error) {
      leave();
      throw error;
    }

    return leave;
  }

  // All in one session; one that is lost in between is begun again.
  private async lockAll(
    keys: readonly string[],
    patience: AbortSignal,
  ): Promise<Session> {
    for (;;) {
      const session = await this.openSession(patience);
      const held: string[] = [];

      try {
        for (const key of keys) {
          while (!(await this.tryLock(session, key))) {
            await pause(TRY_EVERY_MS * (0.5 + Math.random()), patience);
          }
          held.push(key);
          patience.throwIfAborted();
        }
        if (!session.lost.signal.aborted) {
          return session;
        }
      } catch (error) {
        if (!session.lost.signal.aborted) {
          await this.unlock(session, held);
          throw error;
        }
      }
      patience.throwIfAborted();
    }
  }

  private async tryLock(session: Session, key: string): Promise<boolean> {
    try {
      const { rows } = await session.connection.query(TRY, [key]);

      return rows[0]?.locked === true;
    } catch (error) {
      // It never waits on the server's side: a session that fails here is of no use any more.
      await this.drop(session);
      throw error;
    }
  }

  private async unlock(session: Session, keys: readonly string[]) {
    if (session.lost.signal.aborted) {
      return;
    }
    try {
      for (const key of keys) {
        await session.connection.query(UNLOCK, [key]);
      }
    } catch {
      // The locks go with their session.
      await this.drop(session);
    }
  }

  private async openSession(patience: AbortSignal): Promise<Session> {
    for (;;) {
      this.session ??= this.begin();
      const opening = this.session;

      try {
        return await orAborted(opening, patience);
      } catch (error) {
        if (this.session === opening && !patience.aborted) {
          this.session = undefined;
        }
        patience.throwIfAborted();
        try {
          await pause(CONNECT_EVERY_MS, patience);
        } catch {
          throw new Busy(
            'database',
            `Postgres gives no connection for locks: ${error instanceof Error ? error.message : String(error)}`,
            RETRY_AFTER_S,
          );
        }
      }
    }
  }

  private async begin(): Promise<Session> {
    const connection = await this.connect();
    const session: Session = { connection, lost: new AbortController() };

    connection.onLost(() => this.lose(session));

    return session;
  }

  private lose(session: Session) {
    if (session.lost.signal.aborted) {
      return;
    }
    this.session = undefined;
    session.lost.abort(
      new Busy(
        'lock-lost',
        'The connection that held the locks has ended',
        RETRY_AFTER_S,
      ),
    );
  }

  private async drop(session: Session) {
    this.lose(session);
    await session.connection.end().catch(() => undefined);
  }
}
