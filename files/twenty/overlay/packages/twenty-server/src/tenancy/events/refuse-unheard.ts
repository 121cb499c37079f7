// SPDX-License-Identifier: AGPL-3.0-only

import { ForbiddenError } from 'src/engine/core-modules/graphql/utils/graphql-errors.util';
import { findListenProblem } from 'src/tenancy/events/pure/live-objects';

export const refuseUnheard = (input: {
  objectNameSingular?: string | null;
}): void => {
  const problem = findListenProblem(input.objectNameSingular);

  if (problem !== undefined) {
    throw new ForbiddenError(problem);
  }
};
