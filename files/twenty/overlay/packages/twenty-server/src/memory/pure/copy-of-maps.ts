// SPDX-License-Identifier: AGPL-3.0-only

type Maps<T> = {
  byId: Partial<Record<string, T>>;
  idByUniversalIdentifier: Partial<Record<string, string>>;
  universalIdentifiersByApplicationId: Partial<Record<string, string[]>>;
};

/** A copy whose maps and lists can be changed; the entities themselves are shared. Maps from an older cache may lack the third. */
export const copyOfMaps = <T>(maps: Maps<T>): Maps<T> => ({
  byId: { ...maps.byId },
  idByUniversalIdentifier: { ...maps.idByUniversalIdentifier },
  universalIdentifiersByApplicationId: Object.fromEntries(
    Object.entries(maps.universalIdentifiersByApplicationId ?? {}).map(
      ([application, identifiers]) => [application, [...(identifiers ?? [])]],
    ),
  ),
});
