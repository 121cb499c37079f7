// SPDX-License-Identifier: AGPL-3.0-only
import type { ClerkLoopMemory } from './clerkSessionTypes';

export const CLERK_LOOP_MEMORY_KEY = 'twentyops.clerk';

const readMoments = (value: unknown): number[] =>
  Array.isArray(value)
    ? value.filter(
        (moment): moment is number =>
          typeof moment === 'number' && Number.isFinite(moment),
      )
    : [];

/* Kept for the tab, across page loads. Damaged or unreadable: empty. */
export const readClerkLoopMemory = (
  storage: Pick<Storage, 'getItem'>,
): ClerkLoopMemory => {
  let kept: unknown = null;

  try {
    kept = JSON.parse(storage.getItem(CLERK_LOOP_MEMORY_KEY) ?? 'null');
  } catch {
    kept = null;
  }

  const memory = (
    typeof kept === 'object' && kept !== null ? kept : {}
  ) as Partial<Record<keyof ClerkLoopMemory, unknown>>;

  return {
    redirects: readMoments(memory.redirects),
    refusals: readMoments(memory.refusals),
    restarts: readMoments(memory.restarts),
    moves: readMoments(memory.moves),
  };
};

export const writeClerkLoopMemory = (
  storage: Pick<Storage, 'setItem'>,
  memory: ClerkLoopMemory,
): void => {
  try {
    storage.setItem(CLERK_LOOP_MEMORY_KEY, JSON.stringify(memory));
  } catch {
    // A browser without storage: circles are then bounded within a page load only.
  }
};
