// SPDX-License-Identifier: AGPL-3.0-only
import { Logger } from '@nestjs/common';

import { type Pool } from 'pg';

import { withOneListener } from './pure/one-listener';

const logger = new Logger('SharedPool');

/** Keep one `error` listener on the pool that all workspaces share: each further one would keep a data source alive for ever. */
export const keepOneErrorListener = (pool: Pool): void =>
  withOneListener(pool, 'error', (error: Error) =>
    logger.warn(`A connection of Postgres failed: ${error.message}`),
  );
