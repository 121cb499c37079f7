// SPDX-License-Identifier: AGPL-3.0-only

import { createHash } from 'crypto';

import { readEmailAddress } from '../pure/email-address';

type Person = { clerkUserId: string; email: string; emailVerified: boolean };

const fingerprint = (value: string, length: number) =>
  createHash('sha256').update(value).digest('hex').slice(0, length);

// Stands where an address is not verified, or belongs to somebody else now. Reserved by RFC 2606: no mail ever goes there.
export const placeholderEmail = (clerkUserId: string): string =>
  `user-${fingerprint(clerkUserId, 32)}@clerk.invalid`;

export const knownEmail = (person: Person): string =>
  person.emailVerified
    ? readEmailAddress(person.email).email
    : placeholderEmail(person.clerkUserId);

export type Occupant = { userId: string; clerkUserId: string | null };

// Who a person is when Clerk's id is not known yet. An address that Clerk has verified links to a user that no other Clerk
// user holds; a user who does hold it has given the address up at Clerk and keeps all but the address.
export const decideIdentity = (
  person: Person,
  occupant: Occupant | null,
): 'create' | 'link' | 'displace-and-create' => {
  if (!person.emailVerified || occupant === null) {
    return 'create';
  }

  return occupant.clerkUserId === null ||
    occupant.clerkUserId === person.clerkUserId
    ? 'link'
    : 'displace-and-create';
};

// Subdomains in the order of preference. The last one is always free and valid: it is made of the organisation's id alone.
export const subdomainCandidates = (
  organizationId: string,
  name: string,
  slug?: string,
): string[] => {
  const shorten = (value: string, length: number) =>
    value.slice(0, length).replace(/-+$/, '');
  const base = [slug ?? '', name]
    .map((value) =>
      value
        .normalize('NFKD')
        .toLowerCase()
        .replace(/[\u0300-\u036f]/g, '')
        .replace(/[^a-z0-9]+/g, '-')
        .replace(/^-+|-+$/g, ''),
    )
    .find((value) => value.length >= 3);

  return [
    ...(base === undefined
      ? []
      : [
          shorten(base, 30),
          `${shorten(base, 23)}-${fingerprint(organizationId, 6)}`,
        ]),
    `t-${fingerprint(organizationId, 24)}`,
  ];
};

export type RoleChange = 'assign-admin' | 'assign-default' | 'keep';

// Clerk knows admins and members; a member may hold any role of Twenty's own but Admin.
export const decideRoleChange = (
  wanted: 'admin' | 'member',
  current: 'admin' | 'other' | 'none',
): RoleChange => {
  if (wanted === 'admin') {
    return current === 'admin' ? 'keep' : 'assign-admin';
  }

  return current === 'other' ? 'keep' : 'assign-default';
};
