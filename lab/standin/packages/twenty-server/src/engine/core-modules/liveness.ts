// Health on loopback and the watchdog, by the patchset's own files: an unpatched tree has none.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { Client } from 'pg';

import { getConfig } from '../../config';
import type * as ListenerModule from '../../liveness/pure/listener';
import type * as ProbeModule from '../../liveness/pure/probe';
import type * as WatchdogModule from '../../liveness/pure/watchdog';
import { logger } from '../../logger';
import { database } from './database';
import { queueRedis } from './redis';

const log = logger('liveness');

const askOnFreshConnection = async (): Promise<void> => {
  const client = new Client({ connectionString: getConfig().databaseUrl, connectionTimeoutMillis: 4_000, query_timeout: 4_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT 1');
  } finally {
    void client.end().catch(() => undefined);
  }
};

export const startLiveness = (): void => {
  if (!existsSync(path.join(__dirname, '../../liveness'))) return;
  const { Probe } = require('../../liveness/pure/probe') as typeof ProbeModule;
  const { Watchdog } = require('../../liveness/pure/watchdog') as typeof WatchdogModule;
  const { listenForHealth, readLivenessPort } = require('../../liveness/pure/listener') as typeof ListenerModule;
  const own = [new Probe('database', () => database().query('SELECT 1'))];
  new Watchdog({
    own,
    fresh: new Probe('fresh', askOnFreshConnection),
    say: (message) => log.warn(message),
    end: (reason) => {
      log.error(`ends itself (75): ${reason}`);
      process.exit(75);
    },
  }).start();
  const migrated = new Probe('migrated', () => database().query('SELECT FROM core.workspace LIMIT 1'));
  const probes = [...own, migrated, new Probe('queue', () => queueRedis().ping())];
  listenForHealth(probes, readLivenessPort(process.env), (message) => log.error(message));
};
