// SPDX-License-Identifier: AGPL-3.0-only

export type LockConnection = {
  query: (text: string, values: unknown[]) => Promise<unknown>;
  release: () => Promise<unknown>;
};

const TRY_EVERY_MS = 300;
const WAIT_AT_MOST_MS = 180_000;

export const lockKeyOf = (workspaceId: string) =>
  `twentyops-data-model:${workspaceId}`;

const rowsOf = (answer: unknown): { locked: boolean }[] =>
  Array.isArray(answer)
    ? answer
    : (answer as { rows: { locked: boolean }[] }).rows;

const sleep = (milliseconds: number) =>
  new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

// One run at a time on a workspace, across processes; Postgres lets go of the lock when its holder dies. Whoever waits gives its
// connection back between two tries, so that waiting never takes what the holder needs.
export const withLock = async <Result>(
  connect: () => Promise<LockConnection>,
  key: string,
  work: () => Promise<Result>,
): Promise<Result> => {
  const deadline = Date.now() + WAIT_AT_MOST_MS;

  for (;;) {
    const connection = await connect();

    try {
      const [{ locked }] = rowsOf(
        await connection.query(
          'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS locked',
          [key],
        ),
      );

      if (locked) {
        try {
          return await work();
        } finally {
          await connection.query(
            'SELECT pg_advisory_unlock(hashtextextended($1, 0))',
            [key],
          );
        }
      }
    } finally {
      await connection.release();
    }
    if (Date.now() > deadline) {
      throw new Error(
        `another run has held this workspace for ${WAIT_AT_MOST_MS / 1000} s; run again when it is done`,
      );
    }
    await sleep(TRY_EVERY_MS);
  }
};
