// SPDX-License-Identifier: AGPL-3.0-only

import { type DataModel } from './data-model';
import { objectsWithFirstView } from './first-views';
import {
  describePlan,
  isMatched,
  planWorkspace,
  type Counts,
  type Plan,
} from './plan';
import { type MetadataPort } from './workspace-metadata';

export type Mode = 'plan' | 'apply' | 'verify';

export type WorkspaceStatus = 'matched' | 'differs' | 'conflict' | 'failed';

export type WorkspaceReport = {
  workspaceId: string;
  status: WorkspaceStatus;
  written: {
    objects: number;
    fields: number;
    relations: number;
    changes: number;
    views: number;
  };
  present: Counts;
  toDo: string[];
  conflicts: string[];
  leftAlone: string[];
  retries: number;
  seconds: number;
  error?: string;
};

export type ApplyOptions = {
  onProgress?: (message: string) => void;
  // Ends the run before its next write; it is thrown then, with the signal's reason.
  signal?: AbortSignal;
  // Write the first views of every object, also where it was made before: the columns that people chose stay, after ours.
  withViews?: boolean;
  pause?: (milliseconds: number) => Promise<void>;
  now?: () => number;
};

// An error that says how long to wait, as an answer 429 does.
export type WithRetryAfter = { retryAfterMs?: number };

const MAX_TRANSIENT_RETRIES = 6;
const MAX_OTHER_RETRIES = 1;
const MAX_ROUNDS = 12;
const LONGEST_PAUSE_MS = 10_000;

const TRANSIENT_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'UND_ERR_SOCKET',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  // Postgres: serialization, deadlock, lock not available, too many connections, shutting down, starting up
  '40001',
  '40P01',
  '55P03',
  '53300',
  '57P01',
  '57P02',
  '57P03',
  // cancelled: it took longer than a statement may
  '57014',
  'HTTP_429',
  'HTTP_502',
  'HTTP_503',
  'HTTP_504',
]);

const codesOf = (error: unknown, depth = 0): string[] => {
  if (typeof error !== 'object' || error === null || depth > 4) {
    return [];
  }
  const { code, cause, driverError } = error as {
    code?: unknown;
    cause?: unknown;
    driverError?: unknown;
  };

  return [
    ...(typeof code === 'string' ? [code] : []),
    ...codesOf(cause, depth + 1),
    ...codesOf(driverError, depth + 1),
  ];
};

export const isTransient = (error: unknown): boolean =>
  codesOf(error).some((code) => TRANSIENT_CODES.has(code)) ||
  /connection terminated|timeout exceeded when trying to connect|query read timeout|socket hang up|fetch failed/i.test(
    messageOf(error),
  );

export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

const sleep = (milliseconds: number) =>
  new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

// One phase at a time, and a fresh look after each: whatever happened in between (a kill, an error, another run, a person) is
// what the next plan starts from.
const writeNextPhase = async (
  port: MetadataPort,
  plan: Plan,
  written: WorkspaceReport['written'],
  say: (message: string) => void,
  signal?: AbortSignal,
) => {
  if (plan.noteFirstViews.length > 0) {
    await port.noteFirstViews(plan.noteFirstViews);
  }
  if (plan.createObjects.length > 0) {
    for (const [place, object] of plan.createObjects.entries()) {
      signal?.throwIfAborted();
      say(
        `object ${place + 1}/${plan.createObjects.length}: ${object.nameSingular}`,
      );
      await port.createObject(object);
      written.objects += 1;
    }
  } else if (plan.createFields.length > 0) {
    say(`${plan.createFields.length} fields`);
    await port.createFields(plan.createFields);
    written.fields += plan.createFields.length;
  } else if (plan.createRelations.length > 0) {
    say(`${plan.createRelations.length} relations`);
    await port.createFields(plan.createRelations);
    written.relations += plan.createRelations.length;
  } else if (plan.updateObjects.length + plan.updateFields.length > 0) {
    for (const { id, name, changes } of plan.updateObjects) {
      say(`${name}: ${Object.keys(changes).join(', ')}`);
      await port.updateObject(id, changes);
      written.changes += 1;
    }
    for (const { id, name, changes } of plan.updateFields) {
      signal?.throwIfAborted();
      say(`${name}: ${Object.keys(changes).join(', ')}`);
      await port.updateField(id, changes);
      written.changes += 1;
    }
  } else {
    say(`first views of ${plan.firstViews.length} objects`);
    await port.writeFirstViews(plan.firstViews);
    written.views += plan.firstViews.length;
  }
};

export const runOnWorkspace = async (
  port: MetadataPort,
  model: DataModel,
  workspaceId: string,
  mode: Mode,
  {
    onProgress,
    signal,
    withViews = false,
    pause = sleep,
    now = Date.now,
  }: ApplyOptions = {},
): Promise<WorkspaceReport> => {
  const start = now();
  const report: WorkspaceReport = {
    workspaceId,
    status: 'failed',
    written: { objects: 0, fields: 0, relations: 0, changes: 0, views: 0 },
    present: { objects: 0, objectFields: 0, extendedFields: 0, relations: 0 },
    toDo: [],
    conflicts: [],
    leftAlone: [],
    retries: 0,
    seconds: 0,
  };
  let transientRetries = 0;
  let otherRetries = 0;
  let lastToDo = '';

  for (let round = 0; ; ) {
    signal?.throwIfAborted();
    try {
      const [objects, noted] = await Promise.all([
        port.read(),
        port.notedFirstViews(),
      ]);
      const plan = planWorkspace(
        model,
        objects,
        noted,
        withViews && report.written.views === 0
          ? objectsWithFirstView(model)
          : [],
      );

      report.present = plan.present;
      report.conflicts = plan.conflicts;
      report.leftAlone = plan.leftAlone;
      report.toDo = describePlan(plan);
      if (plan.conflicts.length > 0) {
        report.status = 'conflict';
        break;
      }
      if (isMatched(plan)) {
        report.status = 'matched';
        break;
      }
      report.status = 'differs';
      if (mode !== 'apply') {
        break;
      }
      const toDo = JSON.stringify(report.toDo);

      if (toDo === lastToDo && otherRetries === 0 && transientRetries === 0) {
        throw Object.assign(
          new Error(
            `written, and still not as the model says: ${report.toDo.slice(0, 3).join('; ')}`,
          ),
          { code: 'NO_PROGRESS' },
        );
      }
      lastToDo = toDo;
      round += 1;
      if (round > MAX_ROUNDS) {
        throw new Error(`not settled after ${MAX_ROUNDS} rounds`);
      }
      signal?.throwIfAborted();
      await writeNextPhase(
        port,
        plan,
        report.written,
        (message) => onProgress?.(message),
        signal,
      );
      transientRetries = 0;
      otherRetries = 0;
    } catch (error) {
      signal?.throwIfAborted();
      const transient = isTransient(error);
      const isStuck = codesOf(error).includes('NO_PROGRESS');

      transientRetries += transient ? 1 : 0;
      otherRetries += transient ? 0 : 1;
      if (
        isStuck ||
        transientRetries > MAX_TRANSIENT_RETRIES ||
        otherRetries > MAX_OTHER_RETRIES
      ) {
        report.status = 'failed';
        report.error = messageOf(error);
        break;
      }
      report.retries += 1;
      const asked = (error as WithRetryAfter).retryAfterMs ?? 0;
      const backOff = 250 * 2 ** (transientRetries + otherRetries);
      const wait = Math.min(
        LONGEST_PAUSE_MS,
        Math.max(asked, backOff * (0.5 + Math.random() / 2)),
      );

      onProgress?.(
        `${messageOf(error)}; looking again in ${(wait / 1000).toFixed(1)} s`,
      );
      await pause(wait);
    }
  }
  report.seconds = Math.round(now() - start) / 1000;

  return report;
};
