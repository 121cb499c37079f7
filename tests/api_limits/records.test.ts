import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  countRecords,
  findAnswerProblem,
  findPageProblem,
  findRowsProblem,
  MOST_RECORDS_OF_A_PAGE,
  MOST_ROWS_OF_A_RELATION,
  rowsBy,
  rowsToAskFor,
} from '../../files/twenty/overlay/packages/twenty-server/src/api-limits/pure/record-limits';

const list = <T>(length: number, make: (i: number) => T) => Array.from({ length }, (_, i) => make(i));

test('a page has at most so many records, from either end', () => {
  for (const args of [{}, { first: MOST_RECORDS_OF_A_PAGE }, { last: 200, first: null }, { limit: 'x' }, { filter: { first: 9_999 } }]) {
    assert.equal(findPageProblem(args), undefined);
  }
  assert.match(findPageProblem({ first: 1_000_000 }) ?? '', /^first: 1000000 is more than the 1000 records.*page by page/);
  assert.match(findPageProblem({ last: 1_001 }) ?? '', /^last: 1001/);
});

test('records of an answer are counted as often as they stand in it, in little time', () => {
  assert.equal(countRecords({ records: [{ id: 'a', name: { firstName: 'x' }, at: new Date(), tags: ['t'] }, { id: 'b' }], total: 2 }), 2);
  assert.equal(countRecords(null), 0);
  // 200 people in a company: people > company > people > company > people
  let people: object[] = list(200, (i) => ({ id: `p${i}` }));
  for (let level = 0; level < 2; level += 1) {
    const company = { id: 'c', people };
    people = list(200, (i) => ({ id: `p${i}`, company }));
  }
  const began = performance.now();
  assert.equal(countRecords({ records: people }), 200 + 200 + 40_000 + 40_000 + 8_000_000);
  assert.ok(performance.now() - began < 1_000);
  assert.match(findAnswerProblem({ records: people }) ?? '', /more than 100000 records.*fewer levels/);
  assert.equal(findAnswerProblem(list(60, () => ({ id: 'x', rows: list(500, () => ({ id: 'y' })) }))), undefined);
});

test('what points to itself is counted, and ends', () => {
  const loop: Record<string, unknown> = { id: 'a' };
  loop.self = [loop];
  assert.equal(countRecords(loop), 1);
});

test('rows of a relation: one more than allowed is asked for, and is an error', () => {
  assert.equal(rowsToAskFor(12_000), 12_000);
  assert.equal(rowsToAskFor(8_000_000), MOST_ROWS_OF_A_RELATION + 1);
  assert.equal(findRowsProblem(list(MOST_ROWS_OF_A_RELATION, () => 0)), undefined);
  assert.match(findRowsProblem(list(MOST_ROWS_OF_A_RELATION + 1, () => 0)) ?? '', /fewer records at a time/);
});

test('rows are found by an index as by looking through all of them', () => {
  const rows = list(1_000, (i) => ({ id: `r${i}`, personId: i % 7 === 0 ? null : `p${i % 50}` }));
  for (const value of ['p0', 'p1', 'p49', 'none', null, undefined]) {
    assert.deepEqual(rowsBy(rows, 'personId', value), rows.filter((row) => row.personId === value));
  }
  assert.equal(rowsBy(rows, 'id', 'r3')[0], rows[3]);
  assert.equal(rowsBy(rows, 'id', undefined)[0], undefined);
  rowsBy(rows, 'personId', 'p1').length = 0;
  assert.ok(rowsBy(rows, 'personId', 'p1').length > 0, 'what one got is not what the next one gets');
  const many = list(40_000, (i) => ({ id: `r${i}` }));
  const began = performance.now();
  many.forEach(({ id }) => assert.equal(rowsBy(many, 'id', id).length, 1));
  assert.ok(performance.now() - began < 2_000);
});
