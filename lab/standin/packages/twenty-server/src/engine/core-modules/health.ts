import { type Request, type Response, Router } from 'express';

import { getConfig } from '../../config';
import { database } from './database';
import { queue, QUEUE_NAMES } from './message-queue';
import { queueRedis } from './redis';

type Check = () => Promise<Record<string, unknown>>;

const TIMEOUT_MS = 3_000;

const withTimeout = async (check: Check): Promise<Record<string, unknown>> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
  });
  try {
    return await Promise.race([check(), late]);
  } finally {
    clearTimeout(timer);
  }
};

const CHECKS: Record<string, Check> = {
  database: async () => {
    const { rows } = await database().query('SELECT current_setting(\'server_version\') AS version');
    return { version: rows[0].version };
  },
  redis: async () => ({ answer: await queueRedis().ping() }),
  // Up when at least one queue has a worker connected: what BullMQ itself knows of its workers.
  worker: async () => {
    const queues = await Promise.all(
      QUEUE_NAMES.map(async (queueName) => ({ queueName, workers: (await queue(queueName).getWorkers()).length })),
    );
    const busy = queues.filter(({ workers }) => workers > 0);
    if (busy.length === 0) throw new Error('no worker is connected to any queue');
    return { queues: busy };
  },
};

const answer = (response: Response, name: string | undefined, up: boolean, details: Record<string, unknown>): void => {
  const entry = name ? { [name]: { status: up ? 'up' : 'down', ...details } } : {};
  response
    .status(up ? 200 : 503)
    .set('Cache-Control', 'no-cache, no-store, must-revalidate')
    .json({ status: up ? 'ok' : 'error', info: up ? entry : {}, error: up ? {} : entry, details: entry });
};

export const healthRouter = (): Router => {
  const router = Router();
  router.get('/', (_request: Request, response: Response) => {
    if (getConfig().standin.unhealthy) answer(response, 'standin', false, { message: 'STANDIN_UNHEALTHY is set' });
    else answer(response, undefined, true, {});
  });
  router.get('/:name', async (request: Request, response: Response) => {
    const name = request.params.name ?? '';
    const check = CHECKS[name];
    if (!check) {
      response.status(400).json({ statusCode: 400, message: `Unknown indicator: ${name}`, error: 'Bad Request' });
      return;
    }
    try {
      answer(response, name, true, await withTimeout(check));
    } catch (error) {
      answer(response, name, false, { message: (error as Error).message });
    }
  });
  return router;
};
