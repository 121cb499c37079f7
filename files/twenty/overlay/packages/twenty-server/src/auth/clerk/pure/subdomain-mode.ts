// SPDX-License-Identifier: AGPL-3.0-only

// Each workspace at an address of its own, below one domain: upstream's multi-workspace mode, read as upstream reads it.
export const isSubdomainModeOn = (
  environment: Record<string, string | undefined>,
): boolean =>
  ['true', 'yes', 'on', '1'].includes(
    (environment.IS_MULTIWORKSPACE_ENABLED ?? '').trim().toLowerCase(),
  );
