// SPDX-License-Identifier: AGPL-3.0-only

import process from 'node:process';

import { outliveRejections } from 'src/rejections/pure/rejections';

// A log of a few lines for each minute: who can make one rejection can make thousands.
const LIMITS = { most: 30, perMs: 60_000 };

// Straight to stderr: while the process starts, and when its start fails, Nest's logger may still hold lines back.
const log = (message: string, stack?: string): void => {
  console.error(`[Rejections] ${message}${stack ? `\n${stack}` : ''}`);
};

// Around the start of server and worker. Commands are left as they are: there a rejection must fail the command.
export const outlive = (started: Promise<unknown>): void =>
  outliveRejections(started, log, LIMITS, process);
