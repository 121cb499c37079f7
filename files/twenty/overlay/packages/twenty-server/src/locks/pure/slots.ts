// SPDX-License-Identifier: AGPL-3.0-only

import { Busy } from './busy';

export type SlotLimits = {
  // For messages.
  name: string;
  size: number;
  mostWaiting: number;
  longestWaitInMs: number;
  retryAfterInSeconds: number;
};

type Waiter = { take: () => void };

// At most so many at once, the others in their order: at most so many of them, and none longer than so long.
export class Slots {
  private readonly limits: SlotLimits;
  private readonly waiting = new Set<Waiter>();
  private free: number;

  constructor(limits: SlotLimits) {
    this.limits = limits;
    this.free = limits.size;
  }

  get state(): { free: number; waiting: number } {
    return { free: this.free, waiting: this.waiting.size };
  }

  // The slot is kept until the work has ended, also when nobody waits for it any more.
  async run<Result>(
    work: () => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result> {
    await this.take(signal);

    try {
      signal?.throwIfAborted();

      return await work();
    } finally {
      this.giveBack();
    }
  }

  private async take(signal?: AbortSignal): Promise<void> {
    const { name, mostWaiting, longestWaitInMs } = this.limits;

    signal?.throwIfAborted();
    if (this.free > 0) {
      this.free -= 1;

      return;
    }
    if (this.waiting.size >= mostWaiting) {
      throw this.busy(`${mostWaiting} wait already`);
    }

    let timer: NodeJS.Timeout | undefined;
    let giveUp: (() => void) | undefined;
    let waiter: Waiter | undefined;

    try {
      await new Promise<void>((resolve, reject) => {
        waiter = { take: resolve };
        this.waiting.add(waiter);
        timer = setTimeout(
          () =>
            reject(
              this.busy(`none for ${longestWaitInMs / 1000} s (${name})`),
            ),
          longestWaitInMs,
        );
        giveUp = () => reject(signal?.reason);
        signal?.addEventListener('abort', giveUp, { once: true });
      });
    } catch (error) {
      // Not among the waiting any more: it was given the slot in the same moment, and gives it on.
      if (waiter !== undefined && !this.waiting.delete(waiter)) {
        this.giveBack();
      }
      throw error;
    } finally {
      clearTimeout(timer);
      if (giveUp !== undefined) {
        signal?.removeEventListener('abort', giveUp);
      }
    }
  }

  private giveBack() {
    const [next] = this.waiting;

    if (next === undefined) {
      this.free += 1;

      return;
    }
    this.waiting.delete(next);
    next.take();
  }

  private busy(words: string) {
    return new Busy(
      'slots',
      `No slot for ${this.limits.name}: ${words}`,
      this.limits.retryAfterInSeconds,
    );
  }
}
