// SPDX-License-Identifier: AGPL-3.0-only

import { Injectable } from '@nestjs/common';

import { WorkspaceMetadataCacheService } from 'src/engine/metadata-modules/workspace-metadata-cache/services/workspace-metadata-cache.service';
import { remakeWith } from 'src/kept-cache/remade-metadata';

@Injectable()
export class RemadeMetadata {
  constructor(metadata: WorkspaceMetadataCacheService) {
    remakeWith(
      async (workspaceId) =>
        (await metadata.getExistingOrRecomputeMetadataMaps({ workspaceId }))
          .objectMetadataMaps,
    );
  }
}
