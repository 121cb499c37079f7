// SPDX-License-Identifier: AGPL-3.0-only

const DEFAULT_CONCURRENCY = 1;
const MOST = 16;

// How many workspaces are made at once: TWENTYOPS_PROVISIONING_CONCURRENCY, 1 where it is absent. A mistake stops the start.
export const readProvisioningConcurrency = (
  environment: Record<string, string | undefined>,
): number => {
  const text = environment.TWENTYOPS_PROVISIONING_CONCURRENCY ?? '';
  const value = text === '' ? DEFAULT_CONCURRENCY : Number(text);

  if (!Number.isInteger(value) || value < 1 || value > MOST) {
    throw new Error(
      `TWENTYOPS_PROVISIONING_CONCURRENCY: a whole number from 1 to ${MOST} is needed`,
    );
  }

  return value;
};
