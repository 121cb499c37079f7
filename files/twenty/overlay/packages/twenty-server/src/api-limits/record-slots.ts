// SPDX-License-Identifier: AGPL-3.0-only

import { HttpException, HttpStatus } from '@nestjs/common';

import { type Request, type Response } from 'express';
import { type GraphQLFieldResolver, type GraphQLSchema } from 'graphql';

import { KeyedSlots } from 'src/api-limits/pure/keyed-slots';
import {
  BaseGraphQLError,
  ErrorCode,
} from 'src/engine/core-modules/graphql/utils/graphql-errors.util';
import { Busy, CallerGone } from 'src/locks/pure/busy';

type Caller = { req?: Request; res?: Response };
type Resolve = GraphQLFieldResolver<unknown, Caller>;

// A pool has ten connections for all workspaces. A page sends a dozen requests at once, its settings one with a field for each object.
const LINE = { mostWaiting: 200, longestWaitInMs: 10_000, retryAfterInSeconds: 5 };

/** Records, over GraphQL and over REST together. */
export const recordSlots = new KeyedSlots({
  name: "this workspace's records",
  size: 3,
  ...LINE,
});

export const metadataSlots = new KeyedSlots({
  name: "this workspace's metadata",
  size: 4,
  ...LINE,
});

const signals = new WeakMap<Response, AbortSignal>();

const goneOf = (response: Response | undefined): AbortSignal | undefined => {
  if (response === undefined) {
    return undefined;
  }
  const known = signals.get(response);

  if (known !== undefined) {
    return known;
  }
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
  signals.set(response, caller.signal);

  return caller.signal;
};

// Whoever has no workspace shares a line with nobody: it is the request's own.
const run = <Result>(
  slots: KeyedSlots,
  { req, res }: Caller,
  work: () => Promise<Result>,
) => slots.run(req?.workspace?.id ?? req, work, goneOf(res ?? req?.res));

const explain = (error: Busy) =>
  `${error.message}. Send fewer requests at once, or try again in ${error.retryAfterInSeconds} s.`;

const inGraphql =
  (slots: KeyedSlots, resolve: Resolve): Resolve =>
  async (source, args, context, info) => {
    try {
      return await run(slots, context, async () =>
        resolve(source, args, context, info),
      );
    } catch (error) {
      if (error instanceof Busy && error.reason === 'slots') {
        throw new BaseGraphQLError(explain(error), ErrorCode.TIMEOUT, {
          http: {
            status: HttpStatus.SERVICE_UNAVAILABLE,
            headers: { 'Retry-After': String(error.retryAfterInSeconds) },
          },
        });
      }
      if (error instanceof CallerGone) {
        throw new BaseGraphQLError(error.message, ErrorCode.TIMEOUT);
      }
      throw error;
    }
  };

/**
 * Makes the root fields of a schema take slots. Not those that read an upload: it lasts as long as its sender likes.
 */
export const limitRootFields = (
  schema: GraphQLSchema,
  slots: KeyedSlots,
): GraphQLSchema => {
  for (const type of [schema.getQueryType(), schema.getMutationType()]) {
    for (const field of Object.values(type?.getFields() ?? {})) {
      const { resolve } = field;

      if (
        resolve !== undefined &&
        !field.args.some((argument) => /^\W*Upload\b/.test(String(argument.type)))
      ) {
        field.resolve = inGraphql(slots, resolve);
      }
    }
  }

  return schema;
};

/** One request to the REST API of records. */
export const inRecordSlot = async <Result>(
  request: Request,
  work: () => Promise<Result>,
): Promise<Result> => {
  try {
    return await run(recordSlots, { req: request }, work);
  } catch (error) {
    if (error instanceof Busy && error.reason === 'slots') {
      request.res?.set('Retry-After', String(error.retryAfterInSeconds));
      throw new HttpException(explain(error), HttpStatus.SERVICE_UNAVAILABLE);
    }
    throw error;
  }
};
