import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

import { createApp, loadClerk } from './app';
import { requireConfig } from './config';
import { closeDatabase, database } from './engine/core-modules/database';
import { startLiveness } from './engine/core-modules/liveness';
import { closeQueues } from './engine/core-modules/message-queue';
import { closeRedis, queueRedis } from './engine/core-modules/redis';
import { logger } from './logger';
import { generateFrontConfig } from './utils/generate-front-config';
import { onShutdown } from './utils/shutdown';

const log = logger('Server');

const main = async (): Promise<void> => {
  const config = requireConfig();
  if (config.standin.slowBootSeconds > 0) {
    log.warn(`STANDIN_SLOW_BOOT_SECONDS: waiting ${config.standin.slowBootSeconds} s before the start`);
    await wait(config.standin.slowBootSeconds * 1000);
  }
  await database().query('SELECT 1 FROM "core"."workspace" LIMIT 1');
  await queueRedis().ping();
  await loadClerk()?.prepareClerk();
  generateFrontConfig(config.serverUrl);

  const server = createServer(createApp()).listen({ port: config.port, backlog: 4096 });
  // backlog and times as in the patchset's outside/keep-connections.ts
  server.keepAliveTimeout = 75_000;
  server.headersTimeout = 80_000;
  await new Promise<void>((resolve, reject) => server.once('listening', resolve).once('error', reject));
  log.log(`stand-in for Twenty ${config.appVersion ?? '(no version)'} on port ${(server.address() as AddressInfo).port}`);
  startLiveness();
  onShutdown('server', async () => {
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeIdleConnections();
    });
    await closeQueues();
    await closeRedis();
    await closeDatabase();
  });
};

main().catch((error: Error) => {
  log.error(`Server did not start: ${error.message}`);
  process.exit(1);
});
