// SPDX-License-Identifier: AGPL-3.0-only

import { readEmailAddress } from './email-address';
import { fetchJson, type Fetch } from './fetch-json';
import { fieldOf, isFields, type JsonFields } from './strict-json';

// Clerk's Backend API gives no answer just now; try again after so many seconds.
export class ClerkApiUnavailable extends Error {
  readonly retryAfterInSeconds: number;
  // Nobody should ask until then: Clerk said so, or whoever asks waits in vain.
  readonly wantsQuiet: boolean;

  constructor(why: string, retryAfterInSeconds: number, wantsQuiet = false) {
    super(`Clerk's Backend API: ${why}`);
    this.retryAfterInSeconds = retryAfterInSeconds;
    this.wantsQuiet = wantsQuiet;
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
const LARGEST_LIST = 4 * 1024 * 1024;
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

export type ClerkApi = { apiUrl: string; secretKey: string };

// What Clerk says of a person. Locked: for a while, after too many wrong codes; banned: until somebody takes it back.
export type Standing = 'good' | 'banned' | 'locked' | 'deleted';

const GONE = Symbol('gone');
// How many people one question may name.
export const MOST_PEOPLE_ASKED = 50;
const MOST_ROWS = 500;

// GONE only in Clerk's own words: the 404 of a proxy must end nobody's session. Throws ClerkApiUnavailable otherwise.
const ask = async (
  fetch: Fetch,
  { apiUrl, secretKey }: ClerkApi,
  path: string,
  largestAnswer = LARGEST_ANSWER,
): Promise<unknown> => {
  const answer = await fetchJson(fetch, `${apiUrl}/v1/${path}`, {
    timeoutInMs: TIMEOUT_IN_MS,
    largestAnswer,
    headers: { authorization: `Bearer ${secretKey}` },
  });

  switch (answer.kind) {
    case 'json':
      return answer.body;
    case 'status':
      if (answer.status === 404 && answer.code === 'resource_not_found') {
        return GONE;
      }
      throw new ClerkApiUnavailable(
        `status ${answer.status}`,
        Math.min(
          Math.max(answer.retryAfterInSeconds ?? RETRY_AFTER_IN_SECONDS, 1),
          LONGEST_RETRY_IN_SECONDS,
        ),
        answer.status === 429,
      );
    default:
      throw unreadable(true);
  }
};

const unreadable = (wantsQuiet = false) =>
  new ClerkApiUnavailable(
    'no answer that can be read',
    RETRY_AFTER_IN_SECONDS,
    wantsQuiet,
  );

const readStanding = (person: JsonFields): Standing =>
  fieldOf(person, 'banned') === true
    ? 'banned'
    : fieldOf(person, 'locked') === true
      ? 'locked'
      : 'good';

// GET /v1/users/ID. Null: Clerk knows nobody by this id. Throws ClerkApiUnavailable for everything else that is no person.
export const fetchPerson = async (
  fetch: Fetch,
  api: ClerkApi,
  clerkUserId: string,
): Promise<{ profile: ClerkProfile; standing: Standing } | null> => {
  const answer = await ask(
    fetch,
    api,
    `users/${encodeURIComponent(clerkUserId)}`,
  );

  if (answer === GONE) {
    return null;
  }

  const profile = readProfile(answer, clerkUserId);

  if (profile === undefined || !isFields(answer)) {
    throw unreadable();
  }

  return { profile, standing: readStanding(answer) };
};

// GET /v1/sessions/ID. False: it is over, or Clerk knows none by this id.
export const isSessionLive = async (
  fetch: Fetch,
  api: ClerkApi,
  { sessionId, clerkUserId }: { sessionId: string; clerkUserId: string },
): Promise<boolean> => {
  const answer = await ask(
    fetch,
    api,
    `sessions/${encodeURIComponent(sessionId)}`,
  );

  if (answer === GONE) {
    return false;
  }
  if (!isFields(answer) || fieldOf(answer, 'id') !== sessionId) {
    throw unreadable();
  }

  const status = fieldOf(answer, 'status');

  // "pending": signed in, and asked for something more. Its tokens are refused by themselves.
  return (
    fieldOf(answer, 'user_id') === clerkUserId &&
    (status === 'active' || status === 'pending')
  );
};

// A full page may not be all: then nothing follows from who is missing on it.
const readRows = (answer: unknown): JsonFields[] => {
  const rows = isFields(answer) ? fieldOf(answer, 'data') : answer;

  if (
    !Array.isArray(rows) ||
    !rows.every(isFields) ||
    rows.length >= MOST_ROWS
  ) {
    throw unreadable();
  }

  return rows;
};

const listed = (clerkUserIds: readonly string[]) =>
  clerkUserIds
    .map((clerkUserId) => `&user_id=${encodeURIComponent(clerkUserId)}`)
    .join('');

// GET /v1/users of up to MOST_PEOPLE_ASKED people. Whoever is not among the answers is not known to this list.
export const fetchStandings = async (
  fetch: Fetch,
  api: ClerkApi,
  clerkUserIds: readonly string[],
): Promise<Map<string, Standing>> => {
  const answer = await ask(
    fetch,
    api,
    `users?limit=${MOST_ROWS}${listed(clerkUserIds)}`,
    LARGEST_LIST,
  );
  const people = readRows(answer);

  return new Map(
    people.map((person) => [textOf(person, 'id'), readStanding(person)]),
  );
};

// GET /v1/organizations/ID/memberships, of as many people: who of them belongs to it. Nobody, when it is gone.
export const fetchMembers = async (
  fetch: Fetch,
  api: ClerkApi,
  organizationId: string,
  clerkUserIds: readonly string[],
): Promise<Set<string>> => {
  const answer = await ask(
    fetch,
    api,
    `organizations/${encodeURIComponent(organizationId)}/memberships?limit=${MOST_ROWS}${listed(clerkUserIds)}`,
    LARGEST_LIST,
  );

  if (answer === GONE) {
    return new Set();
  }

  return new Set(
    readRows(answer).map((membership) => {
      const person = fieldOf(membership, 'public_user_data');

      return isFields(person) ? textOf(person, 'user_id') : '';
    }),
  );
};

// GET /v1/users/ID/organization_memberships: the organisations of one person.
export const fetchOrganizationsOf = async (
  fetch: Fetch,
  api: ClerkApi,
  clerkUserId: string,
): Promise<Set<string>> => {
  const answer = await ask(
    fetch,
    api,
    `users/${encodeURIComponent(clerkUserId)}/organization_memberships?limit=${MOST_ROWS}`,
    LARGEST_LIST,
  );

  if (answer === GONE) {
    return new Set();
  }

  return new Set(
    readRows(answer).map((membership) => {
      const organization = fieldOf(membership, 'organization');

      return isFields(organization) ? textOf(organization, 'id') : '';
    }),
  );
};
