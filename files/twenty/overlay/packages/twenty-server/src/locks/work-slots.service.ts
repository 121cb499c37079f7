// SPDX-License-Identifier: AGPL-3.0-only

import { Injectable } from '@nestjs/common';

import { type Response } from 'express';

import { CallerGone } from 'src/locks/pure/busy';
import { readProvisioningConcurrency } from 'src/locks/pure/limits';
import { Slots } from 'src/locks/pure/slots';
import { within } from 'src/locks/pure/waiting';

// Shorter than the page's and the proxy's patience: whoever signs in gets an answer in five seconds, if only "try again".
const SIGN_IN_WITHIN_MS = 4_500;
const CHANGE_WITHIN_MS = 25_000;
// Shorter than the tenant manager's patience (`data_model_timeout`).
const PROVISION_WITHIN_MS = 150_000;

type Work<Result> = (signal: AbortSignal) => Promise<Result>;

const callerOf = (response: Response): AbortSignal => {
  const caller = new AbortController();

  const look = () => {
    if (!response.writableFinished) {
      caller.abort(new CallerGone());
    }
  };

  response.once('close', look);
  if (response.closed) {
    look();
  }

  return caller.signal;
};

// How much of our own work goes on at once, so that a burst of one kind never takes what the others need.
@Injectable()
export class WorkSlotsService {
  private readonly signIns = new Slots({
    name: 'signing in',
    size: 6,
    mostWaiting: 200,
    longestWaitInMs: 4_000,
    retryAfterInSeconds: 3,
  });

  private readonly changes = new Slots({
    name: 'a change of a tenant',
    size: 4,
    mostWaiting: 100,
    longestWaitInMs: 15_000,
    retryAfterInSeconds: 5,
  });

  // Making workspaces and giving them the data model: seconds of work for the one thread of the server, each.
  private readonly provisioning = new Slots({
    name: 'provisioning',
    size: readProvisioningConcurrency(process.env),
    mostWaiting: 16,
    longestWaitInMs: 60_000,
    retryAfterInSeconds: 10,
  });

  async signIn<Result>(response: Response, work: Work<Result>) {
    return await within(SIGN_IN_WITHIN_MS, callerOf(response), (signal) =>
      this.signIns.run(() => work(signal), signal),
    );
  }

  async change<Result>(response: Response, work: Work<Result>) {
    return await within(CHANGE_WITHIN_MS, callerOf(response), (signal) =>
      this.changes.run(() => work(signal), signal),
    );
  }

  // The call's deadline; the work takes its slot by `provision` where it begins to write.
  async longCall<Result>(response: Response, work: Work<Result>) {
    return await within(PROVISION_WITHIN_MS, callerOf(response), work, 15);
  }

  async provision<Result>(work: () => Promise<Result>, signal?: AbortSignal) {
    return await this.provisioning.run(work, signal);
  }
}
