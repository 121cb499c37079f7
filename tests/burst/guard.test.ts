import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';

import { guardLoop } from '../../files/twenty/overlay/packages/twenty-server/src/liveness/pure/loop-guard';

const HERE = new URL('.', import.meta.url);

const start = async (limit: number, kind: string) => {
  const child = spawn(
    process.execPath,
    ['--no-warnings', '--import', new URL('../signin_server/resolve.mjs', HERE).pathname, new URL('guarded.ts', HERE).pathname, String(limit), kind],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let errors = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (errors += text));
  await once(child.stdout!, 'data');

  return { child, errors: () => errors };
};

const end = async (child: ChildProcess): Promise<{ code: number | null; signal: string | null }> => {
  const [code, signal] = await once(child, 'close');

  return { code, signal };
};

test('a process whose loop does not come back is killed, and says why', async () => {
  const { child, errors } = await start(1_500, 'blocked');
  const began = performance.now();

  assert.deepEqual(await end(child), { code: null, signal: 'SIGKILL' });
  assert.match(errors(), /^liveness: the event loop has not come back for [12] s; ends the process \(SIGKILL\)/);
  assert.ok(performance.now() - began >= 1_400, 'it was killed too early');
});

test('a process that stood still for longer than the limit lives on', async () => {
  const { child, errors } = await start(1_000, 'idle');

  child.kill('SIGSTOP');
  await wait(4_000);
  child.kill('SIGCONT');
  assert.deepEqual(await end(child), { code: 7, signal: null });
  assert.equal(errors(), '');
});

test('a loop that comes back now and then lives on', async () => {
  const { child, errors } = await start(2_400, 'busy');

  assert.deepEqual(await end(child), { code: 7, signal: null });
  assert.equal(errors(), '');
});

test('a guard keeps no process alive, and can be stopped', async () => {
  const stop = guardLoop({ say: assert.fail });

  await wait(100);
  stop();
});
