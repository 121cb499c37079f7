import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BodyGate, type Body, type BodyKind, type BodyLimits } from 'src/outside/pure/body-gate';

const LIMITS: BodyLimits = {
  most: 10, mostOfVisitor: 4, bytes: { memory: 1000, disk: 5000 }, graceInMs: 1000, leastBytesPerSecond: 100,
};

type Sent = Body & { came: number; whole: boolean; ended: boolean };

const set = (limits: Partial<BodyLimits> = {}) => {
  const clock = { now: 0 };
  const gate = new BodyGate({ ...LIMITS, ...limits }, () => clock.now);
  const send = (visitor: string, came = 0, kind: BodyKind = 'memory'): Sent => {
    const body: Sent = {
      visitor, kind, came, whole: false, ended: false, since: clock.now++,
      received: () => body.came, isWhole: () => body.whole, end: () => { body.ended = true; },
    };
    return body;
  };
  return { clock, gate, send };
};

test('a visitor has so many at a time, and room again when one left', () => {
  const { gate, send } = set();
  const own = Array.from({ length: 4 }, () => send('a'));
  assert.ok(own.every((body) => gate.enter(body)));
  assert.equal(gate.enter(send('a')), false);
  gate.leave(own[0]);
  assert.equal(gate.enter(send('a')), true);
});

test('a crowd that fills the room makes room for the next visitor, its oldest first', () => {
  const { gate, send } = set();
  const crowd = ['a', 'a', 'a', 'b', 'b', 'b', 'c', 'c', 'd', 'd'].map((who) => send(who));
  assert.ok(crowd.every((body) => gate.enter(body)));
  assert.equal(gate.enter(send('visitor')), true);
  assert.deepEqual(crowd.map((body) => body.ended), [true, ...Array(9).fill(false)]);
  assert.equal(gate.size, 10);
});

test('where all have the same, nobody is put out for a newcomer who would have as much', () => {
  const { gate, send } = set({ most: 3 });
  const held = ['a', 'b', 'c'].map((who) => send(who));
  held.forEach((body) => gate.enter(body));
  assert.equal(gate.enter(send('d')), false);
  assert.ok(held.every((body) => !body.ended));
});

test('what has come whole is worked off, never ended, and takes nobody\'s place', () => {
  const { clock, gate, send } = set({ most: 2, mostOfVisitor: 2 });
  const held = ['a', 'a'].map((who) => send(who, 5000));
  held.forEach((body) => { assert.ok(gate.enter(body)); body.whole = true; });
  assert.ok(gate.enter(send('a')));
  clock.now = 60_000;
  gate.look();
  assert.ok(held.every((body) => !body.ended));
});

test('after the grace a body that comes too slowly is ended, one on a slow line is not', () => {
  const { clock, gate, send } = set();
  const [trickle, slow] = [send('a'), send('b')];
  gate.enter(trickle);
  gate.enter(slow);
  clock.now = 900;
  gate.look();
  assert.equal(gate.size, 2);
  clock.now = 5_000;
  [trickle.came, slow.came] = [399, 420];
  gate.look();
  assert.deepEqual([trickle.ended, slow.ended], [true, false]);
});

test('bytes in memory have an end: the largest of who holds most goes first', () => {
  const { gate, send } = set();
  const held = [send('a', 300), send('a', 400), send('b', 450)];
  held.forEach((body) => gate.enter(body));
  gate.look();
  assert.deepEqual(held.map((body) => body.ended), [false, true, false]);
});

test('files on the disk are counted for themselves', () => {
  const { gate, send } = set();
  const held = [send('a', 3000, 'disk'), send('b', 1900, 'disk'), send('c', 900)];
  held.forEach((body) => gate.enter(body));
  gate.look();
  assert.ok(held.every((body) => !body.ended));
});

test('5,000 bodies from 100 visitors are decided in time that nobody notices', () => {
  const { gate, send } = set({ most: 200, mostOfVisitor: 20 });
  const began = performance.now();
  for (let n = 0; n < 5000; n++) gate.enter(send(`v${n % 100}`, 1));
  gate.look();
  assert.ok(gate.size <= 200);
  assert.ok(performance.now() - began < 2000, `${performance.now() - began} ms`);
});
