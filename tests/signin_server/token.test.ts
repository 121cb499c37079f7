import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';

import { KeysUnavailable } from 'src/auth/clerk/pure/key-set';
import { readSessionClaims } from 'src/auth/clerk/pure/session-claims';
import { LONGEST_TOKEN, readBearer, verifySessionToken } from 'src/auth/clerk/pure/session-token';
import { fieldOf, parseStrictObject } from 'src/auth/clerk/pure/strict-json';

import { chance, claimsOf, HEADER, hmac, ISSUER, KEY_ID, KEYS, keysWith, NOW, ORIGIN, pair, part, rsa, SETTINGS, signed, without, type Fields } from './tokens.ts';

const check = (token: string | undefined, keys = KEYS, now = NOW) => verifySessionToken(token, keys, SETTINGS, now);
const reasonOf = async (token: string | undefined, keys = KEYS, now = NOW) => {
  const verdict = await check(token, keys, now);
  return verdict.ok ? 'accepted' : verdict.reason;
};

test('a session of version 2 and of version 1 is accepted, with and without organisation', async () => {
  const v1 = without(claimsOf(), 'o', 'v', 'sts', 'fva');
  const session = { clerkUserId: 'user_2alice', sessionId: 'sess_2one', origin: ORIGIN, issuedAt: NOW };
  for (const [claims, organizationId] of [
    [claimsOf(), 'org_2acme'],
    [without(claimsOf(), 'o'), null],
    [{ ...v1, org_id: 'org_2acme', org_role: 'org:admin', org_slug: 'acme' }, 'org_2acme'],
    [{ ...v1, org_id: null }, null],
    [{ ...v1, v: 1, org_id: 'org_2acme' }, 'org_2acme'],
    [v1, null],
  ] as Array<[Fields, string | null]>) {
    assert.deepEqual(await check(signed(claims)), { ok: true, session: { ...session, organizationId } });
  }
});

test('clocks may differ by five seconds, not by more', async () => {
  const token = signed();
  assert.equal(await reasonOf(token, KEYS, NOW + 64.9), 'accepted');
  assert.equal(await reasonOf(token, KEYS, NOW + 65), 'expired');
  assert.equal(await reasonOf(token, KEYS, NOW - 5), 'accepted');
  assert.equal(await reasonOf(token, KEYS, NOW - 5.1), 'not-yet-valid');
});

const pem = pair.publicKey.export({ type: 'spki', format: 'pem' }).toString();
const other = rsa();
const good = signed();
const [goodHeader = '', goodClaims = '', goodSignature = ''] = good.split('.');
const json = JSON.stringify(claimsOf());
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const ATTACKS: Array<[string, string | undefined, string]> = [
  ['no token', undefined, 'no-token'],
  ['empty', '', 'no-token'],
  ['not a token', 'not.a.token', 'malformed'],
  ['two parts', `${goodHeader}.${goodClaims}`, 'malformed'],
  ['four parts', `${good}.x`, 'malformed'],
  ['five parts, as encrypted ones', `${goodHeader}.a.b.c.d`, 'malformed'],
  ['oversized', signed(claimsOf({ filler: 'x'.repeat(64_000) })), 'oversized'],
  ['just too long', 'x'.repeat(LONGEST_TOKEN + 1), 'oversized'],
  ['alg none', `${part({ ...HEADER, alg: 'none' })}.${goodClaims}.`, 'algorithm'],
  ['alg None', `${part({ ...HEADER, alg: 'None' })}.${goodClaims}.${goodSignature}`, 'algorithm'],
  ['alg none with a signature', `${part({ ...HEADER, alg: 'none' })}.${goodClaims}.${goodSignature}`, 'algorithm'],
  ['HS256 with the public key in PEM', hmac({ ...HEADER, alg: 'HS256' }, claimsOf(), pem), 'algorithm'],
  ['RS256 by name, HMAC by content', hmac(HEADER, claimsOf(), pem), 'signature'],
  ['RS512', signed(claimsOf(), { ...HEADER, alg: 'RS512' }), 'algorithm'],
  ['rs256 in small letters', signed(claimsOf(), { ...HEADER, alg: 'rs256' }), 'algorithm'],
  ['alg as a list', signed(claimsOf(), { ...HEADER, alg: ['RS256'] }), 'algorithm'],
  ['no alg', signed(claimsOf(), without(HEADER, 'alg')), 'algorithm'],
  ['no signature', `${goodHeader}.${goodClaims}.`, 'malformed'],
  ['tampered claims', `${goodHeader}.${part(claimsOf({ sub: 'user_2somebodyelse' }))}.${goodSignature}`, 'signature'],
  ['signed by another key of the same name', signed(claimsOf(), HEADER, other.privateKey), 'signature'],
  ['unknown kid', signed(claimsOf(), { ...HEADER, kid: 'ins_unknown' }, other.privateKey), 'unknown-key'],
  ['no kid', signed(claimsOf(), without(HEADER, 'kid')), 'header'],
  ['kid as a number', signed(claimsOf(), { ...HEADER, kid: 1 }), 'header'],
  ['kid as a path', signed(claimsOf(), { ...HEADER, kid: '../../dev/null' }), 'unknown-key'],
  ['kid __proto__', signed(claimsOf(), `{"alg":"RS256","kid":"__proto__"}`), 'unknown-key'],
  ['kid with a line feed', signed(claimsOf(), { ...HEADER, kid: `${KEY_ID}\n` }), 'header'],
  ['kid without end', signed(claimsOf(), { ...HEADER, kid: 'k'.repeat(129) }), 'header'],
  ['empty kid', signed(claimsOf(), { ...HEADER, kid: '' }), 'header'],
  ['crit', signed(claimsOf(), { ...HEADER, crit: ['exp'] }), 'header'],
  ['b64 false', signed(claimsOf(), { ...HEADER, b64: false }), 'header'],
  ['jku', signed(claimsOf(), { ...HEADER, jku: 'https://evil.test/jwks.json' }, other.privateKey), 'header'],
  ['x5u', signed(claimsOf(), { ...HEADER, x5u: 'https://evil.test/a.pem' }, other.privateKey), 'header'],
  ['x5c', signed(claimsOf(), { ...HEADER, x5c: ['MII'] }, other.privateKey), 'header'],
  ['its own key', signed(claimsOf(), { ...HEADER, jwk: other.publicKey.export({ format: 'jwk' }) }, other.privateKey), 'header'],
  ['typ of an OAuth access token', signed(claimsOf(), { ...HEADER, typ: 'at+jwt' }), 'header'],
  ['typ as an object', signed(claimsOf(), { ...HEADER, typ: {} }), 'header'],
  ['header is a list', signed(claimsOf(), '[]'), 'malformed'],
  ['header with a key twice', signed(claimsOf(), `{"alg":"none","alg":"RS256","kid":"${KEY_ID}"}`), 'malformed'],
  ['expired', signed(claimsOf({ iat: NOW - 3600, nbf: NOW - 3610, exp: NOW - 3540 })), 'expired'],
  ['not yet valid', signed(claimsOf({ nbf: NOW + 3600 })), 'not-yet-valid'],
  ['issued in the future', signed(claimsOf({ iat: NOW + 30 })), 'not-yet-valid'],
  ['no exp', signed(without(claimsOf(), 'exp')), 'times'],
  ['no iat', signed(without(claimsOf(), 'iat')), 'times'],
  ['no nbf', signed(without(claimsOf(), 'nbf')), 'times'],
  ['exp as text', signed(claimsOf({ exp: String(NOW + 60) })), 'times'],
  ['nbf as text', signed(claimsOf({ nbf: '0' })), 'times'],
  ['exp in milliseconds', signed(claimsOf({ exp: NOW * 1000 })), 'times'],
  ['exp without end', signed(json.replace(`"exp":${NOW + 60}`, '"exp":1e999')), 'times'],
  ['exp as a huge number', signed(json.replace(`"exp":${NOW + 60}`, `"exp":${'9'.repeat(400)}`)), 'times'],
  ['negative iat', signed(claimsOf({ iat: -1 })), 'times'],
  ['a life of a year, as of a template', signed(claimsOf({ exp: NOW + 31_536_000 })), 'times'],
  ['exp before iat', signed(claimsOf({ exp: NOW, iat: NOW })), 'times'],
  ['wrong azp', signed(claimsOf({ azp: 'https://elsewhere.test' })), 'authorized-party'],
  ['azp with another port', signed(claimsOf({ azp: `${ORIGIN}:8080` })), 'authorized-party'],
  ['azp with a slash', signed(claimsOf({ azp: `${ORIGIN}/` })), 'authorized-party'],
  ['azp in capitals', signed(claimsOf({ azp: ORIGIN.toUpperCase() })), 'authorized-party'],
  ['azp as a list', signed(claimsOf({ azp: [ORIGIN] })), 'authorized-party'],
  ['azp empty', signed(claimsOf({ azp: '' })), 'authorized-party'],
  ['no azp', signed(without(claimsOf(), 'azp')), 'authorized-party'],
  ['wrong iss', signed(claimsOf({ iss: 'https://other-1.clerk.accounts.dev' })), 'issuer'],
  ['iss with a slash', signed(claimsOf({ iss: `${ISSUER}/` })), 'issuer'],
  ['iss as a list', signed(claimsOf({ iss: [ISSUER] })), 'issuer'],
  ['no iss', signed(without(claimsOf(), 'iss')), 'issuer'],
  ['audience of somebody else', signed(claimsOf({ aud: 'https://elsewhere.test' })), 'audience'],
  ['audience of numbers', signed(claimsOf({ aud: [1, ORIGIN] })), 'audience'],
  ['pending', signed(claimsOf({ sts: 'pending' })), 'pending'],
  ['sts as a number', signed(claimsOf({ sts: 1 })), 'pending'],
  ['sts null', signed(claimsOf({ sts: null })), 'pending'],
  ['somebody in the place of the person', signed(claimsOf({ act: { sub: 'user_2admin' } })), 'actor'],
  ['no sub', signed(without(claimsOf(), 'sub')), 'subject'],
  ['sub of an organisation', signed(claimsOf({ sub: 'org_2acme' })), 'subject'],
  ['sub as a list', signed(claimsOf({ sub: ['user_2alice'] })), 'subject'],
  ['sub with a quote', signed(claimsOf({ sub: "user_2alice'--" })), 'subject'],
  ['sub with a line feed', signed(claimsOf({ sub: 'user_2alice\n' })), 'subject'],
  ['no sid, as a template', signed(without(claimsOf(), 'sid')), 'session'],
  ['version 3', signed(claimsOf({ v: 3 })), 'version'],
  ['version as text', signed(claimsOf({ v: '2' })), 'version'],
  ['o in version 1', signed(without(claimsOf(), 'v')), 'version'],
  ['both kinds of organisation', signed(claimsOf({ org_id: 'org_2other' })), 'version'],
  ['o as text', signed(claimsOf({ o: 'org_2acme' })), 'organization'],
  ['o null', signed(claimsOf({ o: null })), 'organization'],
  ['o without id', signed(claimsOf({ o: { rol: 'admin' } })), 'organization'],
  ['organisation of another shape', signed(claimsOf({ o: { id: 'user_2alice' } })), 'organization'],
  ['sub twice', signed(json.replace('"sub"', '"sub":"user_2somebodyelse","sub"')), 'malformed'],
  ['sub twice, once escaped', signed(json.replace('"sub"', '"s\\u0075b":"user_2somebodyelse","sub"')), 'malformed'],
  ['claims are a list', signed('[]'), 'malformed'],
  ['claims are null', signed('null'), 'malformed'],
  ['claims are no JSON', signed('{'), 'malformed'],
  ['claims without end', signed(`{"a":${'['.repeat(900)}${']'.repeat(900)}}`), 'malformed'],
  ['claims in a prototype', signed(`{"__proto__":${json}}`), 'issuer'],
  ['claims with a byte order mark', signed(`\ufeff${json}`), 'malformed'],
  ['claims in broken UTF-8', `${goodHeader}.${part(Buffer.from([0x7b, 0xff, 0x7d]))}.${goodSignature}`, 'malformed'],
  ['padding', `${goodHeader}.${goodClaims}.${goodSignature}==`, 'malformed'],
  ['ordinary base64', `${goodHeader}.${goodClaims}.${Buffer.from(goodSignature, 'base64url').toString('base64').replace('=', '')}+/`, 'malformed'],
  ['white space', ` ${good}`, 'malformed'],
  ['a token of Twenty', hmac({ alg: 'HS256', typ: 'JWT' }, { sub: 'x', type: 'ACCESS', iat: NOW, exp: NOW + 60 }, 's'), 'algorithm'],
];

test('every attack is refused, for its own reason', async () => {
  const wrong: string[] = [];
  for (const [name, token, expected] of ATTACKS) {
    const reason = await reasonOf(token);
    if (reason !== expected) wrong.push(`${name}: ${reason} instead of ${expected}`);
  }
  assert.deepEqual(wrong, []);
  assert.equal(await reasonOf(good), 'accepted', 'the token that the attacks are made from is a good one');
});

test('a key that is none for RSA never verifies', async () => {
  assert.equal(await reasonOf(good, keysWith([KEY_ID, ec.publicKey])), 'signature');
});

test('a token with another issuer costs no look at the key set', async () => {
  const keys = { find: async () => assert.fail('asked') };
  assert.equal(await reasonOf(signed(claimsOf({ iss: 'https://evil.test' })), keys), 'issuer');
});

test('not knowing the keys is neither yes nor no', async () => {
  const keys = { find: async () => Promise.reject(new KeysUnavailable('away')) };
  await assert.rejects(check(good, keys), KeysUnavailable);
});

test('whatever single character of a token changes, it is refused', async () => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ';
  const random = chance(7);
  for (let round = 0; round < 1500; round += 1) {
    const at = Math.floor(random() * good.length);
    const letter = alphabet[Math.floor(random() * alphabet.length)] ?? 'A';
    const changed = good.slice(0, at) + letter + good.slice(at + 1);
    if (changed !== good) assert.notEqual(await reasonOf(changed), 'accepted', changed);
  }
});

test('claims of any type are refused or accepted, and never throw', () => {
  const random = chance(11);
  const values = [null, true, 0, -1, 1e300, '', 'x', [], {}, [ORIGIN], { id: 'org_2acme' }, NOW, 'user_2alice', ISSUER];
  const names = Object.keys(claimsOf());
  for (let round = 0; round < 3000; round += 1) {
    const name = names[Math.floor(random() * names.length)] ?? 'sub';
    const value = values[Math.floor(random() * values.length)];
    const claims = claimsOf({ [name]: value });
    const verdict = readSessionClaims(claims, { ...SETTINGS, now: NOW });
    if (verdict.ok) {
      assert.equal(verdict.session.clerkUserId, claims.sub);
      assert.equal(claims.iss, ISSUER);
      assert.equal(claims.azp, ORIGIN);
    }
  }
});

test('strict JSON: what it takes is what JSON.parse takes, without doubles', () => {
  assert.deepEqual(parseStrictObject('{"a":{"a":1},"b":[{"a":1},{"a":2}]}'), { a: { a: 1 }, b: [{ a: 1 }, { a: 2 }] });
  assert.deepEqual(parseStrictObject('{"a":"\\"a\\":{","b":"}"}'), { a: '"a":{', b: '}' });
  for (const text of ['', '1', '"a"', 'null', '[]', '{"a":1,"a":2}', '{"b":{"a":1,"a":1}}', '{"a":1} ,', '{"a":1,}'])
    assert.equal(parseStrictObject(text), undefined, text);
  assert.equal(fieldOf({}, 'toString'), undefined);
});

test('only Bearer with one word is a token', () => {
  assert.equal(readBearer('Bearer abc'), 'abc');
  assert.equal(readBearer('bearer abc'), 'abc');
  for (const header of [undefined, '', 'Bearer', 'Bearer ', 'Basic abc', 'Bearer a b', 'abc', 'Bearer  abc'])
    assert.equal(readBearer(header), undefined, String(header));
});
