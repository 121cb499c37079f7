// SPDX-License-Identifier: AGPL-3.0-only
// The decisions about tenants, run by Node as they are shipped.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isClerkOn, isSingleOrigin } from '../../files/twenty/overlay/packages/twenty-server/src/auth/clerk/guards/clerk-switch.ts';
import { carriesInternalSecret, readInternalSecret } from '../../files/twenty/overlay/packages/twenty-server/src/auth/clerk/guards/internal-secret.ts';
import { isOpenToStrangers } from '../../files/twenty/overlay/packages/twenty-server/src/auth/clerk/guards/public-endpoints.ts';
import { isSessionAdmitted } from '../../files/twenty/overlay/packages/twenty-server/src/auth/clerk/guards/session-admission.ts';
import { decideIdentity, decideRoleChange, knownEmail, placeholderEmail, subdomainCandidates } from '../../files/twenty/overlay/packages/twenty-server/src/auth/clerk/tenants/tenant-decisions.ts';
import { readMember, readPage, readPerson, readTenant, readTokenRequest, readWait } from '../../files/twenty/overlay/packages/twenty-server/src/auth/clerk/tenants/tenant-input.ts';

const SECRET = 'a'.repeat(32);
const PERSON = { clerkUserId: 'user_abcdef', email: 'A@People.test', emailVerified: true, firstName: 'A', lastName: 'B' };

test('Clerk is on with a publishable key, one origin unless subdomains are asked for', () => {
  assert.equal(isClerkOn({ NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY: 'pk_test_x' }), true);
  assert.equal(isClerkOn({ NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY: ' ' }), false);
  assert.equal(isClerkOn({}), false);
  assert.equal(isSingleOrigin({ IS_MULTIWORKSPACE_ENABLED: 'true' }), false);
  assert.equal(isSingleOrigin({ IS_MULTIWORKSPACE_ENABLED: 'false' }), true);
  assert.equal(isSingleOrigin({}), true);
});

test('the internal secret is compared as a whole, and a short one is refused at start', () => {
  assert.equal(carriesInternalSecret(`Bearer ${SECRET}`, SECRET), true);
  for (const header of [undefined, '', 'Bearer', 'Bearer ', SECRET, `bearer ${SECRET}`, `Bearer ${SECRET}a`, `Bearer ${SECRET.slice(1)}`, `Bearer ${SECRET} x`]) {
    assert.equal(carriesInternalSecret(header, SECRET), false, String(header));
  }
  assert.equal(readInternalSecret({}), undefined);
  assert.equal(readInternalSecret({ TWENTYOPS_INTERNAL_SECRET: SECRET }), SECRET);
  assert.throws(() => readInternalSecret({ TWENTYOPS_INTERNAL_SECRET: 'short' }), /TWENTYOPS_INTERNAL_SECRET/);
});

test('strangers reach what is listed and nothing else', () => {
  for (const [name, handler] of [['ClientConfigController', 'getClientConfig'], ['AuthResolver', 'renewToken'], ['HealthController', 'check'], ['ClerkSessionController', 'any']]) {
    assert.equal(isOpenToStrangers(name, handler), true, name);
  }
  for (const [name, handler] of [['AuthResolver', 'signUp'], ['AuthResolver', 'checkUserExists'], ['GoogleAuthController', 'googleAuth'], ['SSOAuthController', 'samlAuth'], ['constructor', 'x'], ['Clerk', 'x'], ['NewResolver', 'anything']]) {
    assert.equal(isOpenToStrangers(name, handler), false, `${name}.${handler}`);
  }
});

test('which valid Twenty token is still good', () => {
  const facts = { hasWorkspace: true, isApiKey: false, isImpersonating: false, owner: 'session', issuedAt: 1001, tenant: { status: 'active', sessionsFrom: 1000 } } as const;
  assert.equal(isSessionAdmitted(facts), true);
  assert.equal(isSessionAdmitted({ ...facts, issuedAt: 1000 }), false);
  assert.equal(isSessionAdmitted({ ...facts, issuedAt: undefined }), false);
  assert.equal(isSessionAdmitted({ ...facts, hasWorkspace: false }), false);
  assert.equal(isSessionAdmitted({ ...facts, isImpersonating: true }), false);
  assert.equal(isSessionAdmitted({ ...facts, tenant: undefined }), true);
  assert.equal(isSessionAdmitted({ ...facts, owner: 'inside' }), true);
  assert.equal(isSessionAdmitted({ ...facts, owner: 'nobody' }), false);
  assert.equal(isSessionAdmitted({ ...facts, owner: 'nobody', tenant: undefined }), false);
  assert.equal(isSessionAdmitted({ ...facts, owner: 'nobody', isApiKey: true }), true);
  assert.equal(isSessionAdmitted({ ...facts, isApiKey: true, issuedAt: 1 }), true);
  for (const isApiKey of [true, false]) {
    assert.equal(isSessionAdmitted({ ...facts, isApiKey, tenant: { status: 'suspended', sessionsFrom: 0 } }), false);
  }
});

test('identity is the Clerk id; only a verified address links, and never to somebody else', () => {
  const person = { ...PERSON, email: 'a@people.test' };
  assert.equal(decideIdentity(person, null), 'create');
  assert.equal(decideIdentity(person, { userId: '1', clerkUserId: null }), 'link');
  assert.equal(decideIdentity(person, { userId: '1', clerkUserId: 'user_abcdef' }), 'link');
  assert.equal(decideIdentity(person, { userId: '1', clerkUserId: 'user_other' }), 'displace-and-create');
  assert.equal(decideIdentity({ ...person, emailVerified: false }, { userId: '1', clerkUserId: null }), 'create');
  assert.equal(knownEmail(PERSON), 'a@people.test');
  assert.equal(knownEmail({ ...PERSON, emailVerified: false }), placeholderEmail('user_abcdef'));
  assert.notEqual(placeholderEmail('user_abcdef'), placeholderEmail('user_ABCDEF'));
});

test('every organisation gets a valid subdomain of its own, whatever its name', () => {
  const valid = /^(?!api-)[a-z0-9][a-z0-9-]{1,28}[a-z0-9]$/;
  for (const [name, slug] of [['Acme', 'acme'], ['شركة النور', undefined], ['', ''], ['É-Ünïcode', undefined], ['x'.repeat(200), undefined], ['--', '--'], ['a b'.repeat(30), undefined]] as const) {
    const one = subdomainCandidates('org_one', name, slug);
    const other = subdomainCandidates('org_other', name, slug);
    for (const candidate of [...one, ...other]) {
      assert.match(candidate, valid, name);
    }
    assert.notEqual(one.at(-1), other.at(-1));
  }
  assert.equal(subdomainCandidates('org_one', 'Name', 'slug-of-it')[0], 'slug-of-it');
});

test("a member keeps a role of Twenty's own, an admin is Admin", () => {
  assert.equal(decideRoleChange('admin', 'admin'), 'keep');
  assert.equal(decideRoleChange('admin', 'other'), 'assign-admin');
  assert.equal(decideRoleChange('admin', 'none'), 'assign-admin');
  assert.equal(decideRoleChange('member', 'admin'), 'assign-default');
  assert.equal(decideRoleChange('member', 'none'), 'assign-default');
  assert.equal(decideRoleChange('member', 'other'), 'keep');
});

test('input is read whole, and every mistake is named', () => {
  assert.deepEqual(readPerson(PERSON, 'owner'), { ok: true, value: { ...PERSON, email: 'a@people.test' } });
  assert.equal(readPerson({ ...PERSON, firstName: null, imageUrl: null }, 'owner').ok, true);
  // U+212A would be folded to a plain k
  const kelvin = readPerson({ ...PERSON, email: '\u212aim@people.test' }, 'owner');
  assert.deepEqual(kelvin, { ok: true, value: { ...PERSON, email: '\u212aim@people.test', emailVerified: false } });
  for (const value of [null, [], 'x', 1, undefined]) {
    assert.equal(readPerson(value, 'owner').ok, false);
    assert.equal(readTenant('org_abcdef', value).ok, false);
    assert.equal(readMember('org_abcdef', 'user_abcdef', value).ok, false);
  }
  const bad = readTenant("org_'; drop", { name: '', owner: { ...PERSON, email: 'x', emailVerified: 1 } });
  assert.deepEqual(bad.ok ? [] : bad.details.map((line) => line.split(':')[0]), ['organizationId', 'name', 'owner.email', 'owner.emailVerified']);
  assert.equal(readMember('org_abcdef', 'user_another', { person: PERSON, role: 'member' }).ok, false);
  assert.equal(readMember('org_abcdef', 'user_abcdef', { person: PERSON, role: 'owner' }).ok, false);
  assert.deepEqual(readTokenRequest('org_abcdef', {}), { ok: true, value: 600 });
  assert.equal(readTokenRequest('org_abcdef', { ttlSeconds: 601 }).ok, false);
  assert.deepEqual(readPage({}), { ok: true, value: { limit: 100, offset: 0 } });
  assert.equal(readPage({ limit: '' }).ok, false);
  assert.equal(readPage({ limit: '1e9' }).ok, false);
});

test('why an organisation waits is one of two reasons, or nothing', () => {
  assert.deepEqual(readWait('org_abcd', { reason: 'no-room' }), { ok: true, value: 'no-room' });
  assert.deepEqual(readWait('org_abcd', { reason: null }), { ok: true, value: null });
  for (const [id, body] of [['org_abcd', { reason: '<b>' }], ['org_abcd', { reason: 1 }], ['org_abcd', null], ['../x', { reason: null }]] as const) {
    assert.equal(readWait(id, body).ok, false, JSON.stringify(body));
  }
});
