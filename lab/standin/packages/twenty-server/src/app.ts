import { existsSync } from 'node:fs';
import path from 'node:path';
import cors from 'cors';
import express, { type ErrorRequestHandler, type Express } from 'express';

import { mountGraphql } from './engine/api/graphql';
import { restRouter } from './engine/api/rest';
import type * as ClerkModule from './engine/core-modules/clerk';
import { clientConfig } from './engine/core-modules/client-config';
import { healthRouter } from './engine/core-modules/health';
import { logger } from './logger';
import { frontDirectory } from './utils/generate-front-config';

const onError: ErrorRequestHandler = (error, request, response, next) => {
  if (response.headersSent) {
    next(error);
    return;
  }
  const status: number = error.status ?? 500;
  if (status >= 500) logger('http').error(`${request.method} ${request.path}: ${error.stack ?? error}`);
  response.status(status).json({ statusCode: status, message: status < 500 ? error.message : 'Internal server error' });
};

// Its decisions are the patchset's own files, which the tree has once it is patched: nothing of it is loaded where Clerk is off.
export const loadClerk = (): typeof ClerkModule | undefined =>
  process.env.NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY || process.env.TWENTYOPS_INTERNAL_SECRET
    ? (require('./engine/core-modules/clerk') as typeof ClerkModule)
    : undefined;

// The order is upstream's: own routes first, then the page for every other GET, then 404 as JSON.
export const createApp = (): Express => {
  const app = express();
  const clerk = loadClerk();
  app.disable('x-powered-by');
  app.use(cors());
  app.use('/healthz', healthRouter());
  app.get('/client-config', (_request, response) => {
    response.json({ ...clientConfig(), ...(clerk?.clerkClientConfig() ?? { clerk: null, sourceCodeUrl: null }) });
  });
  if (clerk) app.use(clerk.clerkRouter());
  mountGraphql(app);
  app.use('/rest', restRouter());
  const page = path.join(frontDirectory, 'index.html');
  if (existsSync(page)) {
    app.use(express.static(frontDirectory));
    app.get('*', (_request, response) => response.sendFile(page));
  }
  app.use((request, response) => {
    response
      .status(404)
      .json({ statusCode: 404, message: `Cannot ${request.method} ${request.originalUrl}`, error: 'Not Found' });
  });
  app.use(onError);
  return app;
};
