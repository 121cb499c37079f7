// SPDX-License-Identifier: AGPL-3.0-only

import { Logger } from '@nestjs/common';

import { msg } from '@lingui/core/macro';

import {
  findServerlessTypeProblem,
  isCodeStep,
} from 'src/tenancy/code/pure/tenant-code';
import { ForbiddenError } from 'src/engine/core-modules/graphql/utils/graphql-errors.util';

const logger = new Logger('TenantCode');

export const tenantCodeIsOff = () =>
  new ForbiddenError(
    'Functions, their triggers, applications and Code steps of workflows are switched off on this server',
    {
      userFriendlyMessage: msg`Functions, applications and Code steps of workflows are switched off on this server.`,
    },
  );

export const remoteServersAreOff = () =>
  new ForbiddenError(
    'Remote servers and their tables are switched off on this server',
    {
      userFriendlyMessage: msg`Remote servers and their tables are switched off on this server.`,
    },
  );

// The first line of upstream's services that make, change, publish or run a tenant's code.
export const refuseTenantCode = (): void => {
  throw tenantCodeIsOff();
};

export const refuseCodeStep = (stepType: unknown): void => {
  if (isCodeStep(stepType)) {
    throw tenantCodeIsOff();
  }
};

// The first line of the worker's jobs that would start a tenant's code: a job that waited in the queue since before ends
// here, without an error, so that it is not tried again.
export const isTenantCodeOff = (): boolean => true;

// At the start of server, worker and commands.
export const assertServerlessType = (type: unknown): void => {
  const problem = findServerlessTypeProblem(type);

  if (problem !== undefined) {
    throw new Error(problem);
  }
};

// Upstream lets some deletions run on without waiting for them. One that fails (a function that is not there) would be an
// unhandled rejection, which ends the process for all tenants.
export const inBackground =
  <Arguments extends unknown[]>(
    what: (...given: Arguments) => Promise<unknown>,
  ) =>
  async (...given: Arguments): Promise<void> => {
    try {
      await what(...given);
    } catch (error) {
      logger.warn(
        `left undone in the background: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  };
