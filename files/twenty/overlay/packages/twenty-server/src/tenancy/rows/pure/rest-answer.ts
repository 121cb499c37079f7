// SPDX-License-Identifier: AGPL-3.0-only
// Upstream's REST API for metadata answers with rows as they are read, and reads the workspace with them: its invitation link, its
// settings of sign-in, the names of its schema.

const DEEPEST = 6;

type Fields = Record<string, unknown>;

// What writes itself into JSON (a date) is a value.
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  typeof (value as { toJSON?: unknown }).toJSON !== 'function';

const isRow = (value: unknown): boolean => isFields(value) && 'id' in value;

/** `answer` without the rows named `workspace` in it, a few levels deep. */
export const withoutWorkspace = (answer: unknown, depth = 0): unknown => {
  if (depth > DEEPEST) {
    return answer;
  }
  if (Array.isArray(answer)) {
    return answer.map((part) => withoutWorkspace(part, depth + 1));
  }
  if (!isFields(answer)) {
    return answer;
  }

  return Object.fromEntries(
    Object.entries(answer)
      .filter(([name, value]) => name !== 'workspace' || !isRow(value))
      .map(([name, value]) => [name, withoutWorkspace(value, depth + 1)]),
  );
};
