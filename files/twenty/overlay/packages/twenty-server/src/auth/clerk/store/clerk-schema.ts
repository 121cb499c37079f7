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
  // Organisations that have to wait for a workspace, told by the tenant manager for the page of whoever waits.
  `CREATE TABLE IF NOT EXISTS clerk.waiting (
     organization_id text PRIMARY KEY,
     reason text NOT NULL,
     since timestamptz NOT NULL DEFAULT now()
   )`,
];
