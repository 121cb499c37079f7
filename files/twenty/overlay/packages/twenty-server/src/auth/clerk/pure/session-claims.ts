// SPDX-License-Identifier: AGPL-3.0-only

import { fieldOf, isFields, type JsonFields } from './strict-json';

export type ClerkSession = {
  clerkUserId: string;
  sessionId: string;
  // The active organisation; null: none is chosen.
  organizationId: string | null;
  // Of the page that holds the session, as Clerk saw it (azp).
  origin: string;
  // Seconds since 1970: until then at least Clerk held the session for good.
  issuedAt: number;
};

export type ClaimRules = {
  issuer: string;
  authorizedParties: readonly string[];
  // Origin below which every workspace has an address of its own: https://crm.example.com for https://acme.crm.example.com
  subdomainsOf?: string;
  // Seconds since 1970.
  now: number;
};

export type ClaimRefusal =
  | 'issuer'
  | 'authorized-party'
  | 'audience'
  | 'expired'
  | 'not-yet-valid'
  | 'times'
  | 'pending'
  | 'subject'
  | 'session'
  | 'actor'
  | 'version'
  | 'organization';

export type ClaimVerdict =
  | { ok: true; session: ClerkSession }
  | { ok: false; reason: ClaimRefusal };

// Clocks may differ by as much, in seconds; Clerk's own libraries allow the same.
const LEEWAY = 5;
// Session tokens live for a minute. Tokens of templates may live for years, and are no sessions.
const LONGEST_LIFE = 3600;
const USER_ID = /^user_[A-Za-z0-9]{4,64}$/;
const SESSION_ID = /^sess_[A-Za-z0-9]{4,64}$/;
const ORGANIZATION_ID = /^org_[A-Za-z0-9]{4,64}$/;

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

const isTime = (value: unknown): value is number =>
  typeof value === 'number' &&
  Number.isFinite(value) &&
  value >= 0 &&
  value < 1e11;

const isText = (value: unknown): value is string => typeof value === 'string';

const refuseTimes = (
  claims: JsonFields,
  now: number,
): ClaimRefusal | undefined => {
  const issuedAt = fieldOf(claims, 'iat');
  const expiresAt = fieldOf(claims, 'exp');
  const notBefore = fieldOf(claims, 'nbf');

  if (!isTime(issuedAt) || !isTime(expiresAt) || !isTime(notBefore)) {
    return 'times';
  }
  if (expiresAt <= issuedAt || expiresAt - issuedAt > LONGEST_LIFE) {
    return 'times';
  }
  if (expiresAt <= now - LEEWAY) {
    return 'expired';
  }

  return notBefore > now + LEEWAY || issuedAt > now + LEEWAY
    ? 'not-yet-valid'
    : undefined;
};

const isSubdomainOf = (party: string, base: string): boolean => {
  if (!URL.canParse(party) || new URL(party).origin !== party) {
    return false;
  }

  const { protocol, hostname, port } = new URL(base);
  const ours = new URL(party);
  const label = ours.hostname.endsWith(`.${hostname}`)
    ? ours.hostname.slice(0, -hostname.length - 1)
    : '';

  return (
    ours.protocol === protocol && ours.port === port && LABEL.test(label)
  );
};

const isOurs = (
  party: string,
  { authorizedParties, subdomainsOf }: ClaimRules,
): boolean =>
  authorizedParties.includes(party) ||
  (subdomainsOf !== undefined && isSubdomainOf(party, subdomainsOf));

const isForUs = (audience: unknown, rules: ClaimRules): boolean => {
  if (audience === undefined) {
    return true;
  }

  const named = Array.isArray(audience) ? audience : [audience];

  return named.every(isText) && named.some((name) => isOurs(name, rules));
};

// Version 2 says it in "o", version 1 in "org_id". A token that says both, or the other one's, is not from Clerk.
const readOrganization = (
  claims: JsonFields,
): { ok: true; id: string | null } | { ok: false; reason: ClaimRefusal } => {
  const version = fieldOf(claims, 'v');
  const compact = fieldOf(claims, 'o');
  const plain = fieldOf(claims, 'org_id');

  if (version !== undefined && version !== 1 && version !== 2) {
    return { ok: false, reason: 'version' };
  }

  const isSecond = version === 2;

  if ((isSecond ? plain : compact) !== undefined) {
    return { ok: false, reason: 'version' };
  }
  if (isSecond && compact !== undefined && !isFields(compact)) {
    return { ok: false, reason: 'organization' };
  }

  const named = isSecond ? compact : plain;
  const id = isFields(named) ? fieldOf(named, 'id') : named;

  if (named === undefined || (!isSecond && named === null)) {
    return { ok: true, id: null };
  }

  return isText(id) && ORGANIZATION_ID.test(id)
    ? { ok: true, id }
    : { ok: false, reason: 'organization' };
};

// What a token says, once its signature is known to be good.
export const readSessionClaims = (
  claims: JsonFields,
  rules: ClaimRules,
): ClaimVerdict => {
  const refuse = (reason: ClaimRefusal): ClaimVerdict => ({
    ok: false,
    reason,
  });

  if (fieldOf(claims, 'iss') !== rules.issuer) {
    return refuse('issuer');
  }

  const party = fieldOf(claims, 'azp');

  // Clerk's own library lets a token without it pass.
  if (!isText(party) || !isOurs(party, rules)) {
    return refuse('authorized-party');
  }
  if (!isForUs(fieldOf(claims, 'aud'), rules)) {
    return refuse('audience');
  }

  const badTimes = refuseTimes(claims, rules.now);

  if (badTimes !== undefined) {
    return refuse(badTimes);
  }

  const status = fieldOf(claims, 'sts');

  if (status !== undefined && status !== 'active') {
    return refuse('pending');
  }
  // Somebody else in the place of the person: Twenty's session would outlive it by weeks.
  if (fieldOf(claims, 'act') !== undefined) {
    return refuse('actor');
  }

  const clerkUserId = fieldOf(claims, 'sub');
  const sessionId = fieldOf(claims, 'sid');

  if (!isText(clerkUserId) || !USER_ID.test(clerkUserId)) {
    return refuse('subject');
  }
  if (!isText(sessionId) || !SESSION_ID.test(sessionId)) {
    return refuse('session');
  }

  const organization = readOrganization(claims);

  return organization.ok
    ? {
        ok: true,
        session: {
          clerkUserId,
          sessionId,
          organizationId: organization.id,
          origin: party,
          issuedAt: fieldOf(claims, 'iat') as number,
        },
      }
    : refuse(organization.reason);
};
