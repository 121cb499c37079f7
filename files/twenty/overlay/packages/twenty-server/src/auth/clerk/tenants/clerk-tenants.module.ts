// SPDX-License-Identifier: AGPL-3.0-only

import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';

import { ClerkSessionsModule } from 'src/auth/clerk/sessions/clerk-sessions.module';
import { ClerkStoreService } from 'src/auth/clerk/store/clerk-store.service';
import { ClerkTenantsController } from 'src/auth/clerk/tenants/clerk-tenants.controller';
import { ClerkTenantsService } from 'src/auth/clerk/tenants/clerk-tenants.service';
import { TokenModule } from 'src/engine/core-modules/auth/token/token.module';
import { SubdomainManagerModule } from 'src/engine/core-modules/domain/subdomain-manager/subdomain-manager.module';
import { WorkspaceDomainsModule } from 'src/engine/core-modules/domain/workspace-domains/workspace-domains.module';
import { JwtModule } from 'src/engine/core-modules/jwt/jwt.module';
import { OnboardingModule } from 'src/engine/core-modules/onboarding/onboarding.module';
import { UserWorkspaceEntity } from 'src/engine/core-modules/user-workspace/user-workspace.entity';
import { UserWorkspaceModule } from 'src/engine/core-modules/user-workspace/user-workspace.module';
import { UserEntity } from 'src/engine/core-modules/user/user.entity';
import { WorkspaceEntity } from 'src/engine/core-modules/workspace/workspace.entity';
import { WorkspaceModule } from 'src/engine/core-modules/workspace/workspace.module';
import { RoleTargetsEntity } from 'src/engine/metadata-modules/role/role-targets.entity';
import { RoleEntity } from 'src/engine/metadata-modules/role/role.entity';
import { UserRoleModule } from 'src/engine/metadata-modules/user-role/user-role.module';
import { WorkspacePermissionsCacheModule } from 'src/engine/metadata-modules/workspace-permissions-cache/workspace-permissions-cache.module';
import { LocksModule } from 'src/locks/locks.module';

@Module({
  imports: [
    TypeOrmModule.forFeature([
      UserEntity,
      WorkspaceEntity,
      UserWorkspaceEntity,
      RoleEntity,
      RoleTargetsEntity,
    ]),
    ClerkSessionsModule,
    JwtModule,
    LocksModule,
    OnboardingModule,
    SubdomainManagerModule,
    TokenModule,
    UserRoleModule,
    UserWorkspaceModule,
    WorkspaceDomainsModule,
    WorkspaceModule,
    WorkspacePermissionsCacheModule,
  ],
  controllers: [ClerkTenantsController],
  providers: [ClerkStoreService, ClerkTenantsService],
  exports: [ClerkStoreService, ClerkTenantsService],
})
export class ClerkTenantsModule {}
