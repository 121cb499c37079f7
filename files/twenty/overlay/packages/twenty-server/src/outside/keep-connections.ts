// SPDX-License-Identifier: AGPL-3.0-only

import { type Server } from 'node:http';
import { type ListenOptions } from 'node:net';

// The proxy gives a connection up after 30 s without a request (templates/Caddyfile.j2). Node's own 5 s are shorter: a request that
// arrives while the server is busy for a moment would meet a connection that is about to be closed, and a POST is not sent again.
const KEEP_ALIVE_IN_MS = 75_000;
const HEADERS_WITHIN_IN_MS = 80_000;
// Node's own 511 run over when a crowd's requests reach a busy server at once, and the next visitor's connection waits with them for
// seconds (observed with 1,600). The kernel takes net.core.somaxconn at most, 4096 by default.
const BACKLOG = 4_096;

export const keepConnections = (server: Server): void => {
  server.keepAliveTimeout = KEEP_ALIVE_IN_MS;
  // Counted from the end of the request before, so it is longer than the other.
  server.headersTimeout = HEADERS_WITHIN_IN_MS;
  // No limit over all: the proxy ends small bodies after 30 s, and limit-bodies.ts large ones that come too slowly.
  server.requestTimeout = 0;

  // Nest has no word for the backlog: it calls this with the port and what comes after it.
  const listen: (options: ListenOptions, ...rest: unknown[]) => Server =
    server.listen.bind(server);

  server.listen = (port: unknown, ...rest: unknown[]) =>
    listen({ port: Number(port), backlog: BACKLOG }, ...rest);
};
