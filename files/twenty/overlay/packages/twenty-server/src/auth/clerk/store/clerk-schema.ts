// SPDX-License-Identifier: AGPL-3.0-only

// Not a core migration: upstream's `upgrade` runs none while no workspace is active, and its entrypoint runs them only on an
// empty database. No foreign keys into core: an upstream migration must never trip over them.
export const CLERK_SCHEMA_LOCK = 'twentyops clerk schema';

export const CLERK_SCHEMA_STATEMENTS: readonly string[] = [
  `CREATE SCHEMA IF NOT EXISTS clerk`,
  `CREATE TABLE IF NOT EXISTS clerk."user" (
     clerk_user_id text PRIMARY KEY,
     user_id uuid NOT NULL UNIQUE,
     created_at timestamptz NOT NULL DEFAULT now(),
     updated_at timestamptz NOT NULL DEFAULT now()
   )`,
  `CREATE TABLE IF NOT EXISTS clerk.organization (
     organization_id text PRIMARY KEY,
     workspace_id uuid UNIQUE,
     owner_clerk_user_id text NOT NULL,
     status text NOT NULL DEFAULT 'provisioning' CHECK (status IN ('provisioning', 'active', 'suspended')),
     sessions_from timestamptz NOT NULL DEFAULT to_timestamp(0),
     created_at timestamptz NOT NULL DEFAULT now(),
     updated_at timestamptz NOT NULL DEFAULT now()
   )`,
  // Sessions of Clerk that were let in here. confirmed_at: until then Clerk held it for good. One that is over stays so.
  `CREATE TABLE IF NOT EXISTS clerk.session (
     session_id text PRIMARY KEY,
     clerk_user_id text NOT NULL,
     confirmed_at timestamptz NOT NULL,
     ended_at timestamptz,
     ended_why text
   )`,
  `CREATE INDEX IF NOT EXISTS session_of ON clerk.session (clerk_user_id) WHERE ended_at IS NULL`,
  // Who is not let in at present: nowhere (organization_id ''), or not into one organisation.
  `CREATE TABLE IF NOT EXISTS clerk.refusal (
     clerk_user_id text NOT NULL,
     organization_id text NOT NULL DEFAULT '',
     reason text NOT NULL CHECK (reason IN ('banned', 'locked', 'deleted', 'not-a-member')),
     noted_at timestamptz NOT NULL DEFAULT now(),
     PRIMARY KEY (clerk_user_id, organization_id)
   )`,
  // Whose an API key or webhook is: who made it, asked for its token, or told where it sends to. Upstream keeps nobody.
  `CREATE TABLE IF NOT EXISTS clerk.credential (
     kind text NOT NULL CHECK (kind IN ('apiKey', 'webhook')),
     id uuid NOT NULL,
     user_id uuid NOT NULL,
     workspace_id uuid NOT NULL,
     noted_at timestamptz NOT NULL DEFAULT now(),
     PRIMARY KEY (kind, id, user_id)
   )`,
  `CREATE INDEX IF NOT EXISTS credential_of ON clerk.credential (user_id)`,
  // Organisations that have to wait for a workspace, told by the tenant manager for the page of whoever waits.
  `CREATE TABLE IF NOT EXISTS clerk.waiting (
     organization_id text PRIMARY KEY,
     reason text NOT NULL,
     since timestamptz NOT NULL DEFAULT now()
   )`,
];
