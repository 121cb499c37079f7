import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

import {
  describeReason,
  rejectionLogger,
} from '../../files/twenty/overlay/packages/twenty-server/src/rejections/pure/rejections.ts';

const MODULE = new URL('../../files/twenty/overlay/packages/twenty-server/src/rejections/pure/rejections.ts', import.meta.url).href;

// A process that starts as the server does; `body` runs after the listener is there.
const run = (body: string, start = 'Promise.resolve()') => {
  const done = spawnSync(
    process.execPath,
    [
      '--no-warnings',
      '--input-type=module',
      '--eval',
      `import { outliveRejections } from ${JSON.stringify(MODULE)};
       outliveRejections(${start}, (message, stack) => console.error(message, stack ?? ''), { most: 3, perMs: 60_000 }, process);
       ${body}`,
    ],
    { encoding: 'utf8', timeout: 30_000 },
  );

  return { code: done.status, out: done.stdout, err: done.stderr };
};

test('a process goes on after rejections that nobody waits for, and logs them with their stack', () => {
  const { code, out, err } = run(`
    const lost = async () => { throw new Error('nobody waits'); };
    lost(); Promise.reject(undefined); Promise.reject({ get message() { throw 1; }, toString() { throw 2; } });
    setTimeout(() => console.log('still here'), 50);`);

  assert.equal(code, 0, err);
  assert.equal(out, 'still here\n');
  assert.match(err, /goes on: nobody waits Error: nobody waits\n +at lost/);
  assert.match(err, /a value that cannot be written as text/);
});

test('an exception that nobody catches stays fatal', () => {
  const { code, out, err } = run(`setTimeout(() => { throw new Error('thrown'); }, 10); setTimeout(() => console.log('still here'), 200);`);

  assert.equal(code, 1, err);
  assert.equal(out, '');
});

test('a start that fails ends the process', () => {
  const { code, out, err } = run(`setTimeout(() => console.log('still here'), 200);`, `Promise.reject(new Error('no port'))`);

  assert.equal(code, 1, err);
  assert.equal(out, '');
  assert.match(err, /the start failed: no port/);
});

test('only so many are logged in a time, and the number of the others later', () => {
  const lines: string[] = [];
  let now = 1_000;
  const listener = rejectionLogger((message) => lines.push(message), { most: 2, perMs: 100 }, () => now);

  for (let number = 0; number < 50; number += 1) listener(new Error(String(number)));
  assert.equal(lines.length, 2);
  now += 100;
  listener('late');
  assert.deepEqual(lines.slice(2), ['48 more unhandled rejections were not logged', 'unhandled rejection, the process goes on: late']);
});

test('a log that fails throws nothing, and long reasons are cut', () => {
  rejectionLogger(() => { throw new Error('full disk'); }, { most: 9, perMs: 1 })(new Error('x'));
  assert.equal(describeReason('x'.repeat(10_000_000)).message.length, 8_000);
  assert.equal(describeReason(Object.create(null)).message, 'a value that cannot be written as text');
});
