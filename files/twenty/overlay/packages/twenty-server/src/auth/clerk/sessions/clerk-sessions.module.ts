// SPDX-License-Identifier: AGPL-3.0-only

import { Module } from '@nestjs/common';

import { ClerkSessionsController } from 'src/auth/clerk/sessions/clerk-sessions.controller';
import { ClerkSessionsService } from 'src/auth/clerk/sessions/clerk-sessions.service';

@Module({
  controllers: [ClerkSessionsController],
  providers: [ClerkSessionsService],
  exports: [ClerkSessionsService],
})
export class ClerkSessionsModule {}
