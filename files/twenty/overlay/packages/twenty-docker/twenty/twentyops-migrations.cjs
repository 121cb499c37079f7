// SPDX-License-Identifier: AGPL-3.0-only
//
// What state the database is in, told by Twenty's own data source and TypeORM: nothing is guessed from file names.
// Run in packages/twenty-server. With the argument "reach": only whether database and Redis can be reached at all.
// Without: one tab-separated fact a line:
//   known N               core migrations in this image
//   pending NAME          one that the database lacks
//   workspace ID STATUS VERSION    active or suspended
//   behind ID VERSION     one whose version is below APP_VERSION (major and minor)
// Exit code 1: it cannot be told, and why is on standard error.
'use strict';

const { existsSync } = require('node:fs');
const { createRequire } = require('node:module');
const net = require('node:net');
const path = require('node:path');
const { setTimeout: pause } = require('node:timers/promises');

// Where versions of Twenty put their compiled data source.
const DATA_SOURCES = ['./dist/src/database/typeorm/core/core.datasource', './dist/database/typeorm/core/core.datasource'];

const REACH_WITHIN_MS = 15_000;

// Waits until something accepts connections there; never shows the address's password.
const reach = async (name, address, defaultPort) => {
  const { hostname, port } = new URL(address);
  const host = hostname.replace(/^\[|\]$/g, '') || 'localhost';
  const deadline = Date.now() + REACH_WITHIN_MS;
  for (;;) {
    const failure = await new Promise((resolve) => {
      const socket = net.connect({ host, port: Number(port) || defaultPort, timeout: 5_000 });
      const done = (error) => {
        socket.destroy();
        resolve(error);
      };
      socket.once('connect', () => done(undefined));
      socket.once('timeout', () => done(new Error('no answer')));
      socket.once('error', done);
    });
    if (!failure) return;
    if (Date.now() > deadline) {
      throw new Error(`${name} at ${host}:${port || defaultPort} is out of reach: ${failure.code ?? failure.message}`);
    }
    await pause(500);
  }
};

const reachAll = async () => {
  await reach('the database (PG_DATABASE_URL)', process.env.PG_DATABASE_URL, 5432);
  await reach('Redis (REDIS_URL)', process.env.REDIS_URL || 'redis://localhost:6379', 6379);
  if (process.env.REDIS_QUEUE_URL) await reach("the queue's Redis (REDIS_QUEUE_URL)", process.env.REDIS_QUEUE_URL, 6379);
};

const minorOf = (version) => {
  const parts = /^v?(\d+)\.(\d+)/.exec(version ?? '');
  return parts ? Number(parts[1]) * 1e6 + Number(parts[2]) : -1;
};

const tellState = async () => {
  // Resolved from Twenty's server package: the same TypeORM that its migrations use.
  const load = createRequire(path.join(process.cwd(), 'package.json'));
  const { DataSource, MigrationExecutor } = load('typeorm');
  const file = DATA_SOURCES.find((path) => existsSync(`${path}.js`));
  if (!file) throw new Error(`no data source in ${process.cwd()}; looked for ${DATA_SOURCES.join(', ')}`);
  const upstream = Object.values(load(file)).find((value) => value instanceof DataSource);
  if (!upstream) throw new Error(`${file} exports no data source`);

  // Without entities it opens in a fraction of a second; migrations and their table stay upstream's.
  const source = new DataSource({
    ...upstream.options,
    entities: [],
    subscribers: [],
    logging: ['error'],
    synchronize: false,
    migrationsRun: false,
    dropSchema: false,
  });
  await source.initialize();
  try {
    const executor = new MigrationExecutor(source);
    const known = await executor.getAllMigrations();
    if (known.length === 0) throw new Error('this image holds no core migration at all');
    const pending = await executor.getPendingMigrations();
    const workspaces = await source.query(
      `SELECT "id", "activationStatus"::text AS "status", "version" FROM "core"."workspace"
       WHERE "activationStatus"::text IN ('ACTIVE', 'SUSPENDED') AND "deletedAt" IS NULL ORDER BY "id"`,
    );
    const wanted = minorOf(process.env.APP_VERSION);
    const facts = [['known', known.length]];
    for (const { name } of pending) facts.push(['pending', name]);
    for (const { id, status, version } of workspaces) {
      facts.push(['workspace', id, status, version ?? '-']);
      if (minorOf(version) < wanted) facts.push(['behind', `${id} (version ${version ?? 'none'})`]);
    }
    process.stdout.write(facts.map((fact) => `${fact.join('\t')}\n`).join(''));
  } finally {
    await source.destroy();
  }
};

(process.argv[2] === 'reach' ? reachAll() : tellState()).catch((error) => {
  process.stderr.write(`twentyops-migrate: ${error.message}\n`);
  process.exitCode = 1;
});
