// SPDX-License-Identifier: AGPL-3.0-only

import { createServer, type Server } from 'node:http';

import { type Probe } from './probe';

const DEFAULT_PORT = 3010;
const ANSWER_WITHIN_MS = 3_000;

// TWENTYOPS_LIVENESS_PORT; 0 listens nowhere.
export const readLivenessPort = (
  environment: Record<string, string | undefined>,
): number => {
  const text = environment.TWENTYOPS_LIVENESS_PORT ?? '';
  const port = text === '' ? DEFAULT_PORT : Number(text);

  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new Error('TWENTYOPS_LIVENESS_PORT: a port number is needed');
  }

  return port;
};

export const describeHealth = async (
  probes: readonly Probe[],
): Promise<{ isHealthy: boolean; text: string }> => {
  const found = await Promise.all(
    probes.map(async (probe) => ({
      name: probe.name,
      complaint: await probe.complaint(ANSWER_WITHIN_MS),
    })),
  );

  return {
    isHealthy: found.every(({ complaint }) => complaint === null),
    text: found
      .map(({ name, complaint }) => `${name}: ${complaint ?? 'ok'}`)
      .join('; '),
  };
};

// The container's health check asks here, and nobody else can: it listens on the loopback address of the container.
export const listenForHealth = (
  probes: readonly Probe[],
  port: number,
  say: (message: string) => void,
): Server | undefined => {
  if (port === 0) {
    return undefined;
  }
  const server = createServer((_request, response) => {
    void describeHealth(probes).then(({ isHealthy, text }) => {
      response
        .writeHead(isHealthy ? 200 : 503, {
          'content-type': 'text/plain; charset=utf-8',
        })
        .end(`${text}\n`);
    });
  });

  server.on('error', (error) =>
    say(`no health on 127.0.0.1:${port}: ${error.message}`),
  );
  server.listen(port, '127.0.0.1');
  server.unref();

  return server;
};
