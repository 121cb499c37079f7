// SPDX-License-Identifier: AGPL-3.0-only

import { Busy } from './busy';

// Settles as the work does, or rejects with the signal's reason as soon as it aborts. The work itself goes on.
export const orAborted = async <Result>(
  work: Promise<Result>,
  signal: AbortSignal,
): Promise<Result> => {
  let stopListening: () => void = () => undefined;

  try {
    return await Promise.race([
      work,
      new Promise<never>((_, reject) => {
        const abort = () => reject(signal.reason);

        if (signal.aborted) {
          abort();

          return;
        }
        signal.addEventListener('abort', abort, { once: true });
        stopListening = () => signal.removeEventListener('abort', abort);
      }),
    ]);
  } finally {
    stopListening();
    // Nobody looks at the result of abandoned work; its error must not end the process.
    work.catch(() => undefined);
  }
};

// A pause in milliseconds; rejects with the signal's reason when it aborts.
export const pause = async (
  milliseconds: number,
  signal?: AbortSignal,
): Promise<void> => {
  let timer: NodeJS.Timeout | undefined;
  const slept = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });

  try {
    await (signal === undefined ? slept : orAborted(slept, signal));
  } finally {
    clearTimeout(timer);
  }
};

// A whole call with a deadline. The answer comes in time, as a result or as an error; what is under way learns by the signal
// that it should end.
export const within = async <Result>(
  milliseconds: number,
  caller: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<Result>,
  retryAfterInSeconds = 5,
): Promise<Result> => {
  const deadline = new AbortController();
  const timer = setTimeout(
    () =>
      deadline.abort(
        new Busy(
          'deadline',
          `Not done within ${milliseconds / 1000} s`,
          retryAfterInSeconds,
        ),
      ),
    milliseconds,
  );
  const signal =
    caller === undefined
      ? deadline.signal
      : AbortSignal.any([caller, deadline.signal]);

  try {
    signal.throwIfAborted();

    return await orAborted(work(signal), signal);
  } finally {
    clearTimeout(timer);
  }
};
