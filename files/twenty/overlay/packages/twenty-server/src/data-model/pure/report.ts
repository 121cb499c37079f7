// SPDX-License-Identifier: AGPL-3.0-only

import { messageOf, type Mode, type WorkspaceReport } from './apply';

export type RunReport = {
  mode: Mode;
  model: string;
  through: string;
  matched: boolean;
  seconds: number;
  workspaces: WorkspaceReport[];
};

export const EXIT = {
  matched: 0,
  differs: 1,
  conflict: 2,
  failed: 3,
  usage: 64,
} as const;

const MOST_LINES = 40;
const MOST_CHARACTERS = 300;

// The worst of all workspaces decides.
export const exitCodeOf = (report: RunReport): number =>
  Math.max(0, ...report.workspaces.map(({ status }) => EXIT[status]));

// Each workspace by itself: one that fails is named at the end and does not stop the others.
export const runOnAll = async (
  workspaceIds: string[],
  run: (workspaceId: string) => Promise<WorkspaceReport>,
): Promise<WorkspaceReport[]> => {
  const reports: WorkspaceReport[] = [];

  for (const workspaceId of workspaceIds) {
    const start = Date.now();

    try {
      reports.push(await run(workspaceId));
    } catch (error) {
      reports.push({
        workspaceId,
        status: 'failed',
        written: { objects: 0, fields: 0, relations: 0, changes: 0, views: 0 },
        present: {
          objects: 0,
          objectFields: 0,
          extendedFields: 0,
          relations: 0,
        },
        toDo: [],
        conflicts: [],
        leftAlone: [],
        retries: 0,
        seconds: (Date.now() - start) / 1000,
        error: messageOf(error),
      });
    }
  }

  return reports;
};

export const asTable = (report: RunReport): string => {
  const rows = report.workspaces.map(
    ({ workspaceId, status, present, written, seconds }) => [
      workspaceId,
      status,
      `${present.objects}/${present.objectFields}/${present.extendedFields}/${present.relations}`,
      `${written.objects}/${written.fields}/${written.relations}/${written.changes}/${written.views}`,
      seconds.toFixed(1),
    ],
  );
  const table = [
    [
      'workspace',
      'status',
      'objects/fields/extended/relations',
      'written: objects/fields/relations/changes/views',
      'seconds',
    ],
    ...rows,
  ];
  const widths = table[0].map((_, column) =>
    Math.max(...table.map((row) => row[column].length)),
  );
  const lines = table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]))
      .join('  ')
      .trimEnd(),
  );

  for (const workspace of report.workspaces) {
    const details = [
      ...workspace.conflicts.map((text) => `conflict: ${text}`),
      ...(workspace.error === undefined ? [] : [`failed: ${workspace.error}`]),
      ...(['matched', 'conflict'].includes(workspace.status)
        ? []
        : workspace.toDo),
      ...workspace.leftAlone.map((text) => `left alone: ${text}`),
    ];

    if (details.length > 0) {
      const rest = details.length - MOST_LINES;

      lines.push(
        '',
        workspace.workspaceId,
        ...details.slice(0, MOST_LINES).map((text) => `  ${text}`),
        ...(rest > 0 ? [`  and ${rest} more (--json has all)`] : []),
      );
    }
  }
  const bad = report.workspaces.filter(({ status }) => status !== 'matched');

  lines.push(
    '',
    bad.length === 0
      ? `${report.mode}: ${report.workspaces.length} workspace(s) match the data model ${report.model} (${report.seconds.toFixed(1)} s, through ${report.through})`
      : `${report.mode}: ${bad.length} of ${report.workspaces.length} workspace(s) do not match the data model ${report.model}: ${bad.map(({ workspaceId, status }) => `${workspaceId} (${status})`).join(', ')}`,
  );

  return lines.join('\n');
};

// One line for the container's health check: a word to go by, and what a person needs to know next.
export const asOutcome = (code: number, told: RunReport | string): string => {
  const text =
    typeof told === 'string'
      ? told
      : code === EXIT.matched
        ? `${told.workspaces.length} workspace(s), model ${told.model}`
        : told.workspaces
            .filter(({ status }) => status !== 'matched')
            .map(
              ({ workspaceId, status, conflicts, error, toDo }) =>
                `${workspaceId} ${status} (${conflicts[0] ?? error ?? toDo[0]})`,
            )
            .join(', ');
  const line = `${code === EXIT.matched ? 'matched' : `failed ${code}`}: ${text.replace(/\s+/g, ' ')}`;

  return line.length > MOST_CHARACTERS
    ? `${line.slice(0, MOST_CHARACTERS - 3)}...`
    : line;
};
