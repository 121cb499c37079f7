// SPDX-License-Identifier: AGPL-3.0-only

const VERSIONED =
  /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-(\d+)$/;

/** Of the keys `<workspace's UUID>-<version>`: those of the same workspace with a smaller version than `key`'s. Other keys are left alone. */
export const supersededKeys = <Key extends string>(
  keys: Iterable<Key>,
  key: Key,
): Key[] => {
  const [, workspace, version] = VERSIONED.exec(key) ?? [];

  if (workspace === undefined) {
    return [];
  }

  return [...keys].filter((other) => {
    const [, itsWorkspace, itsVersion] = VERSIONED.exec(other) ?? [];

    return itsWorkspace === workspace && Number(itsVersion) < Number(version);
  });
};
