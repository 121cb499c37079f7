import { Queue } from 'bullmq';

import { logger } from '../../logger';
import { queueRedis } from './redis';

// Queue names and BullMQ's own key prefix ("bull") are what a check from outside relies on.
export const QUEUE_NAMES = [
  'messaging-queue',
  'webhook-queue',
  'cron-queue',
  'email-queue',
  'calendar-queue',
  'contact-creation-queue',
  'billing-queue',
  'workspace-queue',
  'entity-events-to-db-queue',
  'workflow-queue',
  'delayed-jobs-queue',
  'delete-cascade-queue',
  'serverless-function-queue',
  'trigger-queue',
] as const;

export type QueueName = (typeof QUEUE_NAMES)[number];

const RETENTION = {
  removeOnComplete: { age: 4 * 3600, count: 1000 },
  removeOnFail: { age: 7 * 24 * 3600, count: 1000 },
};

const queues = new Map<QueueName, Queue>();

export const queue = (name: QueueName): Queue => {
  const known = queues.get(name);
  if (known) return known;
  const created = new Queue(name, { connection: queueRedis() });
  created.on('error', (error) => logger('queue').warn(`${name}: ${error.message}`));
  queues.set(name, created);
  return created;
};

export const addJob = async (name: QueueName, jobName: string, data: unknown): Promise<void> => {
  await queue(name).add(jobName, data, RETENTION);
};

// Registering again replaces the schedule: there is one per job name.
export const addCron = async (name: QueueName, jobName: string, pattern: string): Promise<void> => {
  await queue(name).upsertJobScheduler(jobName, { pattern }, { name: jobName, opts: RETENTION });
};

export const closeQueues = async (): Promise<void> => {
  await Promise.all([...queues.values()].map((item) => item.close()));
  queues.clear();
};
