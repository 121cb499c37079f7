// SPDX-License-Identifier: AGPL-3.0-only

import {
  Controller,
  HttpStatus,
  Logger,
  Post,
  Req,
  Res,
  UseGuards,
} from '@nestjs/common';

import { type Request, type Response } from 'express';

import { ClerkAuthService } from 'src/auth/clerk/clerk-auth.service';
import { visitorOf } from 'src/auth/clerk/pure/visitor';
import { PublicEndpointGuard } from 'src/engine/guards/public-endpoint.guard';

const RETRY_AFTER_IN_SECONDS = 5;

const addressOf = (request: Request): string =>
  visitorOf(request.get('x-forwarded-for'), request.ip);

@Controller('clerk/session')
export class ClerkSessionController {
  private readonly logger = new Logger(ClerkSessionController.name);

  constructor(private readonly clerkAuth: ClerkAuthService) {}

  @Post()
  @UseGuards(PublicEndpointGuard)
  async exchange(
    @Req() request: Request,
    @Res() response: Response,
  ): Promise<void> {
    try {
      const answer = await this.clerkAuth.exchange(
        request.get('authorization'),
        addressOf(request),
      );

      if (answer === null) {
        response.status(HttpStatus.NOT_FOUND).json({ error: 'not-found' });

        return;
      }

      response.status(answer.status).set(answer.headers).json(answer.body);
    } catch (error) {
      // Our own data stores, or a mistake of ours. To the page it is a reason to try again, and no way in.
      this.logger.error(
        'clerk-session outcome=failed',
        error instanceof Error ? error.stack : undefined,
      );
      response
        .status(HttpStatus.SERVICE_UNAVAILABLE)
        .set({
          'Cache-Control': 'no-store',
          'Retry-After': String(RETRY_AFTER_IN_SECONDS),
        })
        .json({ error: 'unavailable' });
    }
  }
}
