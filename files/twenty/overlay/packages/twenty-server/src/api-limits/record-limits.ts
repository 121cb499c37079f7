// SPDX-License-Identifier: AGPL-3.0-only

import {
  findAnswerProblem,
  findPageProblem,
  findRowsProblem,
} from 'src/api-limits/pure/record-limits';
import { UserInputError } from 'src/engine/core-modules/graphql/utils/graphql-errors.util';

const refuse = (problem: string | undefined) => {
  if (problem !== undefined) {
    throw new UserInputError(problem);
  }
};

export const refuseLargePage = (args: object) =>
  refuse(findPageProblem(args as Readonly<Record<string, unknown>>));

export const refuseManyRows = <
  Found extends { relationResults: readonly unknown[] },
>(
  found: Found,
): Found => {
  refuse(findRowsProblem(found.relationResults));

  return found;
};

export const refuseLargeAnswer = <Answer>(answer: Answer): Answer => {
  refuse(findAnswerProblem(answer));

  return answer;
};
