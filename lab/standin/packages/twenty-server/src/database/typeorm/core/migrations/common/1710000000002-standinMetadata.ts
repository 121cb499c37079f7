import { MigrationInterface, QueryRunner } from 'typeorm';

const STAMPS = '"createdAt" timestamptz NOT NULL DEFAULT now(), "updatedAt" timestamptz NOT NULL DEFAULT now()';

// What each workspace's data model looks like, and who may do what.
export class StandinMetadata1710000000002 implements MigrationInterface {
  name = 'StandinMetadata1710000000002';

  public async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(`CREATE TYPE "core"."dataSource_type_enum" AS ENUM ('postgres')`);
    await queryRunner.query(`
      CREATE TABLE "core"."dataSource" (
        "id" uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
        "label" varchar,
        "url" varchar,
        "schema" varchar,
        "type" "core"."dataSource_type_enum" NOT NULL DEFAULT 'postgres',
        "isRemote" boolean NOT NULL DEFAULT false,
        "workspaceId" uuid NOT NULL,
        ${STAMPS})`);
    await queryRunner.query(`
      CREATE TABLE "core"."objectMetadata" (
        "id" uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
        "standardId" uuid,
        "dataSourceId" uuid NOT NULL REFERENCES "core"."dataSource" ON DELETE CASCADE,
        "nameSingular" varchar NOT NULL,
        "namePlural" varchar NOT NULL,
        "labelSingular" varchar NOT NULL,
        "labelPlural" varchar NOT NULL,
        "description" text,
        "icon" varchar,
        "shortcut" varchar,
        "targetTableName" varchar NOT NULL,
        "isCustom" boolean NOT NULL DEFAULT false,
        "isRemote" boolean NOT NULL DEFAULT false,
        "isActive" boolean NOT NULL DEFAULT false,
        "isSystem" boolean NOT NULL DEFAULT false,
        "isUIReadOnly" boolean NOT NULL DEFAULT false,
        "isSearchable" boolean NOT NULL DEFAULT false,
        "isLabelSyncedWithName" boolean NOT NULL DEFAULT false,
        "labelIdentifierFieldMetadataId" uuid,
        "imageIdentifierFieldMetadataId" uuid,
        "workspaceId" uuid NOT NULL,
        ${STAMPS},
        CONSTRAINT "IDX_OBJECT_METADATA_NAME_SINGULAR_WORKSPACE_ID_UNIQUE" UNIQUE ("nameSingular", "workspaceId"),
        CONSTRAINT "IDX_OBJECT_METADATA_NAME_PLURAL_WORKSPACE_ID_UNIQUE" UNIQUE ("namePlural", "workspaceId"))`);
    await queryRunner.query(`
      CREATE TABLE "core"."fieldMetadata" (
        "id" uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
        "standardId" uuid,
        "objectMetadataId" uuid NOT NULL REFERENCES "core"."objectMetadata" ON DELETE CASCADE,
        "type" varchar NOT NULL,
        "name" varchar NOT NULL,
        "label" varchar NOT NULL,
        "defaultValue" jsonb,
        "description" text,
        "icon" varchar,
        "options" jsonb,
        "settings" jsonb,
        "isCustom" boolean NOT NULL DEFAULT false,
        "isActive" boolean NOT NULL DEFAULT false,
        "isSystem" boolean NOT NULL DEFAULT false,
        "isUIReadOnly" boolean NOT NULL DEFAULT false,
        "isNullable" boolean DEFAULT true,
        "isUnique" boolean DEFAULT false,
        "isLabelSyncedWithName" boolean NOT NULL DEFAULT false,
        "relationTargetFieldMetadataId" uuid,
        "relationTargetObjectMetadataId" uuid REFERENCES "core"."objectMetadata" ON DELETE CASCADE,
        "workspaceId" uuid NOT NULL,
        ${STAMPS},
        CONSTRAINT "IDX_FIELD_METADATA_NAME_OBJECT_METADATA_ID_WORKSPACE_ID_UNIQUE"
          UNIQUE ("name", "objectMetadataId", "workspaceId"))`);
    await queryRunner.query(`
      CREATE TABLE "core"."role" (
        "id" uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
        "standardId" uuid,
        "label" varchar NOT NULL,
        "description" text,
        "icon" varchar,
        "isEditable" boolean NOT NULL DEFAULT true,
        "canUpdateAllSettings" boolean NOT NULL DEFAULT false,
        "canAccessAllTools" boolean NOT NULL DEFAULT false,
        "canReadAllObjectRecords" boolean NOT NULL DEFAULT false,
        "canUpdateAllObjectRecords" boolean NOT NULL DEFAULT false,
        "canSoftDeleteAllObjectRecords" boolean NOT NULL DEFAULT false,
        "canDestroyAllObjectRecords" boolean NOT NULL DEFAULT false,
        "canBeAssignedToUsers" boolean NOT NULL DEFAULT true,
        "canBeAssignedToAgents" boolean NOT NULL DEFAULT true,
        "canBeAssignedToApiKeys" boolean NOT NULL DEFAULT true,
        "workspaceId" uuid NOT NULL,
        ${STAMPS},
        CONSTRAINT "IDX_ROLE_LABEL_WORKSPACE_ID_UNIQUE" UNIQUE ("label", "workspaceId"))`);
    await queryRunner.query(`
      CREATE TABLE "core"."roleTargets" (
        "id" uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
        "workspaceId" uuid NOT NULL,
        "roleId" uuid NOT NULL REFERENCES "core"."role" ON DELETE CASCADE,
        "userWorkspaceId" uuid,
        "agentId" uuid,
        "apiKeyId" uuid REFERENCES "core"."apiKey" ON DELETE CASCADE,
        ${STAMPS},
        CONSTRAINT "CHK_role_targets_single_entity" CHECK (num_nonnulls("userWorkspaceId", "agentId", "apiKeyId") = 1))`);
  }

  public async down(queryRunner: QueryRunner): Promise<void> {
    for (const table of ['roleTargets', 'role', 'fieldMetadata', 'objectMetadata', 'dataSource']) {
      await queryRunner.query(`DROP TABLE "core"."${table}"`);
    }
    await queryRunner.query('DROP TYPE "core"."dataSource_type_enum"');
  }
}
