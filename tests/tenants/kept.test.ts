// SPDX-License-Identifier: AGPL-3.0-only
// What the server keeps for each workspace, run by Node as it is shipped.
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';

import { copyOfMaps } from '../../files/twenty/overlay/packages/twenty-server/src/memory/pure/copy-of-maps.ts';
import { type Entry, Kept, keepsAtMost } from '../../files/twenty/overlay/packages/twenty-server/src/memory/pure/kept.ts';
import { withOneListener } from '../../files/twenty/overlay/packages/twenty-server/src/memory/pure/one-listener.ts';
import { supersededKeys } from '../../files/twenty/overlay/packages/twenty-server/src/memory/pure/superseded-keys.ts';

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

test('a hundred listeners of an event are one, those of other events are all there', () => {
  const pool = new EventEmitter();
  const heard: string[] = [];
  withOneListener(pool, 'error', (error: Error) => heard.push(error.message));
  for (let i = 0; i < 100; i += 1) assert.equal(pool.on('error', () => heard.push('another')), pool);
  pool.on('connect', () => heard.push('connect'));
  assert.equal(pool.listenerCount('error'), 1);
  pool.emit('error', new Error('away'));
  pool.emit('connect');
  assert.deepEqual(heard, ['away', 'connect']);
});

test('older versions of a workspace are superseded; other workspaces, newer versions and other keys are not', () => {
  const one = '3f0cbd55-8a4e-4d0f-9d3f-0a4b8a3a1f01';
  const two = '3f0cbd55-8a4e-4d0f-9d3f-0a4b8a3a1f02';
  const keys = [`${one}-2`, `${one}-9`, `${one}-10`, `${one}-11`, `${two}-1`, 'prefix-key-1', `${one}-x`];
  assert.deepEqual(supersededKeys(keys, `${one}-10`), [`${one}-2`, `${one}-9`]);
  assert.deepEqual(supersededKeys(keys, 'prefix-key-2'), []);
});

test('a copy of maps can be changed, and the maps stay as they were', () => {
  const maps = { byId: { a: { id: 'a' } }, idByUniversalIdentifier: { ua: 'a' }, universalIdentifiersByApplicationId: { app: ['ua'] } };
  const before = structuredClone(maps);
  const copy = copyOfMaps<{ id: string }>(maps);
  assert.deepEqual(copy, maps);
  assert.equal(copy.byId.a, maps.byId.a, 'entities are shared');
  copy.byId.b = { id: 'b' };
  copy.idByUniversalIdentifier.ub = 'b';
  copy.universalIdentifiersByApplicationId.app?.push('ub');
  assert.deepEqual(maps, before);
  const old = { byId: {}, idByUniversalIdentifier: {} } as unknown as typeof maps;
  assert.deepEqual(copyOfMaps(old).universalIdentifiersByApplicationId, {}, 'a cache of an older release lacks it');
});
