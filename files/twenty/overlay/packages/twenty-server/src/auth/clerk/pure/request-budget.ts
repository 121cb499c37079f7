// SPDX-License-Identifier: AGPL-3.0-only

// Half of what Clerk takes within its window of 10 s (a development instance 100, a production one 1000 requests): the
// tenant manager asks with the same key, and so do people.
const WINDOW_IN_SECONDS = 10;
export const BUDGET = { test: 50, live: 500 };

// So many requests within any window, not more; quiet for as long as Clerk asks for it.
export class RequestBudget {
  private readonly spent: number[] = [];
  private quietUntil = Number.NEGATIVE_INFINITY;
  private readonly most: number;
  private readonly now: () => number;

  // `now` in seconds.
  constructor(most: number, now: () => number) {
    this.most = most;
    this.now = now;
  }

  // False: not now.
  take(): boolean {
    const now = this.now();

    while (
      this.spent[0] !== undefined &&
      this.spent[0] <= now - WINDOW_IN_SECONDS
    ) {
      this.spent.shift();
    }
    if (now < this.quietUntil || this.spent.length >= this.most) {
      return false;
    }
    this.spent.push(now);

    return true;
  }

  beQuietFor(seconds: number): void {
    this.quietUntil = Math.max(this.quietUntil, this.now() + seconds);
  }
}
