// SPDX-License-Identifier: AGPL-3.0-only

import { Module } from '@nestjs/common';

import { ClerkAuthService } from 'src/auth/clerk/clerk-auth.service';
import { clerkSettingsProvider } from 'src/auth/clerk/clerk-config';
import { ClerkSessionController } from 'src/auth/clerk/clerk-session.controller';
import { ClerkTenantsModule } from 'src/auth/clerk/tenants/clerk-tenants.module';
import { ThrottlerModule } from 'src/engine/core-modules/throttler/throttler.module';
import { UserWorkspaceModule } from 'src/engine/core-modules/user-workspace/user-workspace.module';
import { LocksModule } from 'src/locks/locks.module';

@Module({
  imports: [ClerkTenantsModule, LocksModule, ThrottlerModule, UserWorkspaceModule],
  controllers: [ClerkSessionController],
  providers: [clerkSettingsProvider, ClerkAuthService],
})
export class ClerkAuthModule {}
