// SPDX-License-Identifier: AGPL-3.0-only

type PoolTimes = {
  query_timeout?: number;
  connectionTimeoutMillis?: number;
  statement_timeout?: number | false;
  idle_in_transaction_session_timeout?: number;
};

const CONNECTION_WITHIN_MS = 15_000;
const TRANSACTION_IDLE_MS = 60_000;
const SOONER_MS = 500;

// Upstream gives its pools a query time-out alone. Without the others whoever waits for a connection waits for ever; and a query
// that was given up here goes on in Postgres, on a connection that the pool hands to the next one.
export const withPoolDeadlines = <Config extends PoolTimes>(
  config: Config,
): Config & PoolTimes => ({
  connectionTimeoutMillis: CONNECTION_WITHIN_MS,
  idle_in_transaction_session_timeout: TRANSACTION_IDLE_MS,
  ...(config.query_timeout === undefined
    ? {}
    : { statement_timeout: Math.max(config.query_timeout - SOONER_MS, 1_000) }),
  ...config,
});
