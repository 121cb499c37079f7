// SPDX-License-Identifier: AGPL-3.0-only

import { type RequestHandler } from 'express';

import { withoutWorkspace } from 'src/tenancy/rows/pure/rest-answer';
import { findRelation, findRowProblem } from 'src/tenancy/rows/pure/rest-body';

// Below /rest, behind the parsers. Records are left out: their fields are checked against the workspace's own schema, where a
// tenant's object may have a field of any name.
const OF_METADATA = /^\/(metadata|webhooks|apiKeys)(?:\/|$)/i;

export const refuseForeignRows: RequestHandler = (request, response, next) => {
  const isOfMetadata = OF_METADATA.test(request.path);

  if (isOfMetadata) {
    const json = response.json.bind(response);

    response.json = (body) => json(withoutWorkspace(body));
  }

  const isChange = request.method === 'PATCH' || request.method === 'PUT';
  const problem = isOfMetadata
    ? (findRowProblem(
        request.body,
        isChange ? request.path.split('/').filter(Boolean).pop() : undefined,
      ) ?? findRelation(request.path, request.body))
    : undefined;

  if (problem === undefined) {
    next();

    return;
  }

  response
    .status(400)
    .json({ statusCode: 400, error: 'BadRequestException', messages: [problem] });
};
