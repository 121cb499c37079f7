// SPDX-License-Identifier: AGPL-3.0-only

import { Module } from '@nestjs/common';

import { ClerkAuthService } from 'src/auth/clerk/clerk-auth.service';
import { clerkSettingsProvider } from 'src/auth/clerk/clerk-config';
import { ClerkSessionController } from 'src/auth/clerk/clerk-session.controller';
import { ClerkSessionWatchService } from 'src/auth/clerk/sessions/clerk-session-watch.service';
import { ClerkSessionsModule } from 'src/auth/clerk/sessions/clerk-sessions.module';
import { ClerkTenantsModule } from 'src/auth/clerk/tenants/clerk-tenants.module';
import { JwtModule } from 'src/engine/core-modules/jwt/jwt.module';
import { UserWorkspaceModule } from 'src/engine/core-modules/user-workspace/user-workspace.module';
import { LocksModule } from 'src/locks/locks.module';

@Module({
  imports: [
    ClerkSessionsModule,
    ClerkTenantsModule,
    JwtModule,
    LocksModule,
    UserWorkspaceModule,
  ],
  controllers: [ClerkSessionController],
  providers: [
    clerkSettingsProvider,
    ClerkSessionWatchService,
    ClerkAuthService,
  ],
})
export class ClerkAuthModule {}
