// SPDX-License-Identifier: AGPL-3.0-only

import { Module } from '@nestjs/common';

import { LocksService } from 'src/locks/locks.service';
import { WorkSlotsService } from 'src/locks/work-slots.service';

@Module({
  providers: [LocksService, WorkSlotsService],
  exports: [LocksService, WorkSlotsService],
})
export class LocksModule {}
