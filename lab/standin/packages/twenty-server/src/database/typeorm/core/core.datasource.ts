import 'reflect-metadata';
import path from 'node:path';
import { DataSource } from 'typeorm';

import { StandinFailingMigration1999999999999 } from './standin-failing-migration';

// Loaded by TypeORM's own command line: `npx typeorm migration:run|migration:show -d dist/src/database/typeorm/core/core.datasource`.
export const connectionSource = new DataSource({
  type: 'postgres',
  url: process.env.PG_DATABASE_URL,
  schema: 'core',
  logging: ['error'],
  synchronize: false,
  migrationsRun: false,
  migrationsTableName: '_typeorm_migrations',
  metadataTableName: '_typeorm_generated_columns_and_materialized_views',
  migrations: [
    path.join(__dirname, 'migrations', 'common', '*.js'),
    ...(process.env.STANDIN_FAIL_MIGRATION === '1' ? [StandinFailingMigration1999999999999] : []),
  ],
  extra: { query_timeout: 15_000 },
});
