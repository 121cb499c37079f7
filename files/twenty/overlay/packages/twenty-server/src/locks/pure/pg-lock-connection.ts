// SPDX-License-Identifier: AGPL-3.0-only

import { type LockConnection } from './locks';

// What is used of the `Client` of pg. Not its `Pool`: upstream replaces that by one pool for everything.
type PgClient = {
  connect: () => Promise<unknown>;
  query: (
    text: string,
    values: unknown[],
  ) => Promise<{ rows: Record<string, unknown>[] }>;
  end: () => Promise<void>;
  on: (event: 'error' | 'end', listener: () => void) => unknown;
};

export const LOCK_CLIENT_OPTIONS = {
  application_name: 'twentyops-locks',
  connectionTimeoutMillis: 5_000,
  // Nothing that is asked on it ever waits.
  query_timeout: 10_000,
  keepAlive: true,
} as const;

export const asLockConnection = async (
  client: PgClient,
): Promise<LockConnection> => {
  const listeners: (() => void)[] = [];
  let isOver = false;
  const lost = () => {
    if (!isOver) {
      isOver = true;
      listeners.forEach((listener) => listener());
    }
  };

  // Without a listener a broken connection would end the process.
  client.on('error', lost);
  client.on('end', lost);
  await client.connect();

  return {
    query: (text, values) => client.query(text, values),
    onLost: (listener) => {
      if (isOver) {
        listener();
      }
      listeners.push(listener);
    },
    end: async () => {
      isOver = true;
      await client.end();
    },
  };
};
