// SPDX-License-Identifier: AGPL-3.0-only
import { type FlatEntityMaps } from 'src/engine/metadata-modules/flat-entity/types/flat-entity-maps.type';
import { type FlatEntity } from 'src/engine/metadata-modules/flat-entity/types/flat-entity.type';
import { addFlatEntityToFlatEntityMapsThroughMutationOrThrow } from 'src/engine/workspace-manager/workspace-migration-v2/utils/add-flat-entity-to-flat-entity-maps-through-mutation-or-throw.util';

import { copyOfMaps } from './pure/copy-of-maps';

/** The maps with some entities more, copied once instead of once for each entity. The given maps stay as they are: they are a cache's. */
export const withFlatEntities = <T extends FlatEntity>(
  flatEntityMaps: FlatEntityMaps<T>,
  flatEntities: T[],
): FlatEntityMaps<T> => {
  if (flatEntities.length === 0) {
    return flatEntityMaps;
  }

  const flatEntityMapsToMutate = copyOfMaps(flatEntityMaps);

  for (const flatEntity of flatEntities) {
    addFlatEntityToFlatEntityMapsThroughMutationOrThrow({
      flatEntity,
      flatEntityMapsToMutate,
    });
  }

  return flatEntityMapsToMutate;
};
