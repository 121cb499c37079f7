import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import semver from 'semver';

import { getConfig } from '../../config';
import { database } from '../../engine/core-modules/database';
import { logger } from '../../logger';

const log = logger('UpgradeCommand');

// Releases that this code knows how to upgrade to, oldest first; one minor at a time.
const RELEASES = ['1.6.0', '1.7.0', '1.8.0', '1.10.0', '1.11.0'];

type WorkspaceVersion = { id: string; version: string | null };

const minorOf = (version: string): string | undefined => {
  const parsed = semver.parse(version);
  return parsed ? `${parsed.major}.${parsed.minor}.0` : undefined;
};

const versionsOf = (appVersion: string | undefined): { current: string; full: string; previous: string } => {
  if (appVersion === undefined) throw new Error('APP_VERSION is not set: the release to upgrade to is unknown');
  const full = semver.parse(appVersion)?.version;
  const current = minorOf(appVersion);
  if (!full || !current) throw new Error(`APP_VERSION ${JSON.stringify(appVersion)} is not a version`);
  const place = RELEASES.indexOf(current);
  if (place < 0) throw new Error(`APP_VERSION ${appVersion}: no release known by that name (${RELEASES.join(', ')})`);
  const previous = RELEASES[place - 1];
  if (!previous) throw new Error(`APP_VERSION ${appVersion}: nothing to upgrade from, it is the oldest known release`);
  return { current, full, previous };
};

const runCoreMigrations = async (): Promise<void> => {
  log.log('running core migrations');
  const { stdout } = await promisify(execFile)(
    'npx',
    ['-y', 'typeorm', 'migration:run', '-d', 'dist/src/database/typeorm/core/core.datasource'],
    { maxBuffer: 64 * 1024 * 1024 },
  );
  const done = stdout.split('\n').filter((line) => line.includes('executed successfully')).length;
  log.log(`${done} core migrations run`);
};

const upgradeWorkspace = async (workspace: WorkspaceVersion, full: string, previous: string): Promise<void> => {
  const minor = minorOf(workspace.version ?? '');
  if (!minor || semver.lt(minor, previous)) throw new Error(`version ${workspace.version} is beneath ${previous}`);
  if (semver.gt(minor, previous)) {
    log.log(`workspace ${workspace.id}: at ${workspace.version} already`);
    return;
  }
  await database().query('UPDATE "core"."workspace" SET "version" = $1, "updatedAt" = now() WHERE "id" = $2', [
    full,
    workspace.id,
  ]);
  log.log(`workspace ${workspace.id}: ${workspace.version} -> ${full}`);
};

// Whatever goes wrong is logged and the exit code stays 0; core migrations run only where a workspace is active or
// suspended and all are at the previous minor release or later. Both are upstream's traps, kept on purpose.
export const upgrade = async (): Promise<void> => {
  let full: string;
  let previous: string;
  let workspaces: WorkspaceVersion[];
  try {
    ({ full, previous } = versionsOf(getConfig().appVersion));
    ({ rows: workspaces } = await database().query<WorkspaceVersion>(`
      SELECT "id", "version" FROM "core"."workspace"
      WHERE "activationStatus" IN ('ACTIVE', 'SUSPENDED') AND "deletedAt" IS NULL ORDER BY "id"`));
  } catch (error) {
    log.error(`upgrade stopped, no core migration run: ${(error as Error).message}`);
    return;
  }
  if (workspaces.length === 0) {
    log.log('no active workspace: taken for a fresh installation, no core migration run');
    return;
  }
  const behind = workspaces.filter(({ version }) => {
    const minor = minorOf(version ?? '');
    return !minor || semver.lt(minor, previous);
  });
  if (behind.length > 0) {
    for (const { id, version } of behind) {
      log.error(`workspace ${id} is at ${version}, but at least ${previous} is needed: upgrade one minor at a time`);
    }
    return;
  }
  try {
    await runCoreMigrations();
  } catch (error) {
    log.error(`core migrations failed: ${(error as Error).message}`);
    return;
  }
  for (const workspace of workspaces) {
    try {
      await upgradeWorkspace(workspace, full, previous);
    } catch (error) {
      log.error(`workspace ${workspace.id}: ${(error as Error).message}`);
    }
  }
};
