import { MigrationInterface, QueryRunner } from 'typeorm';

const STAMPS = '"createdAt" timestamptz NOT NULL DEFAULT now(), "updatedAt" timestamptz NOT NULL DEFAULT now()';

// Workspaces, people, tokens: table and column names are those that other tools read and write.
export class StandinAccounts1700000000001 implements MigrationInterface {
  name = 'StandinAccounts1700000000001';

  public async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`
      CREATE TYPE "core"."workspace_activationStatus_enum" AS ENUM
        ('ONGOING_CREATION', 'PENDING_CREATION', 'ACTIVE', 'INACTIVE', 'SUSPENDED')`);
    await queryRunner.query(`
      CREATE TABLE "core"."workspace" (
        "id" uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
        "displayName" varchar,
        "logo" varchar,
        "inviteHash" varchar,
        "deletedAt" timestamptz,
        "allowImpersonation" boolean NOT NULL DEFAULT true,
        "isPublicInviteLinkEnabled" boolean NOT NULL DEFAULT true,
        "activationStatus" "core"."workspace_activationStatus_enum" NOT NULL DEFAULT 'INACTIVE',
        "metadataVersion" integer NOT NULL DEFAULT 1,
        "databaseUrl" varchar NOT NULL DEFAULT '',
        "databaseSchema" varchar NOT NULL DEFAULT '',
        "subdomain" varchar NOT NULL UNIQUE,
        "customDomain" varchar UNIQUE,
        "isCustomDomainEnabled" boolean NOT NULL DEFAULT false,
        "isGoogleAuthEnabled" boolean NOT NULL DEFAULT true,
        "isMicrosoftAuthEnabled" boolean NOT NULL DEFAULT true,
        "isPasswordAuthEnabled" boolean NOT NULL DEFAULT true,
        "defaultRoleId" uuid,
        "version" varchar,
        ${STAMPS},
        CONSTRAINT "onboarded_workspace_requires_default_role" CHECK
          ("activationStatus" IN ('PENDING_CREATION', 'ONGOING_CREATION') OR "defaultRoleId" IS NOT NULL))`);
    await queryRunner.query(`
      CREATE TABLE "core"."user" (
        "id" uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
        "firstName" varchar NOT NULL DEFAULT '',
        "lastName" varchar NOT NULL DEFAULT '',
        "email" varchar NOT NULL,
        "defaultAvatarUrl" varchar,
        "isEmailVerified" boolean NOT NULL DEFAULT false,
        "disabled" boolean NOT NULL DEFAULT false,
        "passwordHash" varchar,
        "canImpersonate" boolean NOT NULL DEFAULT false,
        "canAccessFullAdminPanel" boolean NOT NULL DEFAULT false,
        "locale" varchar NOT NULL DEFAULT 'en',
        "deletedAt" timestamptz,
        ${STAMPS})`);
    await queryRunner.query(
      'CREATE UNIQUE INDEX "UQ_USER_EMAIL" ON "core"."user" ("email") WHERE "deletedAt" IS NULL',
    );
    await queryRunner.query(`
      CREATE TABLE "core"."userWorkspace" (
        "id" uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
        "userId" uuid NOT NULL REFERENCES "core"."user" ON DELETE CASCADE,
        "workspaceId" uuid NOT NULL REFERENCES "core"."workspace" ON DELETE CASCADE,
        "defaultAvatarUrl" varchar,
        "locale" varchar NOT NULL DEFAULT 'en',
        "deletedAt" timestamptz,
        ${STAMPS})`);
    await queryRunner.query(`
      CREATE UNIQUE INDEX "IDX_USER_WORKSPACE_USER_ID_WORKSPACE_ID_UNIQUE"
        ON "core"."userWorkspace" ("userId", "workspaceId") WHERE "deletedAt" IS NULL`);
    await queryRunner.query(`
      CREATE TABLE "core"."appToken" (
        "id" uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
        "userId" uuid REFERENCES "core"."user" ON DELETE CASCADE,
        "workspaceId" uuid REFERENCES "core"."workspace" ON DELETE CASCADE,
        "type" text NOT NULL DEFAULT 'REFRESH_TOKEN',
        "value" text,
        "expiresAt" timestamptz NOT NULL,
        "deletedAt" timestamptz,
        "revokedAt" timestamptz,
        "context" jsonb,
        ${STAMPS})`);
    await queryRunner.query(`
      CREATE TYPE "core"."keyValuePair_type_enum" AS ENUM ('USER_VARIABLE', 'FEATURE_FLAG', 'CONFIG_VARIABLE')`);
    await queryRunner.query(`
      CREATE TABLE "core"."keyValuePair" (
        "id" uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
        "userId" uuid REFERENCES "core"."user" ON DELETE CASCADE,
        "workspaceId" uuid REFERENCES "core"."workspace" ON DELETE CASCADE,
        "key" text NOT NULL,
        "value" jsonb,
        "textValueDeprecated" text,
        "type" "core"."keyValuePair_type_enum" NOT NULL DEFAULT 'USER_VARIABLE',
        "deletedAt" timestamptz,
        ${STAMPS},
        CONSTRAINT "IDX_KEY_VALUE_PAIR_KEY_USER_ID_WORKSPACE_ID_UNIQUE" UNIQUE ("key", "userId", "workspaceId"))`);
    await queryRunner.query(`
      CREATE TABLE "core"."apiKey" (
        "id" uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
        "name" varchar NOT NULL,
        "expiresAt" timestamptz NOT NULL,
        "revokedAt" timestamptz,
        "workspaceId" uuid NOT NULL REFERENCES "core"."workspace" ON DELETE CASCADE,
        ${STAMPS})`);
  }

  public async down(queryRunner: QueryRunner): Promise<void> {
    for (const table of ['apiKey', 'keyValuePair', 'appToken', 'userWorkspace', 'user', 'workspace']) {
      await queryRunner.query(`DROP TABLE "core"."${table}"`);
    }
    await queryRunner.query('DROP TYPE "core"."keyValuePair_type_enum"');
    await queryRunner.query('DROP TYPE "core"."workspace_activationStatus_enum"');
  }
}
