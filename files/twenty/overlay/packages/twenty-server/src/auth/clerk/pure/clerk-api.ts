// SPDX-License-Identifier: AGPL-3.0-only

import { readEmailAddress } from './email-address';
import { fetchJson, type Fetch } from './fetch-json';
import { fieldOf, isFields, type JsonFields } from './strict-json';

// Clerk's Backend API gives no answer just now; try again after so many seconds.
export class ClerkApiUnavailable extends Error {
  readonly retryAfterInSeconds: number;

  constructor(why: string, retryAfterInSeconds: number) {
    super(`Clerk's Backend API: ${why}`);
    this.retryAfterInSeconds = retryAfterInSeconds;
  }
}

export type ClerkProfile = {
  clerkUserId: string;
  email: string;
  emailVerified: boolean;
  firstName: string;
  lastName: string;
  imageUrl?: string;
};

const TIMEOUT_IN_MS = 5_000;
const LARGEST_ANSWER = 256 * 1024;
const RETRY_AFTER_IN_SECONDS = 5;
const LONGEST_RETRY_IN_SECONDS = 60;
const LONGEST_NAME = 255;

const textOf = (fields: JsonFields, name: string): string => {
  const value = fieldOf(fields, name);

  return typeof value === 'string' ? value : '';
};

// Names end up in logs, mails and file names of others: no control characters.
const nameOf = (fields: JsonFields, name: string): string =>
  textOf(fields, name)
    // eslint-disable-next-line no-control-regex
    .replace(/[\u0000-\u001f\u007f]+/g, ' ')
    .trim()
    .slice(0, LONGEST_NAME)
    // a character beyond U+FFFF that was cut in two
    .replace(/[\ud800-\udbff]$/, '');

const isHttps = (value: string) =>
  value.length <= 2048 &&
  URL.canParse(value) &&
  new URL(value).protocol === 'https:';

// A person as Clerk's API tells it. Only the primary address counts, and only its own verification.
export const readProfile = (
  answer: unknown,
  clerkUserId: string,
): ClerkProfile | undefined => {
  if (!isFields(answer) || fieldOf(answer, 'id') !== clerkUserId) {
    return undefined;
  }

  const primaryId = fieldOf(answer, 'primary_email_address_id');
  const addresses = fieldOf(answer, 'email_addresses');
  const primary = (Array.isArray(addresses) ? addresses : [])
    .filter(isFields)
    .find(
      (address) =>
        typeof primaryId === 'string' && fieldOf(address, 'id') === primaryId,
    );
  const verification = primary && fieldOf(primary, 'verification');
  const { email, sound } = readEmailAddress(
    primary ? textOf(primary, 'email_address') : '',
  );
  const imageUrl = textOf(answer, 'image_url');

  return {
    clerkUserId,
    email,
    emailVerified:
      email !== '' &&
      sound &&
      isFields(verification) &&
      fieldOf(verification, 'status') === 'verified',
    firstName: nameOf(answer, 'first_name'),
    lastName: nameOf(answer, 'last_name'),
    ...(isHttps(imageUrl) ? { imageUrl } : {}),
  };
};

// GET /v1/users/ID. Null: Clerk knows nobody by this id. Throws ClerkApiUnavailable for everything else that is no person.
export const fetchProfile = async (
  fetch: Fetch,
  settings: { apiUrl: string; secretKey: string },
  clerkUserId: string,
): Promise<ClerkProfile | null> => {
  const answer = await fetchJson(
    fetch,
    `${settings.apiUrl}/v1/users/${encodeURIComponent(clerkUserId)}`,
    {
      timeoutInMs: TIMEOUT_IN_MS,
      largestAnswer: LARGEST_ANSWER,
      headers: { authorization: `Bearer ${settings.secretKey}` },
    },
  );

  if (answer.kind === 'status' && answer.status === 404) {
    return null;
  }
  if (answer.kind === 'status') {
    throw new ClerkApiUnavailable(
      `status ${answer.status}`,
      Math.min(
        Math.max(answer.retryAfterInSeconds ?? RETRY_AFTER_IN_SECONDS, 1),
        LONGEST_RETRY_IN_SECONDS,
      ),
    );
  }

  const profile =
    answer.kind === 'json' ? readProfile(answer.body, clerkUserId) : undefined;

  if (profile === undefined) {
    throw new ClerkApiUnavailable(
      'no answer that can be read',
      RETRY_AFTER_IN_SECONDS,
    );
  }

  return profile;
};
