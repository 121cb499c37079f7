// SPDX-License-Identifier: AGPL-3.0-only

import {
  Controller,
  Delete,
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
import { Busy, CallerGone } from 'src/locks/pure/busy';
import { WorkSlotsService } from 'src/locks/work-slots.service';

const RETRY_AFTER_IN_SECONDS = 5;

const addressOf = (request: Request): string =>
  visitorOf(request.get('x-forwarded-for'), request.ip);

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
      this.answerFailure(error, response);
    }
  }

  // Signing out: with Clerk's token, or an access token of ours.
  @Delete()
  @UseGuards(PublicEndpointGuard)
  async end(@Req() request: Request, @Res() response: Response): Promise<void> {
    try {
      const outcome = await this.clerkAuth.end(
        request.get('authorization'),
        addressOf(request),
      );

      response
        .status(outcome?.status ?? HttpStatus.NOT_FOUND)
        .set({ 'Cache-Control': 'no-store' })
        .end();
    } catch (error) {
      this.answerFailure(error, response);
    }
  }

  // Too much at once, our own data stores, or a mistake of ours. To the page it is a reason to try again, and no way in.
  private answerFailure(error: unknown, response: Response): void {
    if (error instanceof CallerGone) {
      return;
    }
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
