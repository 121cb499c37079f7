// SPDX-License-Identifier: AGPL-3.0-only

import { Injectable } from '@nestjs/common';

import { FileStorageDriverFactory } from 'src/engine/core-modules/file-storage/file-storage-driver.factory';
import { FileStorageService } from 'src/engine/core-modules/file-storage/file-storage.service';
import { WorkspaceBoundDriver } from 'src/tenancy/paths/workspace-bound.driver';

// What everybody gets who asks for upstream's FileStorageService: the same, but every driver behind it is checked.
@Injectable()
export class WorkspaceBoundStorageService extends FileStorageService {
  constructor(fileStorageDriverFactory: FileStorageDriverFactory) {
    super({
      getCurrentDriver: () =>
        new WorkspaceBoundDriver(fileStorageDriverFactory.getCurrentDriver()),
    } as unknown as FileStorageDriverFactory);
  }
}
