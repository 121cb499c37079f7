// SPDX-License-Identifier: AGPL-3.0-only

// Remembers keys for a while, at most so many of them. Forgetting one early does no harm.
export class Recent {
  private readonly seen = new Map<string, number>();
  private readonly life: number;
  private readonly most: number;
  private readonly clock: () => number;

  // `life` in milliseconds of `clock`.
  constructor(life: number, most: number, clock: () => number = Date.now) {
    this.life = life;
    this.most = most;
    this.clock = clock;
  }

  has(key: string): boolean {
    return (
      (this.seen.get(key) ?? Number.NEGATIVE_INFINITY) >
      this.clock() - this.life
    );
  }

  forget(key: string): void {
    this.seen.delete(key);
  }

  add(key: string): void {
    this.seen.delete(key);
    this.seen.set(key, this.clock());

    for (const oldest of this.seen.keys()) {
      if (this.seen.size <= this.most) {
        break;
      }
      this.seen.delete(oldest);
    }
  }
}
