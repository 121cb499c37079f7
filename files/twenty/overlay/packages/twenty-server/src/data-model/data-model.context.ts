// SPDX-License-Identifier: AGPL-3.0-only

import { NestFactory } from '@nestjs/core';

import { AppModule } from 'src/app.module';
import { type OpenServices } from 'src/data-model/cli';
import { DataModelService } from 'src/data-model/data-model.service';

// Twenty's services in a process of their own, without listening: for a command while no server runs.
export const openServices: OpenServices = async () => {
  const context = await NestFactory.createApplicationContext(AppModule, {
    logger: ['error', 'warn'],
  });
  const service = context.get(DataModelService, { strict: false });

  return {
    list: () => service.listWorkspaceIds(),
    run: (workspaceId, mode, options) =>
      service.run(workspaceId, mode, options),
    close: () => context.close(),
  };
};
