// SPDX-License-Identifier: AGPL-3.0-only

import { Logger } from '@nestjs/common';

import {
  fitBatches,
  MOST_OF_EVENTS,
  shareAmong,
} from 'src/tenancy/jobs/pure/job-size';

const logger = new Logger('BoundedJobs');

/** Puts the events of one change into the queue, in as many jobs as they need; what fits in none is logged and left out. */
export const addEvents = async <
  Batch extends { name: string; events: readonly object[] },
>(
  batch: Batch,
  add: (part: Batch) => Promise<void>,
): Promise<void> => {
  const { batches, leftOut } = fitBatches(batch, MOST_OF_EVENTS);

  if (leftOut > 0) {
    logger.error(
      `${batch.name}: ${leftOut} events are left out of the queue, each is larger than ${MOST_OF_EVENTS} bytes`,
    );
  }
  for (const part of batches) {
    await add(part);
  }
};

/** What one change sends to all webhooks together. */
export const shareAmongWebhooks = <Event extends object>(
  events: Event[],
): Event[] =>
  shareAmong(events, MOST_OF_EVENTS);
