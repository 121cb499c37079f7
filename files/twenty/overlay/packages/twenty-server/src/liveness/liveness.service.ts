// SPDX-License-Identifier: AGPL-3.0-only

import {
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';

import { type Server } from 'http';

import { Client, type ClientConfig } from 'pg';
import { DataSource } from 'typeorm';

import { RedisClientService } from 'src/engine/core-modules/redis-client/redis-client.service';
import { PgPoolSharedService } from 'src/engine/twenty-orm/pg-shared-pool/pg-shared-pool.service';
import { listenForHealth, readLivenessPort } from 'src/liveness/pure/listener';
import { guardLoop } from 'src/liveness/pure/loop-guard';
import { Probe } from 'src/liveness/pure/probe';
import { Watchdog } from 'src/liveness/pure/watchdog';

// sysexits.h EX_TEMPFAIL: Docker starts the container again.
const EXIT_CODE = 75;
const FRESH_WITHIN_MS = 4_000;
// Commands share these modules: they end by themselves, and nobody asks for their health.
const PROGRAMS = /(^|\/)(dist\/src\/main|queue-worker)(\.js)?$/;

@Injectable()
export class LivenessService
  implements OnApplicationBootstrap, OnModuleDestroy
{
  private readonly logger = new Logger(LivenessService.name);
  private watchdog: Watchdog | undefined;
  private listener: Server | undefined;
  private stopGuard: (() => void) | undefined;

  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    private readonly sharedPools: PgPoolSharedService,
    private readonly redis: RedisClientService,
  ) {}

  onApplicationBootstrap() {
    if (!PROGRAMS.test(process.argv[1] ?? '')) {
      return;
    }
    this.stopGuard = guardLoop({ say: (message) => this.logger.error(message) });
    const own = [
      new Probe('database', () => this.dataSource.query('SELECT 1')),
      new Probe('workspaces', () =>
        Promise.all(
          [...(this.sharedPools.getPoolsMapForTesting()?.values() ?? [])].map(
            (pool) => pool.query('SELECT 1'),
          ),
        ),
      ),
    ];

    this.watchdog = new Watchdog({
      own,
      fresh: new Probe('fresh', () => this.askOnFreshConnection()),
      say: (message) => this.logger.warn(message),
      end: (reason) => {
        this.logger.error(`ends itself (${EXIT_CODE}): ${reason}`);
        process.stderr.write('', () => process.exit(EXIT_CODE));
      },
    });
    this.watchdog.start();
    this.listener = listenForHealth(
      [
        ...own,
        // Not asked by the watchdog: a migration may hold this table, and a new start would not help.
        new Probe('migrated', () =>
          this.dataSource.query('SELECT FROM core.workspace LIMIT 1'),
        ),
        new Probe('cache', () => this.redis.getClient().ping()),
        new Probe('queue', () => this.redis.getQueueClient().ping()),
      ],
      readLivenessPort(process.env),
      (message) => this.logger.error(message),
    );
  }

  onModuleDestroy() {
    this.watchdog?.stop();
    this.listener?.close();
    this.stopGuard?.();
  }

  private async askOnFreshConnection() {
    const options = this.dataSource.options;

    if (options.type !== 'postgres') {
      throw new Error(`Postgres is needed, not ${options.type}`);
    }
    const client = new Client({
      connectionString: options.url,
      ssl: options.ssl as ClientConfig['ssl'],
      application_name: 'twentyops-liveness',
      connectionTimeoutMillis: FRESH_WITHIN_MS,
      query_timeout: FRESH_WITHIN_MS,
    });

    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query('SELECT 1');
    } finally {
      void client.end().catch(() => undefined);
    }
  }
}
