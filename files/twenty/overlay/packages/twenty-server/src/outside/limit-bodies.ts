// SPDX-License-Identifier: AGPL-3.0-only

import type { NextFunction, Request, Response } from 'express';

import { visitorOf } from 'src/auth/clerk/pure/visitor';
import { type Body, BodyGate } from 'src/outside/pure/body-gate';

// Not worth counting, whatever number of connections the kernel lets through.
const SMALL_IN_BYTES = 16_000;
const MEGABYTE = 1_000_000;
const LOOK_EVERY_IN_MS = 500;
const DISCARD_FOR_IN_MS = 2_000;

const LIMITS = {
  most: 200,
  mostOfVisitor: 20,
  bytes: { memory: 96 * MEGABYTE, disk: 1_000 * MEGABYTE },
  graceInMs: 40_000,
  leastBytesPerSecond: 8_192,
};

const isLarge = (request: Request): boolean =>
  request.headers['transfer-encoding'] !== undefined ||
  Number(request.headers['content-length'] ?? 0) > SMALL_IN_BYTES;

// Stands before everything that reads a body. Upstream reads bodies of 10 MB (JSON) and uploads before it asks who sends them.
export const limitBodies = (): ((
  request: Request,
  response: Response,
  next: NextFunction,
) => void) => {
  const gate = new BodyGate(LIMITS);
  let clock: NodeJS.Timeout | undefined;

  const stopLooking = () => {
    if (gate.size === 0) {
      clearInterval(clock);
      clock = undefined;
    }
  };

  return (request, response, next) => {
    // Without that header it is no visitor: a container of ours asks the internal API.
    const forwardedFor = request.get('x-forwarded-for');

    if (forwardedFor === undefined || !isLarge(request)) {
      next();

      return;
    }

    const { socket } = request;
    // A connection is used for many requests: what came before this one is not counted.
    const before = socket.bytesRead;
    const body: Body = {
      visitor: visitorOf(forwardedFor, socket.remoteAddress),
      kind: request.is('multipart/form-data') ? 'disk' : 'memory',
      since: Date.now(),
      received: () => socket.bytesRead - before,
      isWhole: () => request.complete,
      end: () => socket.destroy(),
    };

    if (!gate.enter(body)) {
      refuse(request, response);

      return;
    }

    response.once('close', () => {
      gate.leave(body);
      stopLooking();
    });
    clock ??= setInterval(() => {
      gate.look();
      stopLooking();
    }, LOOK_EVERY_IN_MS).unref();
    next();
  };
};

// The answer first, then what still comes is thrown away for a moment: a connection that is closed over unread bytes is reset, and the
// proxy could not pass the answer on.
const refuse = (request: Request, response: Response): void => {
  const late = setTimeout(() => request.socket.destroy(), DISCARD_FOR_IN_MS);

  request.once('close', () => clearTimeout(late));
  request.once('end', () => clearTimeout(late));
  response
    .status(503)
    .set({ 'Retry-After': '5', 'Cache-Control': 'no-store' })
    .json({ error: 'busy' });
  request.resume();
};
