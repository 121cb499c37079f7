import { Worker } from 'bullmq';

import { requireConfig } from '../config';
import { JOB_HANDLERS } from '../engine/core-modules/cron-jobs';
import { closeDatabase, database } from '../engine/core-modules/database';
import { startLiveness } from '../engine/core-modules/liveness';
import { closeQueues, QUEUE_NAMES, type QueueName } from '../engine/core-modules/message-queue';
import { closeRedis, queueRedis } from '../engine/core-modules/redis';
import { logger } from '../logger';
import { onShutdown } from '../utils/shutdown';

const log = logger('QueueWorker');

// A job that nobody here knows counts as done, as upstream: only handlers that match its name are called.
const consume = (queueName: QueueName): Worker => {
  const worker = new Worker(
    queueName,
    async (job) => {
      const started = performance.now();
      const handler = JOB_HANDLERS[`${queueName}/${job.name}`];
      const outcome = handler ? await handler(job.data ?? {}) : 'no handler, nothing done';
      log.log(`${queueName}: job ${job.id} ${job.name}: ${outcome} (${(performance.now() - started).toFixed(0)} ms)`);
      return outcome;
    },
    { connection: queueRedis(), metrics: { maxDataPoints: 60 * 24 * 7 } },
  );
  worker.on('failed', (job, error) => log.error(`${queueName}: job ${job?.id} ${job?.name} failed: ${error.message}`));
  worker.on('error', (error) => log.warn(`${queueName}: ${error.message}`));
  return worker;
};

const main = async (): Promise<void> => {
  requireConfig();
  await database().query('SELECT 1 FROM "core"."workspace" LIMIT 1');
  const workers = QUEUE_NAMES.map(consume);
  await Promise.all(workers.map((worker) => worker.waitUntilReady()));
  startLiveness();
  onShutdown('worker', async () => {
    await Promise.all(workers.map((worker) => worker.close()));
    await closeQueues();
    await closeRedis();
    await closeDatabase();
  });
  // last: who reads this may send SIGTERM at once
  log.log(`working on ${workers.length} queues`);
};

main().catch((error: Error) => {
  log.error(`Worker did not start: ${error.message}`);
  process.exit(1);
});
