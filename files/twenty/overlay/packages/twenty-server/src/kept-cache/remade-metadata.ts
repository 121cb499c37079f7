// SPDX-License-Identifier: AGPL-3.0-only

import { type ObjectMetadataMaps } from 'src/engine/metadata-modules/types/object-metadata-maps';

type Remake = (workspaceId: string) => Promise<ObjectMetadataMaps>;

let remake: Remake | undefined;
const running = new Map<string, Promise<ObjectMetadataMaps>>();

// Called once at the start by who can read the database (remade-metadata.provider.ts); the storage of the cache cannot.
export const remakeWith = (given: Remake): void => {
  remake = given;
};

// A workspace's metadata that the cache has lost, by eviction or after a week: upstream's readers of it fail then. Made again, once for
// all who ask at the same time; `missing` is thrown where nobody can.
export const remadeObjectMetadataMaps = (
  workspaceId: string,
  missing: Error,
): Promise<ObjectMetadataMaps> => {
  if (!remake) {
    throw missing;
  }

  const known = running.get(workspaceId);

  if (known) {
    return known;
  }

  const made = remake(workspaceId).finally(() => running.delete(workspaceId));

  running.set(workspaceId, made);

  return made;
};
