import assert from 'node:assert/strict';
import { test } from 'node:test';

import { KeyedSlots } from '../../files/twenty/overlay/packages/twenty-server/src/api-limits/pure/keyed-slots';
import { Busy, CallerGone } from '../../files/twenty/overlay/packages/twenty-server/src/locks/pure/busy';

const LIMITS = { name: 'tests', size: 3, mostWaiting: 20, longestWaitInMs: 5_000, retryAfterInSeconds: 7 };
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const gate = () => {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));

  return { open, opened };
};
const list = <T>(length: number, make: (i: number) => T) => Array.from({ length }, (_, i) => make(i));

test('of one workspace at most so many are at work, and another one waits for none of them', async () => {
  const slots = new KeyedSlots(LIMITS);
  const { open, opened } = gate();
  let atWork = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, (atWork += 1));
    await opened;
    atWork -= 1;
  };
  const busy = list(20, () => slots.run('a', work));

  await turn();
  assert.equal(most, 3);
  assert.equal(await slots.run('b', async () => 'served'), 'served');
  open();
  await Promise.all(busy);
  assert.equal(most, 3);
});

test('too many in line is told at once, and only to that workspace', async () => {
  const slots = new KeyedSlots(LIMITS);
  const { open, opened } = gate();
  const all = list(5_000, () => slots.run('a', () => opened).then(() => 'done', (error: unknown) => error));

  await turn();
  assert.equal(await slots.run('b', async () => 'served'), 'served');
  open();
  const found = await Promise.all(all);
  assert.equal(found.filter((one) => one === 'done').length, 23);
  assert.ok(found.every((one) => one === 'done' || (one instanceof Busy && one.retryAfterInSeconds === 7)));
});

test('work that begins other work inside its slot does not wait for itself', async () => {
  const slots = new KeyedSlots({ ...LIMITS, size: 1 });

  assert.equal(await slots.run('a', () => slots.run('a', async () => slots.run('b', async () => 'inner'))), 'inner');
  await Promise.all(list(5, () => slots.run('a', async () => {
    await turn();
    await Promise.all(list(3, () => slots.run('a', turn)));
  })));
});

test('a slot is given back whatever happens, and nothing is kept of a workspace that is at rest', async () => {
  const slots = new KeyedSlots(LIMITS);
  const fail = async () => { throw new Error('no'); };

  for (let i = 0; i < 50; i += 1) await assert.rejects(slots.run('a', fail), /no/);
  await assert.rejects(slots.run('a', () => { throw new Error('at once'); }), /at once/);
  assert.equal(slots.size, 0);
  await Promise.all(list(200, (i) => slots.run(`w${i}`, turn)));
  assert.equal(slots.size, 0);
});

test('who goes away leaves the line, and the others move up', async () => {
  const slots = new KeyedSlots({ ...LIMITS, size: 1 });
  const { open, opened } = gate();
  const caller = new AbortController();
  const first = slots.run('a', () => opened);
  const gone = list(20, () => slots.run('a', async () => assert.fail('its work was begun'), caller.signal));

  await turn();
  caller.abort(new CallerGone());
  for (const one of gone) await assert.rejects(one, CallerGone);
  const next = slots.run('a', async () => 'next');
  open();
  await first;
  assert.equal(await next, 'next');
  assert.equal(slots.size, 0);
});
