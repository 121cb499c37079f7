// SPDX-License-Identifier: AGPL-3.0-only

import {
  Catch,
  HttpException,
  HttpStatus,
  Logger,
  type ArgumentsHost,
  type ExceptionFilter,
} from '@nestjs/common';

import { type Response } from 'express';

import {
  ClerkTenantsException,
  type ClerkTenantsExceptionCode,
} from 'src/auth/clerk/tenants/clerk-tenants.exception';
import { isTransient, messageOf } from 'src/data-model/pure/apply';

const RETRY_AFTER_IN_SECONDS = 5;

const STATUS: Record<ClerkTenantsExceptionCode, HttpStatus> = {
  'tenant-not-found': HttpStatus.NOT_FOUND,
  'user-not-found': HttpStatus.NOT_FOUND,
  'tenant-not-ready': HttpStatus.CONFLICT,
  'no-admin': HttpStatus.CONFLICT,
};

// The caller is our own manager: it repeats what failed, so what failed is in the log and not in the answer.
@Catch()
export class ClerkTenantsExceptionFilter implements ExceptionFilter {
  private readonly logger = new Logger(ClerkTenantsExceptionFilter.name);

  catch(exception: unknown, host: ArgumentsHost) {
    const response = host.switchToHttp().getResponse<Response>();

    if (exception instanceof HttpException) {
      response.status(exception.getStatus()).json(exception.getResponse());

      return;
    }

    if (exception instanceof ClerkTenantsException) {
      response
        .status(STATUS[exception.code])
        .json({ error: exception.code, message: exception.message });

      return;
    }

    // Postgres is away, or has no connection to give: it comes back.
    if (isTransient(exception)) {
      this.logger.warn(messageOf(exception));
      response
        .status(HttpStatus.SERVICE_UNAVAILABLE)
        .set('Retry-After', String(RETRY_AFTER_IN_SECONDS))
        .json({ error: 'busy', reason: 'database' });

      return;
    }

    this.logger.error(
      exception instanceof Error ? exception.stack : 'unknown error',
    );
    response
      .status(HttpStatus.INTERNAL_SERVER_ERROR)
      .json({ error: 'internal' });
  }
}
