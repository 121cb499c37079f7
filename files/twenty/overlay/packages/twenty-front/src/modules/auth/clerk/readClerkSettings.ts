// SPDX-License-Identifier: AGPL-3.0-only
export type ClerkSettings = {
  publishableKey: string;
  proxyUrl?: string;
  clerkJSUrl?: string;
};

export type ClerkSettingsReading =
  | { kind: 'off' }
  | { kind: 'wrong'; problem: string }
  | { kind: 'on'; settings: ClerkSettings };

const HOST =
  /^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/i;

const decode = (encoded: string): string | null => {
  try {
    return atob(encoded);
  } catch {
    return null;
  }
};

/* Null when a publishable key can be one: pk_test_ or pk_live_ and the base64 of its frontend API's host and "$". */
export const findClerkKeyProblem = (publishableKey: unknown): string | null => {
  if (typeof publishableKey !== 'string' || publishableKey.trim() === '') {
    return 'The publishable key is missing.';
  }

  const parts = /^pk_(?:test|live)_([A-Za-z0-9+/]+={0,2})$/.exec(
    publishableKey,
  );

  if (parts === null) {
    return 'The publishable key does not start with pk_test_ or pk_live_, or has other characters than it may have.';
  }

  const decoded = decode(parts[1]);

  if (decoded === null || !decoded.endsWith('$')) {
    return 'The publishable key is cut off or damaged.';
  }

  return HOST.test(decoded.slice(0, -1))
    ? null
    : 'The publishable key names no host.';
};

const optionalText = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

/* The "clerk" of /client-config. Null or absent: sign-in by Clerk is off. */
export const readClerkSettings = (clerk: unknown): ClerkSettingsReading => {
  if (clerk === null || clerk === undefined) {
    return { kind: 'off' };
  }

  if (typeof clerk !== 'object') {
    return { kind: 'wrong', problem: 'The settings of Clerk are damaged.' };
  }

  const { publishableKey, proxyUrl, clerkJSUrl } = clerk as Record<
    string,
    unknown
  >;
  const problem = findClerkKeyProblem(publishableKey);

  return problem !== null
    ? { kind: 'wrong', problem }
    : {
        kind: 'on',
        settings: {
          publishableKey: publishableKey as string,
          proxyUrl: optionalText(proxyUrl),
          clerkJSUrl: optionalText(clerkJSUrl),
        },
      };
};
