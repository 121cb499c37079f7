// SPDX-License-Identifier: AGPL-3.0-only

// The page asks for 200 at most (an export's page).
export const MOST_RECORDS_OF_A_PAGE = 1_000;
// Rows of one relation, for all records of the level above together: as many as upstream allows below a page of 200.
export const MOST_ROWS_OF_A_RELATION = 40_000;
// Records of an answer, each counted as often as it stands in it.
export const MOST_RECORDS_OF_AN_ANSWER = 100_000;

/** Why this page is too large, or undefined. */
export const findPageProblem = (
  args: Readonly<Record<string, unknown>>,
): string | undefined => {
  for (const name of ['first', 'last', 'limit']) {
    const value = args[name];

    if (typeof value === 'number' && value > MOST_RECORDS_OF_A_PAGE) {
      return `${name}: ${value} is more than the ${MOST_RECORDS_OF_A_PAGE} records that one request may ask for. Ask page by page, with the cursor of the last record.`;
    }
  }

  return undefined;
};

// One more than is allowed, so that too many are noticed instead of left out.
export const rowsToAskFor = (wanted: number): number =>
  Math.min(wanted, MOST_ROWS_OF_A_RELATION + 1);

export const findRowsProblem = (rows: readonly unknown[]): string | undefined =>
  rows.length > MOST_ROWS_OF_A_RELATION
    ? `A relation has more than ${MOST_ROWS_OF_A_RELATION} records for the records of this request. Ask for fewer records at a time, or for that relation by a request of its own.`
    : undefined;

type Row = Record<string, unknown>;

const indexes = new WeakMap<readonly Row[], Map<string, Map<unknown, Row[]>>>();

/** The rows with this value, by an index that is made once for these rows: looking through all of them for each record takes seconds. */
export const rowsBy = <Found extends Row>(
  rows: readonly Found[],
  name: string,
  value: unknown,
): Found[] => {
  const known = indexes.get(rows) ?? new Map<string, Map<unknown, Row[]>>();
  let index = known.get(name);

  if (index === undefined) {
    index = new Map();
    for (const row of rows) {
      const alike = index.get(row[name]);

      if (alike === undefined) {
        index.set(row[name], [row]);
      } else {
        alike.push(row);
      }
    }
    indexes.set(rows, known.set(name, index));
  }

  return [...((index.get(value) as Found[] | undefined) ?? [])];
};

/**
 * How many records an answer will have. Records that are loaded once are shared by all that point to them, and the answer has a copy for
 * each path; so each is counted once here, in a time that does not grow with the number of paths.
 */
export const countRecords = (root: unknown): number => {
  const known = new Map<object, number>();

  const count = (value: unknown): number => {
    if (value === null || typeof value !== 'object' || value instanceof Date) {
      return 0;
    }
    const before = known.get(value);

    if (before !== undefined) {
      return before;
    }
    known.set(value, 0);
    let records = 'id' in value ? 1 : 0;

    for (const inner of Array.isArray(value) ? value : Object.values(value)) {
      records += count(inner);
    }
    known.set(value, records);

    return records;
  };

  return count(root);
};

export const findAnswerProblem = (root: unknown): string | undefined =>
  countRecords(root) > MOST_RECORDS_OF_AN_ANSWER
    ? `The answer would have more than ${MOST_RECORDS_OF_AN_ANSWER} records, as the records of nested relations are repeated at each place. Ask for fewer levels or fewer records.`
    : undefined;
