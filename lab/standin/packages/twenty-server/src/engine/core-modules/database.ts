import { Pool, type PoolClient, types } from 'pg';

import { getConfig } from '../../config';
import { logger } from '../../logger';

export type Queryable = Pick<Pool, 'query'> | Pick<PoolClient, 'query'>;

// A day stays the text that it is: as a Date it would move with the server's time zone.
types.setTypeParser(types.builtins.DATE, (value) => value);

let pool: Pool | undefined;

export const database = (): Pool => {
  if (!pool) {
    pool = new Pool({ connectionString: getConfig().databaseUrl, max: 10, application_name: 'twenty-standin' });
    // An idle connection that breaks (the database restarts) must not end the process: the next query takes a new one.
    pool.on('error', (error) => logger('database').warn(`idle connection lost: ${error.message}`));
  }
  return pool;
};

export const inTransaction = async <T>(work: (client: PoolClient) => Promise<T>): Promise<T> => {
  const client = await database().connect();
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
};

// For table, column and schema names, which no parameter can carry.
export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;

export const closeDatabase = async (): Promise<void> => {
  await pool?.end();
  pool = undefined;
};
