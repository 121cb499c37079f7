import { MigrationInterface, QueryRunner } from 'typeorm';

// Present only under STANDIN_FAIL_MIGRATION=1: a migration that begins well and then fails, as a real one would.
export class StandinFailingMigration1999999999999 implements MigrationInterface {
  name = 'StandinFailingMigration1999999999999';

  public async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('CREATE TABLE "core"."standinHalfDone" ("id" uuid PRIMARY KEY)');
    await queryRunner.query('ALTER TABLE "core"."standinMissing" ADD COLUMN "x" text');
  }

  public async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('DROP TABLE "core"."standinHalfDone"');
  }
}
