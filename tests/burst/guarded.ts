// A process whose loop is watched: `node … guarded.ts LIMIT_MS idle|blocked|busy`. It says "ready" once the guard is at work.
import { guardLoop } from '../../files/twenty/overlay/packages/twenty-server/src/liveness/pure/loop-guard';

const [limit, kind] = process.argv.slice(2);
const block = (ms: number) => {
  const until = performance.now() + ms;
  while (performance.now() < until);
};
const work = (left: number) => {
  block(Number(limit) / 3);
  if (left > 1) setTimeout(() => work(left - 1), 60);
};

guardLoop({ stuckAfterMs: Number(limit), everyMs: 50, say: (message) => console.error(message) });
setTimeout(() => {
  console.log('ready');
  if (kind === 'blocked') setTimeout(() => block(60_000), 20);
  // turns of its loop are rare, and come all the same
  if (kind === 'busy') work(5);
}, 500);
setTimeout(() => process.exit(7), kind === 'idle' ? 2_500 : 5_000);
