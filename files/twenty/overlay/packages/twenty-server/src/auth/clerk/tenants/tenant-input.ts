// SPDX-License-Identifier: AGPL-3.0-only

import { readEmailAddress } from '../pure/email-address';
import { TENANT_WAITS, type TenantWait } from '../pure/session-exchange';

export type ClerkPerson = {
  clerkUserId: string;
  email: string;
  emailVerified: boolean;
  firstName: string;
  lastName: string;
  imageUrl?: string;
};

export type MemberRole = 'admin' | 'member';

export type TenantInput = {
  organizationId: string;
  name: string;
  slug?: string;
  owner: ClerkPerson;
  // The data model follows: nobody is let in before it is there.
  getsDataModel: boolean;
};

export type Validated<Value> =
  | { ok: true; value: Value }
  | { ok: false; details: string[] };

const ID = { organization: /^org_[A-Za-z0-9]{4,64}$/, user: /^user_[A-Za-z0-9]{4,64}$/ };
const EMAIL = /^[^\s@<>"]{1,64}@[^\s@<>"]{1,190}$/;
const NAME_LIMIT = 255;
const TOKEN_TTL_LIMIT_IN_SECONDS = 600;

type Fields = Record<string, unknown>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

// Control characters would break log lines and headers; no name has any.
const isText = (value: unknown, limit = NAME_LIMIT): value is string =>
  typeof value === 'string' &&
  value.length <= limit &&
  // eslint-disable-next-line no-control-regex
  !/[\u0000-\u001f\u007f]/.test(value);

const finish = <Value>(details: string[], value: () => Value): Validated<Value> =>
  details.length > 0 ? { ok: false, details } : { ok: true, value: value() };

export const isOrganizationId = (value: string) => ID.organization.test(value);

export const isClerkUserId = (value: string) => ID.user.test(value);

export const readIds = (ids: {
  organizationId?: string;
  clerkUserId?: string;
}): string[] => {
  const details: string[] = [];

  if (ids.organizationId !== undefined && !isOrganizationId(ids.organizationId)) {
    details.push('organizationId: not a Clerk organisation id (org_...)');
  }
  if (ids.clerkUserId !== undefined && !isClerkUserId(ids.clerkUserId)) {
    details.push('clerkUserId: not a Clerk user id (user_...)');
  }

  return details;
};

export const readPerson = (
  value: unknown,
  path: string,
  clerkUserId?: string,
): Validated<ClerkPerson> => {
  if (!isFields(value)) {
    return { ok: false, details: [`${path}: an object is needed`] };
  }

  const details: string[] = [];
  const id = value.clerkUserId ?? clerkUserId;

  if (typeof id !== 'string' || !isClerkUserId(id)) {
    details.push(`${path}.clerkUserId: not a Clerk user id (user_...)`);
  } else if (clerkUserId !== undefined && id !== clerkUserId) {
    details.push(`${path}.clerkUserId: another one than in the address`);
  }
  if (!isText(value.email) || !EMAIL.test(value.email)) {
    details.push(`${path}.email: not an e-mail address`);
  }
  if (typeof value.emailVerified !== 'boolean') {
    details.push(`${path}.emailVerified: true or false is needed`);
  }
  for (const field of ['firstName', 'lastName']) {
    const name = value[field] ?? '';

    if (!isText(name)) {
      details.push(`${path}.${field}: text of at most ${NAME_LIMIT} characters is needed`);
    }
  }

  const imageUrl = value.imageUrl ?? '';

  if (!isText(imageUrl, 2048) || (imageUrl !== '' && !isHttpsAddress(imageUrl))) {
    details.push(`${path}.imageUrl: an https address is needed`);
  }

  return finish(details, () => ({
    clerkUserId: id as string,
    email: readEmailAddress(value.email as string).email,
    emailVerified:
      (value.emailVerified as boolean) &&
      readEmailAddress(value.email as string).sound,
    firstName: ((value.firstName as string | null) ?? '').trim(),
    lastName: ((value.lastName as string | null) ?? '').trim(),
    ...(imageUrl === '' ? {} : { imageUrl: imageUrl as string }),
  }));
};

const isHttpsAddress = (value: string) => {
  try {
    return new URL(value).protocol === 'https:';
  } catch {
    return false;
  }
};

const readName = (body: Fields): string[] =>
  isText(body.name) && body.name.trim() !== ''
    ? []
    : [`name: text of 1 to ${NAME_LIMIT} characters is needed`];

export const readTenant = (
  organizationId: string,
  body: unknown,
): Validated<TenantInput> => {
  const fields = isFields(body) ? body : {};
  const owner = readPerson(fields.owner, 'owner');
  const details = [
    ...readIds({ organizationId }),
    ...readName(fields),
    ...(fields.slug === undefined || fields.slug === null || isText(fields.slug)
      ? []
      : ['slug: text is needed']),
    ...(owner.ok ? [] : owner.details),
  ];

  return finish(details, () => ({
    organizationId,
    name: (fields.name as string).trim(),
    ...(fields.slug ? { slug: fields.slug as string } : {}),
    getsDataModel: fields.dataModel === true,
    owner: (owner as { value: ClerkPerson }).value,
  }));
};

export const readRename = (
  organizationId: string,
  body: unknown,
): Validated<string> => {
  const fields = isFields(body) ? body : {};

  return finish([...readIds({ organizationId }), ...readName(fields)], () =>
    (fields.name as string).trim(),
  );
};

// Why an organisation waits for its workspace; null: for nothing any more.
export const readWait = (
  organizationId: string,
  body: unknown,
): Validated<TenantWait | null> => {
  const reason = isFields(body) ? (body.reason ?? null) : undefined;
  const known = TENANT_WAITS.find((wait) => wait === reason) ?? null;
  const details = readIds({ organizationId });

  if (reason === undefined || (known === null && reason !== null)) {
    details.push(`reason: null or one of ${TENANT_WAITS.join(', ')} is needed`);
  }

  return finish(details, () => known);
};

export const readMember = (
  organizationId: string,
  clerkUserId: string,
  body: unknown,
): Validated<{ person: ClerkPerson; role: MemberRole }> => {
  const fields = isFields(body) ? body : {};
  const person = readPerson(fields.person, 'person', clerkUserId);
  const details = [
    ...readIds({ organizationId }),
    ...(person.ok ? [] : person.details),
    ...(fields.role === 'admin' || fields.role === 'member'
      ? []
      : ['role: admin or member is needed']),
  ];

  return finish(details, () => ({
    person: (person as { value: ClerkPerson }).value,
    role: fields.role as MemberRole,
  }));
};

export const readTokenRequest = (
  organizationId: string,
  body: unknown,
): Validated<number> => {
  const ttl =
    (isFields(body) ? body.ttlSeconds : undefined) ?? TOKEN_TTL_LIMIT_IN_SECONDS;
  const details = readIds({ organizationId });

  if (
    typeof ttl !== 'number' ||
    !Number.isInteger(ttl) ||
    ttl < 1 ||
    ttl > TOKEN_TTL_LIMIT_IN_SECONDS
  ) {
    details.push(`ttlSeconds: a whole number from 1 to ${TOKEN_TTL_LIMIT_IN_SECONDS} is needed`);
  }

  return finish(details, () => ttl as number);
};

export const readPage = (query: {
  limit?: string;
  offset?: string;
}): Validated<{ limit: number; offset: number }> => {
  const details: string[] = [];
  const read = (name: 'limit' | 'offset', preset: number, least: number, most: number) => {
    const text = query[name];
    const value = text === undefined ? preset : Number(text);

    if (text === '' || !Number.isInteger(value) || value < least || value > most) {
      details.push(`${name}: a whole number from ${least} to ${most} is needed`);
    }

    return value;
  };
  const limit = read('limit', 100, 1, 500);
  const offset = read('offset', 0, 0, 1_000_000);

  return finish(details, () => ({ limit, offset }));
};
