// SPDX-License-Identifier: AGPL-3.0-only

import {
  Catch,
  HttpStatus,
  Logger,
  type ArgumentsHost,
  type ExceptionFilter,
} from '@nestjs/common';

import { type Response } from 'express';

import { Busy, CallerGone } from 'src/locks/pure/busy';

// 503 with Retry-After; to a caller that has gone, nothing.
@Catch(Busy, CallerGone)
export class BusyFilter implements ExceptionFilter {
  private readonly logger = new Logger(BusyFilter.name);

  catch(exception: Busy | CallerGone, host: ArgumentsHost) {
    const response = host.switchToHttp().getResponse<Response>();

    this.logger.warn(exception.message);
    if (exception instanceof CallerGone) {
      response.end();

      return;
    }
    response
      .status(HttpStatus.SERVICE_UNAVAILABLE)
      .set('Retry-After', String(exception.retryAfterInSeconds))
      .json({
        error: 'busy',
        reason: exception.reason,
        message: exception.message,
      });
  }
}
