// SPDX-License-Identifier: AGPL-3.0-only
// Upstream starts work that it does not wait for. When such work fails, Node ends the process, and with it the service for all tenants.

export type Limits = { most: number; perMs: number };
export type Log = (message: string, stack?: string) => void;

const LONGEST_TEXT = 8_000;

const textOf = (read: () => unknown): string => {
  try {
    return String(read()).slice(0, LONGEST_TEXT);
  } catch {
    return 'a value that cannot be written as text';
  }
};

/** Message and stack of whatever was thrown, cut to 8,000 characters each. */
export const describeReason = (
  reason: unknown,
): { message: string; stack?: string } => ({
  message: textOf(() => (reason instanceof Error ? reason.message : reason)),
  stack:
    reason instanceof Error
      ? textOf(() => reason.stack ?? 'without a stack')
      : undefined,
});

/** A listener for `unhandledRejection` that logs at most `most` reasons per `perMs`, then says how many it left out. It never throws. */
export const rejectionLogger = (
  log: Log,
  { most, perMs }: Limits,
  clock: () => number = Date.now,
): ((reason: unknown) => void) => {
  let since = -Infinity;
  let logged = 0;
  let leftOut = 0;

  return (reason) => {
    try {
      const now = clock();

      if (now - since >= perMs) {
        if (leftOut > 0) {
          log(`${leftOut} more unhandled rejections were not logged`);
        }
        since = now;
        logged = 0;
        leftOut = 0;
      }
      if (logged >= most) {
        leftOut += 1;

        return;
      }
      logged += 1;

      const { message, stack } = describeReason(reason);

      log(`unhandled rejection, the process goes on: ${message}`, stack);
    } catch {
      // A listener that throws would end the process.
    }
  };
};

type Process = Pick<NodeJS.Process, 'on' | 'exit'>;

/** Rejections that nobody waits for no longer end `process`; a failed start still does (code 1). Exceptions stay fatal. */
export const outliveRejections = (
  started: Promise<unknown>,
  log: Log,
  limits: Limits,
  process: Process,
): void => {
  process.on('unhandledRejection', rejectionLogger(log, limits));
  started.catch((error: unknown) => {
    const { message, stack } = describeReason(error);

    try {
      log(`the start failed: ${message}`, stack);
    } finally {
      process.exit(1);
    }
  });
};
