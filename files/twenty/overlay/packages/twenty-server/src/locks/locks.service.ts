// SPDX-License-Identifier: AGPL-3.0-only

import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';

import { Client, type ClientConfig } from 'pg';
import { DataSource } from 'typeorm';

import { Locks, type LockOptions } from 'src/locks/pure/locks';
import {
  asLockConnection,
  LOCK_CLIENT_OPTIONS,
} from 'src/locks/pure/pg-lock-connection';

// The locks of this process: sign-in, tenants, the data model and the schema for Clerk's ids.
@Injectable()
export class LocksService implements OnModuleDestroy {
  private readonly locks = new Locks(() => asLockConnection(this.client()));

  constructor(@InjectDataSource() private readonly dataSource: DataSource) {}

  async withLocks<Result>(
    keys: readonly string[],
    work: (signal: AbortSignal) => Promise<Result>,
    options?: LockOptions,
  ): Promise<Result> {
    return await this.locks.withLocks(keys, work, options);
  }

  async onModuleDestroy() {
    await this.locks.close();
  }

  private client(): Client {
    const options = this.dataSource.options;

    if (options.type !== 'postgres') {
      throw new Error(`Advisory locks need Postgres, not ${options.type}`);
    }

    return new Client({
      ...LOCK_CLIENT_OPTIONS,
      connectionString: options.url,
      ssl: options.ssl as ClientConfig['ssl'],
    });
  }
}
