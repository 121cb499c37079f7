// SPDX-License-Identifier: AGPL-3.0-only

import { AsyncLocalStorage } from 'node:async_hooks';

import { Slots, type SlotLimits } from '../../locks/pure/slots';

/**
 * Slots for each key (a workspace, or a request that has none), so that one of them cannot take what all share. Work that is begun inside
 * a slot's work takes no second one: it would wait for itself.
 */
export class KeyedSlots {
  private readonly limits: SlotLimits;
  private readonly ofKey = new Map<unknown, Slots>();
  private readonly inside = new AsyncLocalStorage<true>();

  constructor(limits: SlotLimits) {
    this.limits = limits;
  }

  /** Keys for which something is done or waits. */
  get size(): number {
    return this.ofKey.size;
  }

  async run<Result>(
    key: unknown,
    work: () => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result> {
    if (this.inside.getStore()) {
      return await work();
    }
    const slots = this.ofKey.get(key) ?? new Slots(this.limits);

    this.ofKey.set(key, slots);
    try {
      return await slots.run(() => this.inside.run(true, work), signal);
    } finally {
      const { free, waiting } = slots.state;

      if (
        waiting === 0 &&
        free === this.limits.size &&
        this.ofKey.get(key) === slots
      ) {
        this.ofKey.delete(key);
      }
    }
  }
}
