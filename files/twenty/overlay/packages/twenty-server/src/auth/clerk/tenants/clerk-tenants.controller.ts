// SPDX-License-Identifier: AGPL-3.0-only

import {
  BadRequestException,
  Body,
  Controller,
  Delete,
  Get,
  Header,
  HttpCode,
  Param,
  Patch,
  Post,
  Put,
  Query,
  Res,
  UseFilters,
  UseGuards,
} from '@nestjs/common';

import { type Response } from 'express';

import { ClerkInternalGuard } from 'src/auth/clerk/guards/clerk-internal.guard';
import { ClerkTenantsExceptionFilter } from 'src/auth/clerk/tenants/clerk-tenants-exception.filter';
import { ClerkTenantsService } from 'src/auth/clerk/tenants/clerk-tenants.service';
import {
  readIds,
  readMember,
  readPage,
  readPerson,
  readRename,
  readTenant,
  readTokenRequest,
  readWait,
  type Validated,
} from 'src/auth/clerk/tenants/tenant-input';
import { NoPermissionGuard } from 'src/engine/guards/no-permission.guard';
import { BusyFilter } from 'src/locks/busy.filter';
import { WorkSlotsService } from 'src/locks/work-slots.service';

const accept = <Value>(validated: Validated<Value>): Value => {
  if (!validated.ok) {
    throw new BadRequestException({
      error: 'invalid',
      details: validated.details,
    });
  }

  return validated.value;
};

const acceptIds = (ids: { organizationId?: string; clerkUserId?: string }) => {
  const details = readIds(ids);

  accept(
    details.length > 0 ? { ok: false, details } : { ok: true, value: null },
  );
};

// The tenant manager's side of the server; docs/tenants.md has the table.
@Controller('internal')
@UseGuards(ClerkInternalGuard, NoPermissionGuard)
@UseFilters(ClerkTenantsExceptionFilter, BusyFilter)
export class ClerkTenantsController {
  constructor(
    private readonly tenants: ClerkTenantsService,
    private readonly slots: WorkSlotsService,
  ) {}

  @Put('tenants/:organizationId')
  @Header('Cache-Control', 'no-store')
  async ensureTenant(
    @Param('organizationId') organizationId: string,
    @Body() body: unknown,
    @Res({ passthrough: true }) response: Response,
  ) {
    const input = accept(readTenant(organizationId, body));
    const tenant = await this.slots.longCall(response, (signal) =>
      this.tenants.ensureTenant(input, signal),
    );

    response.status(tenant.created ? 201 : 200);

    return tenant;
  }

  @Put('tenants/:organizationId/waiting')
  async setWait(
    @Param('organizationId') organizationId: string,
    @Body() body: unknown,
  ) {
    const reason = accept(readWait(organizationId, body));

    return await this.tenants.setWait(organizationId, reason);
  }

  @Get('tenants')
  @Header('Cache-Control', 'no-store')
  async listTenants(@Query() query: { limit?: string; offset?: string }) {
    const { limit, offset } = accept(readPage(query));

    return await this.tenants.listTenants(limit, offset);
  }

  @Get('tenants/:organizationId')
  @Header('Cache-Control', 'no-store')
  async describeTenant(@Param('organizationId') organizationId: string) {
    acceptIds({ organizationId });

    return await this.tenants.describeTenantOrThrow(organizationId);
  }

  @Patch('tenants/:organizationId')
  async rename(
    @Param('organizationId') organizationId: string,
    @Body() body: unknown,
    @Res({ passthrough: true }) response: Response,
  ) {
    const name = accept(readRename(organizationId, body));

    return await this.slots.change(response, () =>
      this.tenants.rename(organizationId, name),
    );
  }

  @Post('tenants/:organizationId/suspend')
  @HttpCode(200)
  async suspend(
    @Param('organizationId') organizationId: string,
    @Res({ passthrough: true }) response: Response,
  ) {
    acceptIds({ organizationId });

    return await this.slots.change(response, () =>
      this.tenants.setSuspended(organizationId, true),
    );
  }

  @Post('tenants/:organizationId/resume')
  @HttpCode(200)
  async resume(
    @Param('organizationId') organizationId: string,
    @Res({ passthrough: true }) response: Response,
  ) {
    acceptIds({ organizationId });

    return await this.slots.change(response, () =>
      this.tenants.setSuspended(organizationId, false),
    );
  }

  @Put('tenants/:organizationId/members/:clerkUserId')
  async ensureMember(
    @Param('organizationId') organizationId: string,
    @Param('clerkUserId') clerkUserId: string,
    @Body() body: unknown,
    @Res({ passthrough: true }) response: Response,
  ) {
    const { person, role } = accept(
      readMember(organizationId, clerkUserId, body),
    );
    const member = await this.slots.change(response, () =>
      this.tenants.ensureMember(organizationId, person, role),
    );

    response.status(member.created ? 201 : 200);

    return member;
  }

  @Delete('tenants/:organizationId/members/:clerkUserId')
  async removeMember(
    @Param('organizationId') organizationId: string,
    @Param('clerkUserId') clerkUserId: string,
    @Res({ passthrough: true }) response: Response,
  ) {
    acceptIds({ organizationId, clerkUserId });

    return await this.slots.change(response, () =>
      this.tenants.removeMember(organizationId, clerkUserId),
    );
  }

  @Patch('users/:clerkUserId')
  async updateUser(
    @Param('clerkUserId') clerkUserId: string,
    @Body() body: unknown,
    @Res({ passthrough: true }) response: Response,
  ) {
    const person = accept(readPerson(body, 'person', clerkUserId));

    return await this.slots.change(response, () =>
      this.tenants.updateUser(person),
    );
  }

  @Post('tenants/:organizationId/token')
  @HttpCode(200)
  @Header('Cache-Control', 'no-store')
  async issueApiToken(
    @Param('organizationId') organizationId: string,
    @Body() body: unknown,
  ) {
    return await this.tenants.issueApiToken(
      organizationId,
      accept(readTokenRequest(organizationId, body)),
    );
  }
}
