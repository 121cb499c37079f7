import { Router } from 'express';
import { GraphQLError } from 'graphql';

import { authenticate } from '../core-modules/auth/context';
import { apiError } from '../errors';

const STATUS: Record<string, number> = { UNAUTHENTICATED: 401, FORBIDDEN: 403, BAD_USER_INPUT: 400 };

// Records over REST are not imitated; that nobody gets them without a token is, in the shape of that refusal.
export const restRouter = (): Router => {
  const router = Router();
  router.use((request, response, next) => {
    authenticate(request)
      .then(({ user, apiKey }) => {
        if (!user && !apiKey) {
          throw apiError('FORBIDDEN', 'Missing authentication token', { subCode: 'FORBIDDEN_EXCEPTION' });
        }
        response.status(501).json({ statusCode: 501, messages: ['REST is no part of the stand-in'], error: 'NOT_IMPLEMENTED' });
      })
      .catch((error: unknown) => {
        if (!(error instanceof GraphQLError)) {
          next(error);
          return;
        }
        const { code, subCode } = error.extensions;
        const statusCode = STATUS[String(code)] ?? 500;
        response.status(statusCode).json({ statusCode, messages: [error.message], error: subCode ?? code });
      });
  });
  return router;
};
