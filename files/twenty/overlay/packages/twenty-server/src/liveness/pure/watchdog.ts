// SPDX-License-Identifier: AGPL-3.0-only

import { type Probe } from './probe';

export type WatchdogOptions = {
  // Answered through the connections that everything in this process uses.
  own: readonly Probe[];
  // Answered on a connection that is made for this one question.
  fresh: Probe;
  // Called once, with the reason.
  end: (reason: string) => void;
  say: (message: string) => void;
  stuckAfterMs?: number;
  everyMs?: number;
  answerWithinMs?: number;
  now?: () => number;
};

// Ends the process when its own connections have answered nothing for a minute while Postgres does answer: then only a new start
// helps. While Postgres does not answer anybody (it is being restarted) the process stays: it is not what is broken.
export class Watchdog {
  private readonly options: Required<WatchdogOptions>;
  private stuckSince: number | null = null;
  private lastLook: number | null = null;
  private timer: NodeJS.Timeout | undefined;
  private hasEnded = false;

  constructor(options: WatchdogOptions) {
    this.options = {
      stuckAfterMs: 60_000,
      everyMs: 5_000,
      answerWithinMs: 4_000,
      now: Date.now,
      ...options,
    };
  }

  start() {
    this.timer = setTimeout(() => {
      void this.look().finally(() => {
        if (!this.hasEnded && this.timer !== undefined) {
          this.start();
        }
      });
    }, this.options.everyMs);
    this.timer.unref();
  }

  stop() {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  async look(): Promise<void> {
    const { own, fresh, say, now, answerWithinMs, stuckAfterMs, everyMs } =
      this.options;
    const begun = now();

    // The process itself stood still (the machine slept, the container was paused): what that hid is not counted.
    if (
      this.lastLook !== null &&
      begun - this.lastLook > everyMs + 2 * answerWithinMs + 15_000
    ) {
      this.stuckSince = null;
    }
    const complaints: string[] = [];

    for (const probe of own) {
      const complaint = await probe.complaint(answerWithinMs);

      if (complaint !== null) {
        complaints.push(`${probe.name}: ${complaint}`);
      }
    }
    const elsewhere =
      complaints.length === 0 ? null : await fresh.complaint(answerWithinMs);

    this.lastLook = now();
    if (complaints.length === 0 || elsewhere !== null) {
      if (this.stuckSince !== null) {
        say(
          complaints.length === 0
            ? 'the own connections answer again'
            : `a fresh connection is not answered either (${elsewhere}): waiting for Postgres`,
        );
      }
      this.stuckSince = null;

      return;
    }
    if (this.stuckSince === null) {
      this.stuckSince = begun;
      say(
        `no answer through the own connections, though a fresh one is answered: ${complaints.join('; ')}`,
      );
    }
    const stuckForMs = now() - this.stuckSince;

    if (stuckForMs >= stuckAfterMs && !this.hasEnded) {
      this.hasEnded = true;
      this.options.end(
        `for ${Math.round(stuckForMs / 1000)} s no query was answered through the own connections, while a fresh one was: ${complaints.join('; ')}`,
      );
    }
  }
}
