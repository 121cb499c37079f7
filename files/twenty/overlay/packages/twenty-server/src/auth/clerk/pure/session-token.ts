// SPDX-License-Identifier: AGPL-3.0-only

import { verify, type KeyObject } from 'node:crypto';

import {
  readSessionClaims,
  type ClaimRefusal,
  type ClerkSession,
} from './session-claims';
import {
  fieldOf,
  hasField,
  parseStrictObject,
  type JsonFields,
} from './strict-json';

export type TokenRefusal =
  | 'no-token'
  | 'oversized'
  | 'malformed'
  | 'algorithm'
  | 'header'
  | 'unknown-key'
  | 'signature'
  | ClaimRefusal;

export type TokenVerdict =
  | { ok: true; session: ClerkSession }
  | { ok: false; reason: TokenRefusal };

// Answers the key with this id, undefined when there is none; throws KeysUnavailable when it cannot know.
export type KeySource = {
  find(keyId: string): Promise<KeyObject | undefined>;
};

export type VerifierSettings = {
  issuer: string;
  authorizedParties: readonly string[];
  subdomainsOf?: string;
};

// Clerk's own tokens have to fit into a cookie of 4 KB.
export const LONGEST_TOKEN = 8192;
const BASE64URL = /^[A-Za-z0-9_-]+$/;
const KEY_ID = /^[\x21-\x7e]{1,128}$/;
// A key or the demand for one, given by the very token that it would verify.
const REFUSED_HEADERS = [
  'crit',
  'b64',
  'jku',
  'jwk',
  'x5u',
  'x5c',
  'zip',
  'enc',
];

// Exactly one text for a value: no padding, no other alphabet, no stray bits at the end.
const decodePart = (part: string): Buffer | undefined => {
  if (!BASE64URL.test(part)) {
    return undefined;
  }

  const bytes = Buffer.from(part, 'base64url');

  return bytes.toString('base64url') === part ? bytes : undefined;
};

const decodeFields = (part: string): JsonFields | undefined => {
  const bytes = decodePart(part);

  try {
    return bytes === undefined
      ? undefined
      : parseStrictObject(
          new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
            bytes,
          ),
        );
  } catch {
    return undefined;
  }
};

const refuseHeader = (header: JsonFields): TokenRefusal | undefined => {
  // No table of algorithms: there is one.
  if (fieldOf(header, 'alg') !== 'RS256') {
    return 'algorithm';
  }

  const type = fieldOf(header, 'typ');

  return (type === undefined || type === 'JWT') &&
    REFUSED_HEADERS.every((name) => !hasField(header, name))
    ? undefined
    : 'header';
};

// The token of "Authorization: Bearer TOKEN"; undefined: the header has another shape.
export const readBearer = (
  authorization: string | undefined,
): string | undefined => /^Bearer ([^\s]+)$/i.exec(authorization ?? '')?.[1];

// Whether a token is a session of ours. `now` in seconds since 1970. Refusals are answers; only KeysUnavailable is thrown.
export const verifySessionToken = async (
  token: string | undefined,
  keys: KeySource,
  settings: VerifierSettings,
  now: number,
): Promise<TokenVerdict> => {
  const refuse = (reason: TokenRefusal): TokenVerdict => ({
    ok: false,
    reason,
  });

  if (token === undefined || token === '') {
    return refuse('no-token');
  }
  if (token.length > LONGEST_TOKEN) {
    return refuse('oversized');
  }

  const [headerPart = '', claimsPart = '', signaturePart = '', ...rest] =
    token.split('.');
  const header = decodeFields(headerPart);

  if (header === undefined || rest.length > 0) {
    return refuse('malformed');
  }

  const badHeader = refuseHeader(header);

  if (badHeader !== undefined) {
    return refuse(badHeader);
  }

  const signature = decodePart(signaturePart);
  const claims = decodeFields(claimsPart);
  const keyId = fieldOf(header, 'kid');

  if (signature === undefined || claims === undefined) {
    return refuse('malformed');
  }
  if (typeof keyId !== 'string' || !KEY_ID.test(keyId)) {
    return refuse('header');
  }
  // Somebody else's token costs no look at the key set.
  if (fieldOf(claims, 'iss') !== settings.issuer) {
    return refuse('issuer');
  }

  const key = await keys.find(keyId);

  if (key === undefined) {
    return refuse('unknown-key');
  }
  if (
    key.asymmetricKeyType !== 'rsa' ||
    !verify(
      'sha256',
      Buffer.from(`${headerPart}.${claimsPart}`),
      key,
      signature,
    )
  ) {
    return refuse('signature');
  }

  return readSessionClaims(claims, { ...settings, now });
};
