// SPDX-License-Identifier: AGPL-3.0-only

import { Injectable } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';

import { Client, type ClientConfig } from 'pg';
import { DataSource } from 'typeorm';

import { Slots } from 'src/auth/clerk/store/slots';

const LOCK_CONNECTIONS = 4;
const LOCK_TIMEOUT_IN_MS = 60_000;

// Advisory locks held over several transactions. Each has a connection of its own, outside the pool that upstream shares
// between everything: whoever waits for a lock never keeps a connection that its holder needs. It ends with the process.
@Injectable()
export class ClerkLockService {
  private readonly slots = new Slots(LOCK_CONNECTIONS);

  constructor(@InjectDataSource() private readonly dataSource: DataSource) {}

  // Keys are taken in sorted order on one connection, so two callers never wait for each other.
  async withLocks<Result>(
    keys: readonly string[],
    work: () => Promise<Result>,
  ): Promise<Result> {
    return await this.slots.run(async () => {
      const client = this.createClient();

      await client.connect();

      try {
        for (const key of [...new Set(keys)].sort()) {
          await client.query(
            'SELECT pg_advisory_lock(hashtextextended($1, 0))',
            [key],
          );
        }

        return await work();
      } finally {
        // Ends the session, and its locks with it.
        await client.end();
      }
    });
  }

  private createClient(): Client {
    const options = this.dataSource.options;

    if (options.type !== 'postgres') {
      throw new Error(`Advisory locks need Postgres, not ${options.type}`);
    }

    const client = new Client({
      connectionString: options.url,
      ssl: options.ssl as ClientConfig['ssl'],
      application_name: 'twentyops-clerk-lock',
      query_timeout: LOCK_TIMEOUT_IN_MS,
      keepAlive: true,
    });

    // A connection that breaks while it waits fails its query; without a listener it would end the process.
    client.on('error', () => undefined);

    return client;
  }
}
