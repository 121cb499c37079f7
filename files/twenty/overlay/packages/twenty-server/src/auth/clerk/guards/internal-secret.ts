// SPDX-License-Identifier: AGPL-3.0-only

import { createHash, timingSafeEqual } from 'crypto';

export const INTERNAL_SECRET_MINIMUM_BYTES = 32;

// A secret that is too short is a mistake of the deployment: said at start, not treated as absent.
export const readInternalSecret = (
  environment: Record<string, string | undefined> = process.env,
): string | undefined => {
  const secret = environment.TWENTYOPS_INTERNAL_SECRET;

  if (secret === undefined || secret === '') {
    return undefined;
  }

  if (Buffer.byteLength(secret) < INTERNAL_SECRET_MINIMUM_BYTES) {
    throw new Error(
      `TWENTYOPS_INTERNAL_SECRET is shorter than ${INTERNAL_SECRET_MINIMUM_BYTES} bytes: generate a new one`,
    );
  }

  return secret;
};

const digest = (value: string) => createHash('sha256').update(value).digest();

// Compares digests, so that neither content nor length shows in the time it takes.
export const carriesInternalSecret = (
  authorization: string | undefined,
  secret: string,
): boolean => {
  const presented = /^Bearer ([^\s]+)$/.exec(authorization ?? '')?.[1] ?? '';

  return (
    timingSafeEqual(digest(presented), digest(secret)) && presented !== ''
  );
};
