// SPDX-License-Identifier: AGPL-3.0-only

import { existsSync, renameSync, writeFileSync } from 'fs';
import { parseArgs } from 'util';

import {
  messageOf,
  type ApplyOptions,
  type Mode,
  type WorkspaceReport,
} from './pure/apply';
import { readDataModel } from './pure/data-model';
import {
  asOutcome,
  asTable,
  exitCodeOf,
  EXIT,
  runOnAll,
  type RunReport,
} from './pure/report';

// The command line of scripts/migrate-schema.ts. Two ways to a workspace, the same plan in each:
//   server   asks the running server, which applies the model in its own process (nothing is started)
//   process  boots Twenty's services in this process (works while the server is down)

const HELP = `usage: node scripts/migrate-schema.ts plan|apply|verify [--workspace ID]... [--views] [--json] [--through server|process] [--wait SECONDS]

plan     what apply would write              apply    write what is missing or differs, then verify
verify   whether the workspaces match        --views  also arrange the first views of objects that were made before

exit code: 0 all match, 1 something is missing or differs, 2 a conflict (nothing was written there), 3 a failure, 64 wrong usage`;

const MODES = ['plan', 'apply', 'verify'] as const;
const WAYS = ['server', 'process'] as const;
const LONGEST_CALL_MS = 600_000;
const LONGEST_PAUSE_MS = 10_000;

type Way = (typeof WAYS)[number];
type RunOptions = Pick<ApplyOptions, 'onProgress' | 'withViews'>;

type Access = {
  list: () => Promise<string[]>;
  run: (
    workspaceId: string,
    mode: Mode,
    options: RunOptions,
  ) => Promise<WorkspaceReport>;
  close: () => Promise<void>;
};

// What dist/src/data-model/data-model.context.js offers; asked for only when it is needed, so that this file runs without Nest.
export type OpenServices = () => Promise<Access>;

class UsageError extends Error {}
// An answer that would be the same again.
class Refused extends Error {}

const serverUrl = () =>
  (
    process.env.TWENTYOPS_SERVER_URL ||
    `http://127.0.0.1:${process.env.NODE_PORT || 3000}`
  ).replace(/\/$/, '');

const needed = (name: string): string => {
  const value = process.env[name];

  if (!value) {
    throw new Error(
      `${name} is not set: run this inside the server's container`,
    );
  }

  return value;
};

// againUntil: up to when a call is sent again that a server in trouble failed (it was just started, its database is away).
const throughServer = (againUntil: number): Access => {
  const secret = needed('TWENTYOPS_INTERNAL_SECRET');
  const ask = async <Answer>(
    ...call: Parameters<typeof askOnce>
  ): Promise<Answer> => {
    for (let pause = 1_000; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      try {
        return await askOnce<Answer>(...call);
      } catch (error) {
        if (error instanceof Refused || Date.now() + pause > againUntil) {
          throw error;
        }
        process.stderr.write(
          `migrate-schema: ${messageOf(error)}; again in ${pause / 1000} s\n`,
        );
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  };
  const askOnce = async <Answer>(
    body?: {
      mode: Mode;
      workspaceId: string;
      views: boolean;
    },
    deadline = Date.now() + LONGEST_CALL_MS,
  ): Promise<Answer> => {
    const response = await fetch(`${serverUrl()}/internal/data-model`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        authorization: `Bearer ${secret}`,
        'content-type': 'application/json',
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(Math.max(deadline - Date.now(), 1_000)),
    });
    const retryAfterMs = 1000 * Number(response.headers.get('retry-after'));

    // Other work of this kind goes first: the server says when to ask again.
    if (
      response.status === 503 &&
      retryAfterMs > 0 &&
      Date.now() + retryAfterMs < deadline
    ) {
      await response.body?.cancel();
      await new Promise((resolve) => setTimeout(resolve, retryAfterMs));

      return askOnce<Answer>(body, deadline);
    }
    const isJson = response.headers
      .get('content-type')
      ?.includes('application/json');

    if (!response.ok || !isJson) {
      const Kind = response.status < 500 ? Refused : Error;

      throw new Kind(
        `the server answered ${response.status} to /internal/data-model: ${(await response.text()).slice(0, 200)}`,
      );
    }

    return (await response.json()) as Answer;
  };

  return {
    list: async () => (await ask<{ workspaces: string[] }>()).workspaces,
    run: (workspaceId, mode, { withViews = false }) =>
      ask<WorkspaceReport>({ mode, workspaceId, views: withViews }),
    close: async () => undefined,
  };
};

const waitForServer = async (seconds: number) => {
  const deadline = Date.now() + seconds * 1000;
  let last = '';

  for (;;) {
    try {
      const response = await fetch(`${serverUrl()}/healthz`, {
        signal: AbortSignal.timeout(5_000),
      });

      if (response.ok) {
        return;
      }
      last = `answered ${response.status}`;
    } catch (error) {
      last = messageOf(error);
    }
    if (Date.now() > deadline) {
      throw new Error(
        `the server at ${serverUrl()} is not healthy after ${seconds} s (${last})`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
};

const readArguments = (argv: string[]) => {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      workspace: { type: 'string', multiple: true },
      views: { type: 'boolean' },
      json: { type: 'boolean' },
      through: { type: 'string' },
      wait: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  const mode = MODES.find((known) => known === positionals[0]);
  const through = values.through ?? 'server';
  const way = WAYS.find((known) => known === through);
  const wait = Number(values.wait ?? 0);

  if (values.help === true) {
    return undefined;
  }
  if (mode === undefined || positionals.length !== 1) {
    throw new UsageError(`one of ${MODES.join(', ')} is needed`);
  }
  if (way === undefined) {
    throw new UsageError(`--through is one of ${WAYS.join(', ')}`);
  }
  if (!(wait >= 0 && wait <= 3600)) {
    throw new UsageError('--wait is a number of seconds up to 3600');
  }

  return {
    mode,
    way,
    wait,
    views: values.views === true,
    json: values.json === true,
    workspaces: values.workspace,
  };
};

// The line that the container's health check shows. The run at the container's start makes the file; what a later apply finds
// replaces it. Elsewhere there is none, and none is made.
const keepOutcome = (line: string) => {
  const file = `${process.env.TWENTYOPS_STATE_DIR || '/tmp'}/twentyops-data-model`;

  if (!existsSync(file)) {
    return;
  }
  try {
    writeFileSync(`${file}.${process.pid}`, `${line}\n`);
    renameSync(`${file}.${process.pid}`, file);
  } catch (error) {
    process.stderr.write(
      `migrate-schema: ${file} does not tell the outcome: ${messageOf(error)}\n`,
    );
  }
};

export const main = async (
  argv: string[],
  services: OpenServices,
): Promise<number> => {
  let asked: ReturnType<typeof readArguments>;

  try {
    asked = readArguments(argv);
  } catch (error) {
    process.stderr.write(`migrate-schema: ${messageOf(error)}\n${HELP}\n`);

    return EXIT.usage;
  }
  if (asked === undefined) {
    process.stdout.write(`${HELP}\n`);

    return 0;
  }
  const { mode, way, wait, views, json, workspaces } = asked;

  // Twenty's services say things by console.log; standard output is for the report alone.
  console.log = console.error;
  const start = Date.now();
  const say = (message: string) =>
    process.stderr.write(
      `migrate-schema [${((Date.now() - start) / 1000).toFixed(1)} s] ${message}\n`,
    );
  let access: Access | undefined;
  const isWhole = mode === 'apply' && workspaces === undefined;

  try {
    const { hash } = readDataModel();

    if (wait > 0) {
      await waitForServer(wait);
    }
    access = way === 'process' ? await services() : throughServer(start + 1000 * wait);
    const { list, run } = access;
    const known = await list();
    const unknown = (workspaces ?? []).filter((id) => !known.includes(id));

    if (unknown.length > 0) {
      throw new Error(
        `no active workspace ${unknown.join(', ')}; there are ${known.length}`,
      );
    }
    const ids = workspaces ?? known;
    const report: RunReport = {
      mode,
      model: hash,
      through: way,
      matched: false,
      seconds: 0,
      workspaces: await runOnAll(ids, async (id) => {
        const place = `workspace ${ids.indexOf(id) + 1}/${ids.length} ${id}`;

        say(`${place}: ${mode}`);
        const result = await run(id, mode, {
          onProgress: (message) => say(`${place}: ${message}`),
          withViews: views,
        });

        say(`${place}: ${result.status} in ${result.seconds.toFixed(1)} s`);

        return result;
      }),
    };

    report.matched = report.workspaces.every(
      ({ status }) => status === 'matched',
    );
    report.seconds = (Date.now() - start) / 1000;
    process.stdout.write(
      `${json ? JSON.stringify(report) : asTable(report)}\n`,
    );

    if (isWhole) {
      keepOutcome(asOutcome(exitCodeOf(report), report));
    }

    return exitCodeOf(report);
  } catch (error) {
    if (isWhole) {
      keepOutcome(asOutcome(EXIT.failed, messageOf(error)));
    }
    process.stderr.write(`migrate-schema: FAILED: ${messageOf(error)}\n`);
    if (json) {
      process.stdout.write(
        `${JSON.stringify({ mode, matched: false, error: messageOf(error) })}\n`,
      );
    }

    return EXIT.failed;
  } finally {
    await access?.close();
  }
};
