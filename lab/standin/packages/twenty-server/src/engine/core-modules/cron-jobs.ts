import { database, quoteName } from './database';
import { addJob, type QueueName } from './message-queue';

export type JobHandler = (data: Record<string, unknown>) => Promise<string>;

type CronJob = { queue: QueueName; name: string; pattern: string };

// What `cron:register:all` registers. The first runs each minute: a worker that works shows it within one.
export const CRON_JOBS: CronJob[] = [
  { queue: 'cron-queue', name: 'CronTriggerCronJob', pattern: '* * * * *' },
  { queue: 'cron-queue', name: 'TrashCleanupCronJob', pattern: '10 0 * * *' },
];

type ActiveWorkspace = { id: string; schema: string; trashRetentionDays: number };

const activeWorkspaces = async (): Promise<ActiveWorkspace[]> => {
  const { rows } = await database().query<ActiveWorkspace>(`
    SELECT w."id", d."schema", w."trashRetentionDays"
    FROM "core"."workspace" w JOIN "core"."dataSource" d ON d."workspaceId" = w."id"
    WHERE w."activationStatus" = 'ACTIVE' AND w."deletedAt" IS NULL ORDER BY w."id"`);
  return rows;
};

const cronTrigger: JobHandler = async () => `${(await activeWorkspaces()).length} active workspaces looked at`;

const scheduleTrashCleanup: JobHandler = async () => {
  const workspaces = await activeWorkspaces();
  for (const workspace of workspaces) await addJob('workspace-queue', 'TrashCleanupJob', { workspaceId: workspace.id });
  return `${workspaces.length} clean-ups queued`;
};

// Rows in the trash for longer than the workspace keeps them are removed for good.
const cleanTrash: JobHandler = async ({ workspaceId }) => {
  const workspace = (await activeWorkspaces()).find(({ id }) => id === workspaceId);
  if (!workspace) return `workspace ${String(workspaceId)} is not active, nothing done`;
  const { rows: tables } = await database().query<{ table_name: string }>(
    `SELECT c.table_name FROM information_schema.columns c JOIN information_schema.tables t
       ON t.table_schema = c.table_schema AND t.table_name = c.table_name AND t.table_type = 'BASE TABLE'
     WHERE c.table_schema = $1 AND c.column_name = 'deletedAt' ORDER BY 1`,
    [workspace.schema],
  );
  let removed = 0;
  for (const { table_name: table } of tables) {
    const { rowCount } = await database().query(
      `DELETE FROM ${quoteName(workspace.schema)}.${quoteName(table)}
       WHERE "deletedAt" < now() - make_interval(days => $1)`,
      [workspace.trashRetentionDays],
    );
    removed += rowCount ?? 0;
  }
  return `${removed} rows removed from ${tables.length} tables`;
};

export const JOB_HANDLERS: Record<string, JobHandler> = {
  'cron-queue/CronTriggerCronJob': cronTrigger,
  'cron-queue/TrashCleanupCronJob': scheduleTrashCleanup,
  'workspace-queue/TrashCleanupJob': cleanTrash,
};
