import { MigrationInterface, QueryRunner } from 'typeorm';

// A later release's small step, so that "some applied, one pending" can be rehearsed.
export class StandinWorkspaceTrashRetention1760000000003 implements MigrationInterface {
  name = 'StandinWorkspaceTrashRetention1760000000003';

  public async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('ALTER TABLE "core"."workspace" ADD COLUMN "trashRetentionDays" integer NOT NULL DEFAULT 14');
  }

  public async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query('ALTER TABLE "core"."workspace" DROP COLUMN "trashRetentionDays"');
  }
}
