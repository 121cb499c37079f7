// SPDX-License-Identifier: AGPL-3.0-only

import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';

import { ClerkTenantsModule } from 'src/auth/clerk/tenants/clerk-tenants.module';
import { DataModelController } from 'src/data-model/data-model.controller';
import { DataModelService } from 'src/data-model/data-model.service';
import { LocksModule } from 'src/locks/locks.module';
import { FeatureFlagModule } from 'src/engine/core-modules/feature-flag/feature-flag.module';
import { WorkspaceEntity } from 'src/engine/core-modules/workspace/workspace.entity';
import { FieldMetadataEntity } from 'src/engine/metadata-modules/field-metadata/field-metadata.entity';
import { FieldMetadataModule } from 'src/engine/metadata-modules/field-metadata/field-metadata.module';
import { WorkspaceManyOrAllFlatEntityMapsCacheModule } from 'src/engine/metadata-modules/flat-entity/services/workspace-many-or-all-flat-entity-maps-cache.module';
import { ObjectMetadataEntity } from 'src/engine/metadata-modules/object-metadata/object-metadata.entity';
import { ObjectMetadataModule } from 'src/engine/metadata-modules/object-metadata/object-metadata.module';
import { WorkspaceCacheStorageModule } from 'src/engine/workspace-cache-storage/workspace-cache-storage.module';

@Module({
  imports: [
    TypeOrmModule.forFeature([
      WorkspaceEntity,
      ObjectMetadataEntity,
      FieldMetadataEntity,
    ]),
    FieldMetadataModule,
    ObjectMetadataModule,
    WorkspaceManyOrAllFlatEntityMapsCacheModule,
    WorkspaceCacheStorageModule,
    FeatureFlagModule,
    ClerkTenantsModule,
    LocksModule,
  ],
  controllers: [DataModelController],
  providers: [DataModelService],
  exports: [DataModelService],
})
export class DataModelModule {}
