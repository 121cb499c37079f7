// SPDX-License-Identifier: AGPL-3.0-only

import {
  BadRequestException,
  Body,
  Controller,
  Get,
  Header,
  HttpCode,
  Param,
  Post,
  Put,
  UseFilters,
  UseGuards,
} from '@nestjs/common';

import { ClerkInternalGuard } from 'src/auth/clerk/guards/clerk-internal.guard';
import { readEnding, readStanding } from 'src/auth/clerk/sessions/session-input';
import { ClerkSessionsService } from 'src/auth/clerk/sessions/clerk-sessions.service';
import { ClerkTenantsExceptionFilter } from 'src/auth/clerk/tenants/clerk-tenants-exception.filter';
import { readIds, type Validated } from 'src/auth/clerk/tenants/tenant-input';
import { NoPermissionGuard } from 'src/engine/guards/no-permission.guard';

const accept = <Value>(validated: Validated<Value>): Value => {
  if (!validated.ok) {
    throw new BadRequestException({
      error: 'invalid',
      details: validated.details,
    });
  }

  return validated.value;
};

// The tenant manager tells here what ended at Clerk; docs/tenants.md has the table.
@Controller('internal')
@UseGuards(ClerkInternalGuard, NoPermissionGuard)
@UseFilters(ClerkTenantsExceptionFilter)
export class ClerkSessionsController {
  constructor(private readonly sessions: ClerkSessionsService) {}

  @Post('sessions/:sessionId/end')
  @HttpCode(200)
  async end(@Param('sessionId') sessionId: string, @Body() body: unknown) {
    const { clerkUserId } = accept(readEnding(sessionId, body));

    await this.sessions.endSession(sessionId, clerkUserId, 'ended at Clerk');

    return { sessionId };
  }

  @Put('users/:clerkUserId/standing')
  async setStanding(
    @Param('clerkUserId') clerkUserId: string,
    @Body() body: unknown,
  ) {
    const standing = accept(readStanding(clerkUserId, body));

    return {
      clerkUserId,
      standing,
      withdrawn: await this.sessions.setStanding(clerkUserId, standing),
    };
  }

  @Get('tenants/:organizationId/credentials')
  @Header('Cache-Control', 'no-store')
  async listCredentials(@Param('organizationId') organizationId: string) {
    const details = readIds({ organizationId });

    accept(
      details.length > 0 ? { ok: false, details } : { ok: true, value: null },
    );

    return { data: await this.sessions.listCredentials(organizationId) };
  }

  @Get('users/refused')
  @Header('Cache-Control', 'no-store')
  async listRefused() {
    return { data: await this.sessions.sessions.listRefused() };
  }
}
