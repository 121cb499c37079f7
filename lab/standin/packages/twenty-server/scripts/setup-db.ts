import { Client } from 'pg';

// Schemas and extensions that the core migrations expect. Safe to run again.
const STATEMENTS = [
  'CREATE SCHEMA IF NOT EXISTS "public"',
  'CREATE EXTENSION IF NOT EXISTS "uuid-ossp"',
  'CREATE EXTENSION IF NOT EXISTS "unaccent"',
  'CREATE SCHEMA IF NOT EXISTS "core"',
];

const main = async (): Promise<void> => {
  const client = new Client({ connectionString: process.env.PG_DATABASE_URL });
  await client.connect();
  try {
    for (const statement of STATEMENTS) {
      await client.query(statement);
      console.log(`${statement}: done`);
    }
  } finally {
    await client.end();
  }
};

main().catch((error: Error) => {
  console.error(`Database set-up failed: ${error.message}`);
  process.exitCode = 1;
});
