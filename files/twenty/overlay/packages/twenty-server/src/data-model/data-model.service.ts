// SPDX-License-Identifier: AGPL-3.0-only

import { Injectable, Logger } from '@nestjs/common';
import { InjectDataSource, InjectRepository } from '@nestjs/typeorm';

import { WorkspaceActivationStatus } from 'twenty-shared/workspace';
import { DataSource, In, Repository } from 'typeorm';

import { ClerkStoreService } from 'src/auth/clerk/store/clerk-store.service';
import { FirstViewsStore } from 'src/data-model/first-views.store';
import { NestMetadataPort } from 'src/data-model/nest-metadata.port';
import {
  runOnWorkspace,
  type ApplyOptions,
  type Mode,
  type WorkspaceReport,
} from 'src/data-model/pure/apply';
import { lockKeyOf, readDataModel } from 'src/data-model/pure/data-model';
import { runOnAll, type RunReport } from 'src/data-model/pure/report';
import { LocksService } from 'src/locks/locks.service';
import { WorkSlotsService } from 'src/locks/work-slots.service';
import { FeatureFlagService } from 'src/engine/core-modules/feature-flag/services/feature-flag.service';
import { WorkspaceEntity } from 'src/engine/core-modules/workspace/workspace.entity';
import { FieldMetadataEntity } from 'src/engine/metadata-modules/field-metadata/field-metadata.entity';
import { FieldMetadataServiceV2 } from 'src/engine/metadata-modules/field-metadata/services/field-metadata.service-v2';
import { FieldMetadataService } from 'src/engine/metadata-modules/field-metadata/services/field-metadata.service';
import { WorkspaceManyOrAllFlatEntityMapsCacheService } from 'src/engine/metadata-modules/flat-entity/services/workspace-many-or-all-flat-entity-maps-cache.service';
import { ObjectMetadataServiceV2 } from 'src/engine/metadata-modules/object-metadata/object-metadata-v2.service';
import { ObjectMetadataEntity } from 'src/engine/metadata-modules/object-metadata/object-metadata.entity';
import { ObjectMetadataService } from 'src/engine/metadata-modules/object-metadata/object-metadata.service';
import { WorkspaceCacheStorageService } from 'src/engine/workspace-cache-storage/workspace-cache-storage.service';

export type RunOptions = Pick<
  ApplyOptions,
  'onProgress' | 'signal' | 'withViews'
>;

@Injectable()
export class DataModelService {
  private readonly logger = new Logger(DataModelService.name);

  constructor(
    @InjectRepository(WorkspaceEntity)
    private readonly workspaceRepository: Repository<WorkspaceEntity>,
    @InjectRepository(ObjectMetadataEntity)
    private readonly objectMetadataRepository: Repository<ObjectMetadataEntity>,
    @InjectRepository(FieldMetadataEntity)
    private readonly fieldMetadataRepository: Repository<FieldMetadataEntity>,
    @InjectDataSource()
    private readonly dataSource: DataSource,
    private readonly clerkStore: ClerkStoreService,
    private readonly locks: LocksService,
    private readonly slots: WorkSlotsService,
    private readonly objectMetadataService: ObjectMetadataService,
    private readonly objectMetadataServiceV2: ObjectMetadataServiceV2,
    private readonly fieldMetadataService: FieldMetadataService,
    private readonly fieldMetadataServiceV2: FieldMetadataServiceV2,
    private readonly featureFlagService: FeatureFlagService,
    private readonly flatMaps: WorkspaceManyOrAllFlatEntityMapsCacheService,
    private readonly cacheStorage: WorkspaceCacheStorageService,
  ) {}

  // Workspaces that have a schema to apply to; one that is still being made gets the model from whoever makes it.
  async listWorkspaceIds(): Promise<string[]> {
    const workspaces = await this.workspaceRepository.find({
      select: ['id'],
      where: {
        activationStatus: In([
          WorkspaceActivationStatus.ACTIVE,
          WorkspaceActivationStatus.SUSPENDED,
        ]),
      },
      order: { id: 'ASC' },
    });

    return workspaces.map(({ id }) => id);
  }

  // The workspace of a Clerk organisation; null where there is none.
  async findWorkspaceId(organizationId: string): Promise<string | null> {
    const organization =
      await this.clerkStore.findOrganization(organizationId);

    return organization?.workspaceId ?? null;
  }

  // Throws Busy when no slot or lock is to be had in time, and the signal's reason when it aborts.
  async run(
    workspaceId: string,
    mode: Mode,
    options: RunOptions = {},
  ): Promise<WorkspaceReport> {
    const report = await this.runWithoutLettingIn(workspaceId, mode, options);

    if (report.status === 'matched') {
      await this.clerkStore.endWaitForDataModel(workspaceId);
    }

    return report;
  }

  private async runWithoutLettingIn(
    workspaceId: string,
    mode: Mode,
    { onProgress, signal, withViews }: RunOptions,
  ): Promise<WorkspaceReport> {
    const { model } = readDataModel();
    const port = new NestMetadataPort(workspaceId, {
      objectMetadataRepository: this.objectMetadataRepository,
      fieldMetadataRepository: this.fieldMetadataRepository,
      objectMetadataService: this.objectMetadataService,
      objectMetadataServiceV2: this.objectMetadataServiceV2,
      fieldMetadataService: this.fieldMetadataService,
      fieldMetadataServiceV2: this.fieldMetadataServiceV2,
      featureFlagService: this.featureFlagService,
      firstViews: new FirstViewsStore(
        workspaceId,
        this.dataSource,
        this.flatMaps,
        this.cacheStorage,
      ),
    });
    const work = (until?: AbortSignal) =>
      runOnWorkspace(port, model, workspaceId, mode, {
        signal: until,
        withViews,
        onProgress: (message) => {
          this.logger.log(`${workspaceId}: ${message}`);
          onProgress?.(message);
        },
      });

    if (mode !== 'apply') {
      return work(signal);
    }
    // Nothing to write, nothing to wait for.
    const before = await runOnWorkspace(port, model, workspaceId, 'verify', {
      signal,
      withViews,
    });

    if (before.status !== 'differs') {
      return before;
    }
    const report = await this.slots.provision(
      () =>
        this.locks.withLocks([lockKeyOf(workspaceId)], work, { signal }),
      signal,
    );

    this.logger.log(
      `${workspaceId}: ${report.status}; written ${JSON.stringify(report.written)} in ${report.seconds} s`,
    );

    return report;
  }

  async runAll(
    mode: Mode,
    workspaceIds?: string[],
    onProgress?: (workspaceId: string, message: string) => void,
  ): Promise<RunReport> {
    const start = Date.now();
    const { hash } = readDataModel();
    const workspaces = await runOnAll(
      workspaceIds ?? (await this.listWorkspaceIds()),
      (id) =>
        this.run(id, mode, {
          onProgress: (message) => onProgress?.(id, message),
        }),
    );

    return {
      mode,
      model: hash,
      through: 'services',
      matched: workspaces.every(({ status }) => status === 'matched'),
      seconds: (Date.now() - start) / 1000,
      workspaces,
    };
  }
}
