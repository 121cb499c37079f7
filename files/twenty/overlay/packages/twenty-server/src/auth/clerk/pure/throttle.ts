// SPDX-License-Identifier: AGPL-3.0-only

type Bucket = { tokens: number; at: number };

// Token buckets in this process's memory, exact for requests that come at the same time: reading and writing is one step here.
// Nothing of it is in Redis: what it counts is neither evicted nor in the way when Redis is full. A second server beside this one
// (during a roll) counts for itself.
export class Throttle {
  private readonly buckets = new Map<string, Bucket>();
  private readonly most: number;
  private readonly clock: () => number;

  // At most so many keys; the one that asked longest ago is forgotten first. `clock` in milliseconds.
  constructor(most: number, clock: () => number = Date.now) {
    this.most = most;
    this.clock = clock;
  }

  // Whether one more is within `limit` for a window (milliseconds). Refused ones cost nothing.
  take(key: string, limit: number, window: number): boolean {
    const now = this.clock();
    const { tokens, at } = this.buckets.get(key) ?? { tokens: limit, at: now };
    // A clock that is set back gives nothing, and takes nothing.
    const there = Math.min(
      limit,
      tokens + (Math.max(0, now - at) * limit) / window,
    );
    const admitted = there >= 1;

    this.buckets.delete(key);
    this.buckets.set(key, { tokens: admitted ? there - 1 : there, at: now });

    for (const oldest of this.buckets.keys()) {
      if (this.buckets.size <= this.most) {
        break;
      }
      this.buckets.delete(oldest);
    }

    return admitted;
  }
}
