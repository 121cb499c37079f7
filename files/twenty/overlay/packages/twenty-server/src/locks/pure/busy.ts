// SPDX-License-Identifier: AGPL-3.0-only

export type BusyReason =
  | 'slots'
  | 'lock'
  | 'lock-lost'
  | 'deadline'
  | 'database';

// Too much at once, or too long: the same call may succeed later. Answered by 503 with Retry-After.
export class Busy extends Error {
  readonly reason: BusyReason;
  readonly retryAfterInSeconds: number;

  constructor(reason: BusyReason, message: string, retryAfterInSeconds: number) {
    super(message);
    this.name = 'Busy';
    this.reason = reason;
    this.retryAfterInSeconds = retryAfterInSeconds;
  }
}

// Nobody waits for the answer any more.
export class CallerGone extends Error {
  constructor() {
    super('The caller has closed the connection');
    this.name = 'CallerGone';
  }
}
