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
import { PublicEndpointGuard } from 'src/engine/guards/public-endpoint.guard';
import { Busy, CallerGone } from 'src/locks/pure/busy';
import { WorkSlotsService } from 'src/locks/work-slots.service';

const RETRY_AFTER_IN_SECONDS = 5;

// Only our proxy reaches this port, and it believes nobody's header: the last address is the one that it saw.
const addressOf = (request: Request): string =>
  request.get('x-forwarded-for')?.split(',').pop()?.trim() ||
  request.ip ||
  'unknown';

@Controller('clerk/session')
export class ClerkSessionController {
  private readonly logger = new Logger(ClerkSessionController.name);

  constructor(
    private readonly clerkAuth: ClerkAuthService,
    private readonly slots: WorkSlotsService,
  ) {}

  @Post()
  @UseGuards(PublicEndpointGuard)
  async exchange(
    @Req() request: Request,
    @Res() response: Response,
  ): Promise<void> {
    try {
      const answer = await this.slots.signIn(response, () =>
        this.clerkAuth.exchange(
          request.get('authorization'),
          addressOf(request),
        ),
      );

      if (answer === null) {
        response.status(HttpStatus.NOT_FOUND).json({ error: 'not-found' });

        return;
      }

      response.status(answer.status).set(answer.headers).json(answer.body);
    } catch (error) {
      if (error instanceof CallerGone) {
        return;
      }
      // Too much at once, our own data stores, or a mistake of ours. To the page it is a reason to try again, and no way in.
      if (error instanceof Busy) {
        this.logger.warn(`clerk-session outcome=busy reason=${error.reason}`);
      } else {
        this.logger.error(
          'clerk-session outcome=failed',
          error instanceof Error ? error.stack : undefined,
        );
      }
      response
        .status(HttpStatus.SERVICE_UNAVAILABLE)
        .set({
          'Cache-Control': 'no-store',
          'Retry-After': String(
            error instanceof Busy
              ? error.retryAfterInSeconds
              : RETRY_AFTER_IN_SECONDS,
          ),
        })
        .json({ error: 'unavailable' });
    }
  }
}
