// SPDX-License-Identifier: AGPL-3.0-only
// Upstream checks no body of its REST API for metadata: whatever keys it has reach TypeORM. A key of the row's own would make it
// another tenant's row, or another row of theirs.

const OF_THE_SERVER = ['workspaceId', 'workspace'];

const isFields = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const has = (body: Record<string, unknown>, key: string) =>
  Object.prototype.hasOwnProperty.call(body, key);

/* What is wrong with a body that a tenant sent; undefined where nothing is. `rowId` is the row that the address names, undefined for
   a new one. Upstream takes `{update: {...}}` as well. */
export const findRowProblem = (
  body: unknown,
  rowId: string | undefined,
): string | undefined => {
  for (const part of Array.isArray(body) ? body : [body]) {
    if (!isFields(part)) {
      continue;
    }

    const key = OF_THE_SERVER.find((name) => has(part, name));

    if (key !== undefined) {
      return `${key} is set by the server: leave it out`;
    }

    if (
      rowId !== undefined &&
      has(part, 'id') &&
      String(part.id).toLowerCase() !== rowId.toLowerCase()
    ) {
      return 'id is not that of the address: leave it out';
    }

    const problem = has(part, 'update')
      ? findRowProblem(part.update, rowId)
      : undefined;

    if (problem !== undefined) {
      return problem;
    }
  }

  return undefined;
};

// Of these, whatever a body holds is written: a relation would be as well, and with it rows of others. The rest of the API is GraphQL's.
const WRITTEN_AS_IT_IS =
  /^\/(?:metadata\/)?(?:view\w*|pageLayout\w*|webhooks|apiKeys)(?:\/|$)/i;

// Columns that hold more than a plain value; every other key that does is a relation.
const STRUCTURED = ['value', 'gridPosition', 'configuration', 'operations'];

/* What is wrong with a body that would reach other rows than the one it is for; undefined where nothing is. The path is below /rest. */
export const findRelation = (
  path: string,
  body: unknown,
): string | undefined => {
  if (!WRITTEN_AS_IT_IS.test(path)) {
    return undefined;
  }

  for (const part of Array.isArray(body) ? body : [body]) {
    for (const [key, value] of Object.entries(isFields(part) ? part : {})) {
      if (key === 'update') {
        const problem = findRelation(path, value);

        if (problem !== undefined) {
          return problem;
        }
      } else if (
        typeof value === 'object' &&
        value !== null &&
        !STRUCTURED.includes(key)
      ) {
        return `${key} takes a plain value: other rows are changed by requests of their own`;
      }
    }
  }

  return undefined;
};
