import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Throttle } from 'src/auth/clerk/pure/throttle';
import { visitorOf } from 'src/auth/clerk/pure/visitor';

const MINUTE = 60_000;

test('of 700 requests at the same time exactly the limit passes', async () => {
  const throttle = new Throttle(10, () => 0);
  const passed = await Promise.all(Array.from({ length: 700 }, async () => throttle.take('address:1', 600, MINUTE)));
  assert.equal(passed.filter(Boolean).length, 600);
});

test('it refills with time, never beyond the limit, and refused ones cost nothing', () => {
  let now = 0;
  const throttle = new Throttle(10, () => now);
  const burst = (): number => Array.from({ length: 100 }, () => throttle.take('person:1', 60, MINUTE)).filter(Boolean).length;
  assert.equal(burst(), 60);
  now += 10_000;
  assert.equal(burst(), 10);
  now += 999;
  assert.equal(burst(), 0);
  now += 1;
  assert.equal(burst(), 1);
  now += 24 * 3600_000;
  assert.equal(burst(), 60);
});

test('asking more often than the bucket fills does not keep it empty', () => {
  let now = 0;
  const throttle = new Throttle(10, () => now);
  while (throttle.take('a', 600, MINUTE));
  let passed = 0;
  for (; now < 10_000; now += 30) passed += Number(throttle.take('a', 600, MINUTE));
  assert.ok(passed >= 98 && passed <= 100, String(passed));
});

test('a clock that is set back gives nothing', () => {
  let now = 1e9;
  const throttle = new Throttle(10, () => now);
  while (throttle.take('a', 5, MINUTE));
  now -= 5e8;
  assert.equal(throttle.take('a', 5, MINUTE), false);
});

test('keys are counted apart, and memory has an end', () => {
  const throttle = new Throttle(100, () => 0);
  for (let key = 0; key < 1000; key++) assert.equal(throttle.take(`a${key}`, 1, MINUTE), true);
  assert.equal(throttle.take('a999', 1, MINUTE), false);
  assert.equal(throttle.take('a0', 1, MINUTE), true, 'the one that asked longest ago was forgotten');
});

test('the visitor is the last address, an IPv6 visitor its /64', () => {
  const told: [string | undefined, string | undefined, string][] = [
    ['203.0.113.7', undefined, '203.0.113.7'],
    ['1.2.3.4, 203.0.113.7', '10.0.0.1', '203.0.113.7'],
    ['2001:db8::1', undefined, '2001:db8:0:0::/64'],
    ['2001:0DB8:0:0:ffff:ffff:ffff:ffff', undefined, '2001:db8:0:0::/64'],
    ['2001:db8:0:1::1', undefined, '2001:db8:0:1::/64'],
    ['fd99:0:0:2:1:2:3:4', undefined, 'fd99:0:0:2::/64'],
    ['::1', undefined, '0:0:0:0::/64'],
    ['2001:db8:1:2:3:4:192.0.2.1', undefined, '2001:db8:1:2::/64'],
    ['::ffff:203.0.113.7', undefined, '203.0.113.7'],
    ['::ffff:cb00:7107', undefined, '203.0.113.7'],
    ['fe80::1%eth0', undefined, 'fe80:0:0:0::/64'],
    [undefined, '::ffff:127.0.0.1', '127.0.0.1'],
    ['', undefined, 'unknown'],
    ['not an address', undefined, 'not an address'],
  ];
  for (const [forwarded, peer, visitor] of told) assert.equal(visitorOf(forwarded, peer), visitor, forwarded);
});
