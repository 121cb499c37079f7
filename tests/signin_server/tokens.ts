// Tokens for tests, made with keys of this run.
import { createHmac, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';

export type Fields = Record<string, unknown>;

export const ISSUER = 'https://lab-1.clerk.accounts.dev';
export const ORIGIN = 'http://10.77.1.10';
export const NOW = 1_800_000_000;
export const KEY_ID = 'ins_key1';
export const SETTINGS = { issuer: ISSUER, authorizedParties: [ORIGIN] };

export const rsa = (modulusLength = 2048) => generateKeyPairSync('rsa', { modulusLength });
export const pair = rsa();

export const keysWith = (...entries: Array<[string, KeyObject]>) => ({
  find: async (keyId: string) => new Map(entries).get(keyId),
});
export const KEYS = keysWith([KEY_ID, pair.publicKey]);

export const part = (value: Fields | string | Buffer): string =>
  Buffer.from(typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value)).toString('base64url');

export const HEADER: Fields = { alg: 'RS256', cat: 'cl_B7d4PD111AAA', kid: KEY_ID, typ: 'JWT' };

export const claimsOf = (changes: Fields = {}): Fields => ({
  azp: ORIGIN,
  exp: NOW + 60,
  fva: [0, -1],
  iat: NOW,
  iss: ISSUER,
  jti: 'a1',
  nbf: NOW - 10,
  o: { id: 'org_2acme', rol: 'admin', slg: 'acme' },
  sid: 'sess_2one',
  sts: 'active',
  sub: 'user_2alice',
  v: 2,
  ...changes,
});

export const without = (fields: Fields, ...names: string[]): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));

export const signed = (
  claims: Fields | string = claimsOf(),
  header: Fields | string = HEADER,
  key: KeyObject = pair.privateKey,
): string => {
  const body = `${part(header)}.${part(claims)}`;
  return `${body}.${sign('sha256', Buffer.from(body), key).toString('base64url')}`;
};

export const hmac = (header: Fields, claims: Fields, secret: string): string => {
  const body = `${part(header)}.${part(claims)}`;
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
};

// A small repeatable source of chance for the property tests (mulberry32).
export const chance = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
};
