// SPDX-License-Identifier: AGPL-3.0-only

// JSON is held in memory until it is worked off; files are written to the disk as they come.
export type BodyKind = 'memory' | 'disk';

export type Body = {
  visitor: string;
  kind: BodyKind;
  since: number;
  // Bytes that have come, and whether that is all.
  received(): number;
  isWhole(): boolean;
  end(): void;
};

// `most` and `mostOfVisitor` count those that are still coming, `bytes` all that are held.
export type BodyLimits = {
  most: number;
  mostOfVisitor: number;
  bytes: Record<BodyKind, number>;
  graceInMs: number;
  leastBytesPerSecond: number;
};

const oldestOf = (bodies: Body[]): Body =>
  bodies.reduce((oldest, body) => (body.since < oldest.since ? body : oldest));

const largestOf = (bodies: Body[]): Body =>
  bodies.reduce((largest, body) =>
    body.received() > largest.received() ? body : largest,
  );

// Decides over large bodies: how many at a time, how many bytes, how slowly. Who has most gives way first, so that a crowd that
// fills the room takes it from itself and not from the next visitor.
export class BodyGate {
  private readonly bodies = new Set<Body>();
  private readonly limits: BodyLimits;
  private readonly clock: () => number;

  // `clock` in milliseconds, the same as `since`.
  constructor(limits: BodyLimits, clock: () => number = Date.now) {
    this.limits = limits;
    this.clock = clock;
  }

  get size(): number {
    return this.bodies.size;
  }

  // False: there is no room for this one now.
  enter(body: Body): boolean {
    const coming = [...this.bodies].filter((other) => !other.isWhole());
    const own = coming.filter(
      (other) => other.visitor === body.visitor,
    ).length;

    if (own >= this.limits.mostOfVisitor) {
      return false;
    }
    if (coming.length >= this.limits.most) {
      const crowd = this.fullest(coming, (bodies) => bodies.length);

      if (crowd.length <= own + 1) {
        return false;
      }
      this.put(oldestOf(crowd));
    }
    this.bodies.add(body);

    return true;
  }

  leave(body: Body): void {
    this.bodies.delete(body);
  }

  // Ends what is too slow, and what is too much in all. Called on a clock.
  look(): void {
    const { graceInMs, leastBytesPerSecond, bytes } = this.limits;

    for (const body of [...this.bodies]) {
      const over = this.clock() - body.since - graceInMs;

      if (
        over > 0 &&
        !body.isWhole() &&
        body.received() < (over / 1000) * leastBytesPerSecond
      ) {
        this.put(body);
      }
    }

    for (const kind of Object.keys(bytes) as BodyKind[]) {
      for (;;) {
        const held = [...this.bodies].filter((body) => body.kind === kind);
        const coming = held.filter((body) => !body.isWhole());

        if (sum(held) <= bytes[kind] || coming.length === 0) {
          break;
        }
        this.put(largestOf(this.fullest(coming, sum)));
      }
    }
  }

  private put(body: Body): void {
    this.bodies.delete(body);
    body.end();
  }

  // Bodies of the visitor who has most by this measure.
  private fullest(
    bodies: Body[],
    measure: (bodies: Body[]) => number,
  ): Body[] {
    const byVisitor = new Map<string, Body[]>();

    for (const body of bodies) {
      const theirs = byVisitor.get(body.visitor) ?? [];

      theirs.push(body);
      byVisitor.set(body.visitor, theirs);
    }

    return [...byVisitor.values()].reduce<Body[]>(
      (most, theirs) => (measure(theirs) > measure(most) ? theirs : most),
      [],
    );
  }
}

const sum = (bodies: Body[]): number =>
  bodies.reduce((total, body) => total + body.received(), 0);
