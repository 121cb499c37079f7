import IORedis from 'ioredis';

import { getConfig } from '../../config';
import { logger } from '../../logger';

let client: IORedis | undefined;

// BullMQ wants a connection that waits instead of giving up after some attempts.
export const queueRedis = (): IORedis => {
  if (!client) {
    client = new IORedis(getConfig().redisQueueUrl, { maxRetriesPerRequest: null });
    client.on('error', (error) => logger('redis').warn(error.message));
  }
  return client;
};

export const closeRedis = async (): Promise<void> => {
  await client?.quit();
  client = undefined;
};
