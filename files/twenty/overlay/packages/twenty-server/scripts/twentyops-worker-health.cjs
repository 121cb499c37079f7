// SPDX-License-Identifier: AGPL-3.0-only
// Health of the worker: a job of ours goes into a queue that it consumes and has to come back done.
// The job's name has no handler, so Twenty's worker completes it without doing anything. Before that it is asked, on its loopback
// address, whether its own connections to Postgres and Redis are answered (src/liveness). Exit 0: well; 1: not.
const { Queue } = require('bullmq');
const Redis = require('ioredis');
const { hostname } = require('node:os');

const QUEUE = 'cron-queue';
const LIMIT_MS = Number(process.env.TWENTYOPS_WORKER_HEALTH_MS || 9000);
const LIVENESS_PORT = Number(process.env.TWENTYOPS_LIVENESS_PORT || 3010);

const ask = async () => {
  const response = await fetch(`http://127.0.0.1:${LIVENESS_PORT}/`, { signal: AbortSignal.timeout(4000) }).catch((error) => {
    throw new Error(`the worker does not answer on its port ${LIVENESS_PORT} (${error.cause?.code ?? error.message}): its log tells why`);
  });
  const told = (await response.text()).trim();
  if (!response.ok) throw new Error(told);
  console.log(told);
};

const probe = async () => {
  const connection = new Redis(process.env.REDIS_QUEUE_URL ?? process.env.REDIS_URL, { maxRetriesPerRequest: 1, connectTimeout: 3000 });
  connection.on('error', () => {}); // told by the rejected command below, once
  const queue = new Queue(QUEUE, { connection });
  queue.on('error', () => {});
  try {
    const job = await queue.add('twentyops.health', {}, { jobId: `twentyops-health-${hostname()}-${Date.now()}`, removeOnFail: true });
    const deadline = Date.now() + LIMIT_MS;
    let state = 'waiting';
    while (Date.now() < deadline && state !== 'completed' && state !== 'unknown') {
      await new Promise((resolve) => setTimeout(resolve, 100));
      state = await job.getState();
    }
    if (state === 'completed') await job.remove();
    if (state !== 'completed' && state !== 'unknown') {
      await job.remove().catch(() => {}); // taken this very moment: the worker removes it itself
      throw new Error(`no worker took a job from ${QUEUE} within ${LIMIT_MS} ms (state: ${state})`);
    }
    console.log(`a job was worked off (${Date.now() - job.timestamp} ms)`);
  } finally {
    await queue.close().catch(() => {});
    connection.disconnect();
  }
};

ask().then(probe).then(
  () => process.exit(0),
  (error) => {
    console.error(`worker health: ${error.message}`);
    process.exit(1);
  },
);
