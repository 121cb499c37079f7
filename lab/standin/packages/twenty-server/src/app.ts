import { existsSync } from 'node:fs';
import path from 'node:path';
import cors from 'cors';
import express, { type ErrorRequestHandler, type Express } from 'express';

import { mountGraphql } from './engine/api/graphql';
import { restRouter } from './engine/api/rest';
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

// The order is upstream's: own routes first, then the page for every other GET, then 404 as JSON.
export const createApp = (): Express => {
  const app = express();
  app.disable('x-powered-by');
  app.use(cors());
  app.use('/healthz', healthRouter());
  app.get('/client-config', (_request, response) => {
    response.json(clientConfig());
  });
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
