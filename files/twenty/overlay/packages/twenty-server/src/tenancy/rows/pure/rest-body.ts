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
