// SPDX-License-Identifier: AGPL-3.0-only
// The cache of schemas, run by Node as it is shipped.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Entry, Kept, keepsAtMost } from '../../files/twenty/overlay/packages/twenty-server/src/memory/pure/kept.ts';

const made = (value: string, log: string[] = []) => async () => {
  log.push(value);
  return value;
};

test('a value is made once for an owner and a version', async () => {
  const log: string[] = [];
  const kept = new Kept<string>(new Map());
  assert.equal(await kept.get('one', '1', made('a', log)), 'a');
  assert.equal(await kept.get('one', '1', made('b', log)), 'a');
  assert.equal(await kept.get('two', '1', made('c', log)), 'c');
  assert.deepEqual(log, ['a', 'c']);
});

test('callers at the same time wait for the one that is being made', async () => {
  const log: string[] = [];
  const kept = new Kept<string>(new Map());
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => kept.get('one', '1', made(String(i), log))));
  assert.deepEqual(new Set(answers), new Set(['0']));
  assert.deepEqual(log, ['0']);
});

test('another version takes the place of the one before', async () => {
  const store = new Map<string, Entry<string>>();
  const kept = new Kept<string>(store);
  await kept.get('one', '1', made('a'));
  assert.equal(await kept.get('one', '2', made('b')), 'b');
  assert.equal(await kept.get('one', '2', made('c')), 'b');
  assert.equal(store.size, 1);
});

test('a failure is told to all who wait, and not kept', async () => {
  const store = new Map<string, Entry<string>>();
  const kept = new Kept<string>(store);
  const failing = async (): Promise<string> => { throw new Error('no database'); };
  const answers = await Promise.allSettled([kept.get('one', '1', failing), kept.get('one', '1', made('never'))]);
  assert.deepEqual(answers.map((answer) => answer.status), ['rejected', 'rejected']);
  assert.equal(store.size, 0);
  assert.equal(await kept.get('one', '1', made('a')), 'a');
});

test('a late failure of an old version does not take the new one away', async () => {
  const kept = new Kept<string>(new Map());
  let fail = (_: Error): void => undefined;
  const old = kept.get('one', '1', () => new Promise<string>((_, reject) => { fail = reject; }));
  await kept.get('one', '2', made('new'));
  fail(new Error('too late'));
  await assert.rejects(old, /too late/);
  assert.equal(await kept.get('one', '2', made('again')), 'new');
});

test('a third of the heap holds them, and one always fits', () => {
  assert.equal(keepsAtMost(1008 * 2 ** 20, 9 * 2 ** 20), 37);
  assert.equal(keepsAtMost(2 ** 20, 9 * 2 ** 20), 1);
});
