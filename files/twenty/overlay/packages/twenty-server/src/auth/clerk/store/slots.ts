// SPDX-License-Identifier: AGPL-3.0-only

// At most so many at once, the others in their order.
export class Slots {
  private readonly waiting: Array<() => void> = [];
  private free: number;

  constructor(size: number) {
    this.free = size;
  }

  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.free > 0) {
      this.free -= 1;
    } else {
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }

    try {
      return await work();
    } finally {
      const next = this.waiting.shift();

      if (next === undefined) {
        this.free += 1;
      } else {
        next();
      }
    }
  }
}
