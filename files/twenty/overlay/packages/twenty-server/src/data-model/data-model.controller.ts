// SPDX-License-Identifier: AGPL-3.0-only

import {
  BadRequestException,
  Body,
  Controller,
  Get,
  HttpCode,
  NotFoundException,
  Param,
  Post,
  Res,
  UseFilters,
  UseGuards,
} from '@nestjs/common';

import { type Response } from 'express';

import { ClerkInternalGuard } from 'src/auth/clerk/guards/clerk-internal.guard';
import { DataModelService } from 'src/data-model/data-model.service';
import { type Mode, type WorkspaceReport } from 'src/data-model/pure/apply';
import { readDataModel } from 'src/data-model/pure/data-model';
import { BusyFilter } from 'src/locks/busy.filter';
import { WorkSlotsService } from 'src/locks/work-slots.service';

const MODES = ['plan', 'apply', 'verify'] as const;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

type Asked = { mode?: unknown; workspaceId?: unknown; views?: unknown };

// For the deploy, the start of the container and the tenant manager; the proxy never lets /internal through.
@Controller('internal')
@UseGuards(ClerkInternalGuard)
@UseFilters(BusyFilter)
export class DataModelController {
  constructor(
    private readonly dataModelService: DataModelService,
    private readonly slots: WorkSlotsService,
  ) {}

  @Get('data-model')
  async list(): Promise<{ model: string; workspaces: string[] }> {
    return {
      model: readDataModel().hash,
      workspaces: await this.dataModelService.listWorkspaceIds(),
    };
  }

  @Post('data-model')
  @HttpCode(200)
  async run(
    @Body() asked: Asked | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<WorkspaceReport> {
    const mode = this.modeOf(asked);
    const workspaceId = asked?.workspaceId;

    if (typeof workspaceId !== 'string' || !UUID.test(workspaceId)) {
      throw this.invalid('workspaceId: the id of a workspace');
    }
    if (
      !(await this.dataModelService.listWorkspaceIds()).includes(workspaceId)
    ) {
      throw new NotFoundException({ error: 'not-found' });
    }

    return this.slots.longCall(response, (signal) =>
      this.dataModelService.run(workspaceId, mode, {
        signal,
        withViews: asked?.views === true,
      }),
    );
  }

  @Post('tenants/:organizationId/data-model')
  @HttpCode(200)
  async runForTenant(
    @Param('organizationId') organizationId: string,
    @Body() asked: Asked | undefined,
    @Res({ passthrough: true }) response: Response,
  ): Promise<WorkspaceReport> {
    const mode = this.modeOf(asked);
    const workspaceId =
      await this.dataModelService.findWorkspaceId(organizationId);

    if (workspaceId === null) {
      throw new NotFoundException({ error: 'not-found' });
    }

    return this.slots.longCall(response, (signal) =>
      this.dataModelService.run(workspaceId, mode, { signal }),
    );
  }

  private modeOf(asked: Asked | undefined): Mode {
    const mode = MODES.find((known) => known === asked?.mode);

    if (mode === undefined) {
      throw this.invalid(`mode: one of ${MODES.join(', ')}`);
    }

    return mode;
  }

  private invalid(detail: string) {
    return new BadRequestException({ error: 'invalid', details: [detail] });
  }
}
