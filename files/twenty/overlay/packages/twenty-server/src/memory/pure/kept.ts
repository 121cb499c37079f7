// SPDX-License-Identifier: AGPL-3.0-only
/** What was made for one owner, and of which version of the owner's data. */
export type Entry<V> = { version: string; made: Promise<V> };

/** The part of a bounded cache (lru-cache's LRUCache) that is needed here. */
export type Store<V> = {
  get(owner: string): Entry<V> | undefined;
  set(owner: string, entry: Entry<V>): unknown;
  delete(owner: string): unknown;
};

/** One value per owner, the one of the version asked for; concurrent callers wait for the one that is being made. */
export class Kept<V> {
  private readonly store: Store<V>;

  constructor(store: Store<V>) {
    this.store = store;
  }

  get(owner: string, version: string, make: () => Promise<V>): Promise<V> {
    const found = this.store.get(owner);

    if (found?.version === version) return found.made;

    const entry = { version, made: make() };

    this.store.set(owner, entry);
    // a failure is told to everybody who waits, and the next caller tries again
    entry.made.catch(() => {
      if (this.store.get(owner) === entry) this.store.delete(owner);
    });

    return entry.made;
  }
}

/** How many values of ``cost`` bytes a heap of ``limit`` bytes keeps: a third of it at most, at least one. */
export const keepsAtMost = (limit: number, cost: number): number => Math.max(1, Math.floor(limit / (3 * cost)));
