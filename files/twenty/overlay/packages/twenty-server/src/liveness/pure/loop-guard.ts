// SPDX-License-Identifier: AGPL-3.0-only

import { Worker } from 'node:worker_threads';

export type LoopGuardOptions = {
  stuckAfterMs?: number;
  everyMs?: number;
  say: (message: string) => void;
};

// Runs in a thread of its own, so it needs no turn of the loop that it watches. Kept as text: a file of its own would have to be found
// in every form in which this module is run (built, by a test, by a command). Its clock counts only while the thread runs: a gap between
// two ticks (docker pause, SIGSTOP, a machine that slept) counts as one tick. SIGKILL, because no handler in the loop would be called.
const GUARD = `
const { workerData } = require('node:worker_threads');
const { writeSync } = require('node:fs');
const { performance } = require('node:perf_hooks');

const { shared, stuckAfterMs, everyMs } = workerData;
const beats = new Int32Array(shared);
let seen = Atomics.load(beats, 0);
let last = performance.now();
let silentMs = 0;

setInterval(() => {
  const now = performance.now();
  const elapsed = Math.min(now - last, 2 * everyMs);
  const beat = Atomics.load(beats, 0);

  last = now;
  if (beat !== seen) {
    seen = beat;
    silentMs = 0;

    return;
  }
  silentMs += elapsed;
  if (silentMs < stuckAfterMs) {
    return;
  }
  try {
    writeSync(2, 'liveness: the event loop has not come back for ' + Math.round(silentMs / 1000) + ' s; ends the process (SIGKILL), to be started again\\n');
  } catch {}
  process.kill(process.pid, 'SIGKILL');
}, everyMs);
`;

/**
 * Ends this process when its event loop has not had a turn for a minute: then neither the other watchdog nor a signal's handler runs.
 * Process 1 of a container cannot kill itself, so there it takes an init (`init: true` in Compose). Returns how to stop it.
 */
export const guardLoop = ({
  stuckAfterMs = 60_000,
  everyMs = 1_000,
  say,
}: LoopGuardOptions): (() => void) => {
  const shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  const beats = new Int32Array(shared);
  const worker = new Worker(GUARD, {
    eval: true,
    name: 'loop-guard',
    // none of the flags of this process: they may preload modules
    execArgv: [],
    env: {},
    workerData: { shared, stuckAfterMs, everyMs },
    resourceLimits: {
      maxOldGenerationSizeMb: 16,
      maxYoungGenerationSizeMb: 2,
      stackSizeMb: 1,
    },
  });
  const beat = setInterval(() => Atomics.add(beats, 0, 1), everyMs);

  worker.on('error', (error) =>
    say(`nothing watches the event loop any more: ${error.message}`),
  );
  worker.unref();
  beat.unref();

  return () => {
    clearInterval(beat);
    void worker.terminate();
  };
};
