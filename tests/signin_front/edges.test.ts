import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CLERK_LOOP_MEMORY_KEY, readClerkLoopMemory, writeClerkLoopMemory } from '../../files/twenty/overlay/packages/twenty-front/src/modules/auth/clerk/clerkLoopMemory.ts';
import { getClerkHomeAddress, getClerkReturnAddress, isTwentySignInPage } from '../../files/twenty/overlay/packages/twenty-front/src/modules/auth/clerk/getClerkReturnAddress.ts';
import { findClerkKeyProblem, readClerkSettings } from '../../files/twenty/overlay/packages/twenty-front/src/modules/auth/clerk/readClerkSettings.ts';
import { readSourceCodeUrl } from '../../files/twenty/overlay/packages/twenty-front/src/modules/auth/clerk/readSourceCodeUrl.ts';
import { CLERK_SETUP_STEPS } from '../../files/twenty/overlay/packages/twenty-front/src/modules/auth/clerk/clerkSessionTypes.ts';
import { endClerkSession, parseRetryAfter, readClerkExchangeAnswer, requestClerkSession } from '../../files/twenty/overlay/packages/twenty-front/src/modules/auth/clerk/requestClerkSession.ts';

const CRM = 'http://10.77.1.10';
const key = (host: string, kind = 'test') => `pk_${kind}_${Buffer.from(`${host}$`).toString('base64')}`;

test('the return address is this page, whatever a stranger put into it', () => {
  for (const [page, back] of [
    ['/objects/people?view=7#row-3', '/objects/people?view=7#row-3'],
    ['/settings/profile', '/settings/profile'],
    ['/', '/'],
    ['/welcome?email=a', '/'],
    ['/reset-password/abc', '/'],
    ['/invite/abc?inviteToken=x', '/'],
    ['/verify?loginToken=x', '/'],
    ['/verification-of-deeds', '/verification-of-deeds'],
    ['/?redirect_url=https://evil.example', '/'],
    ['/a?x=1&sign_in_force_redirect_url=https://evil.example&after_sign_in_url=//evil.example', '/a?x=1'],
    ['/a?__clerk_db_jwt=secret&y=2', '/a?y=2'],
    ['/a#/?redirect_url=https://evil.example', '/a'],
    ['//evil.example/x', '//evil.example/x'], // a path of ours, not a host
  ]) {
    const got = getClerkReturnAddress(CRM + page);
    assert.equal(got, CRM + back);
    assert.equal(new URL(got).origin, CRM);
    assert.equal(getClerkHomeAddress(CRM + page, 'https://acme.crm.test'), `https://acme.crm.test${back}`, 'the same page at home');
  }
  assert.equal(getClerkReturnAddress('http://user:word@10.77.1.10/x'), `${CRM}/x`);
  assert.ok(isTwentySignInPage('/welcome') && !isTwentySignInPage('/welcomes') && !isTwentySignInPage('/objects/verify'));
});

test('publishable keys: what can be one passes, what cannot is named', () => {
  for (const good of [key('lab-1.clerk.accounts.dev'), key('clerk.example.com', 'live'), key('clerk.example.com').replace(/=+$/, '')]) {
    assert.equal(findClerkKeyProblem(good), null, good);
  }
  for (const bad of [
    '', ' ', undefined, null, 7, 'pk_test_', 'pk_test_YOUR_KEY', 'sk_test_abc', 'pk_prod_abc', key('localhost'), key(''), key('a b.c'),
    key('clerk.example.com').slice(0, -8), `${key('clerk.example.com')}\n`, key('clerk.example.com/path'), key('evil.example$.clerk.dev'),
    `pk_test_${Buffer.from('clerk.example.com').toString('base64')}`, '<script>', 'pk_test_%%%',
  ]) {
    assert.match(findClerkKeyProblem(bad) ?? 'NONE', /publishable key/, String(bad));
  }
});

test('settings of Clerk: off, on, wrong', () => {
  assert.deepEqual(readClerkSettings(null), { kind: 'off' });
  assert.deepEqual(readClerkSettings(undefined), { kind: 'off' });
  for (const wrong of [{}, '', 'pk_test_x', 0, [], { publishableKey: 'pk' }]) {
    assert.equal(readClerkSettings(wrong).kind, 'wrong', JSON.stringify(wrong));
  }
  assert.deepEqual(readClerkSettings({ publishableKey: key('clerk.example.com'), proxyUrl: '', clerkJSUrl: null }), {
    kind: 'on',
    settings: { publishableKey: key('clerk.example.com'), proxyUrl: undefined, clerkJSUrl: undefined },
  });
});

test('the source is offered where a browser may go, and nowhere else', () => {
  assert.equal(readSourceCodeUrl('https://git.example/crm'), 'https://git.example/crm');
  for (const bad of [null, undefined, '', 'javascript:alert(1)', 'data:text/html,x', 'not an address', 7]) {
    assert.equal(readSourceCodeUrl(bad), null);
  }
});

const TOKEN = { token: 't', expiresAt: '2030-01-01T00:00:00Z' };
const BODY = {
  status: 'signed-in', workspaceId: 'w', userId: 'u', clerkUserId: 'user_a', organizationId: 'org_a',
  tokens: { accessOrWorkspaceAgnosticToken: TOKEN, refreshToken: TOKEN },
};

test('what an answer means; what is not understood is never a way in', () => {
  const read = (status: number, body: unknown, retryAfter: string | null = null) => readClerkExchangeAnswer(status, retryAfter, body, 0);
  assert.equal(read(200, BODY).kind, 'signed-in');
  for (const kind of ['no-organization', 'workspace-provisioning', 'not-a-member', 'suspended', 'banned', 'locked', 'session-ended']) {
    assert.deepEqual(read(200, { status: kind }), { kind });
  }
  for (const waitingFor of ['no-room', 'too-many-organizations']) {
    assert.deepEqual(read(200, { status: 'workspace-provisioning', reason: waitingFor }), { kind: 'workspace-provisioning', waitingFor });
  }
  for (const step of CLERK_SETUP_STEPS) {
    assert.deepEqual(read(200, { status: 'workspace-provisioning', step }), { kind: 'workspace-provisioning', step });
  }
  assert.deepEqual(read(200, { status: 'workspace-provisioning', step: 'later', reason: '<b>' }), { kind: 'workspace-provisioning' });
  assert.deepEqual(read(401, BODY), { kind: 'unauthorized' });
  for (const status of [201, 204, 301, 400, 403, 404, 405, 429, 500, 502, 503]) {
    assert.equal(read(status, BODY).kind, 'unavailable');
  }
  assert.deepEqual(read(503, null, '7'), { kind: 'unavailable', retryAfterSeconds: 7 });
  for (const field of Object.keys(BODY)) {
    assert.equal(read(200, { ...BODY, [field]: undefined }).kind, 'unavailable', field);
    assert.equal(read(200, { ...BODY, [field]: '' }).kind, 'unavailable', field);
  }
  for (const home of ['https://acme.crm.test', 'http://acme.crm.test:8080']) {
    assert.deepEqual(read(200, { status: 'elsewhere', organizationId: 'org_a', home }), { kind: 'elsewhere', home });
  }
  for (const home of [undefined, '', 7, 'acme.crm.test', '//acme.crm.test', 'https://acme.crm.test/', 'https://a@acme.crm.test', 'javascript:alert(1)']) {
    assert.equal(read(200, { status: 'elsewhere', home }).kind, 'unavailable', String(home));
  }
  for (const nonsense of ['<!doctype html>', null, [], 7, { status: 'welcome' }, { ...BODY, tokens: { refreshToken: TOKEN } }]) {
    assert.equal(read(200, nonsense).kind, 'unavailable');
  }
});

test('Retry-After: seconds, a date, nonsense', () => {
  const now = Date.parse('2030-01-01T00:00:00Z');
  assert.equal(parseRetryAfter('12', now), 12);
  assert.equal(parseRetryAfter('Tue, 01 Jan 2030 00:00:30 GMT', now), 30);
  assert.equal(parseRetryAfter('Mon, 31 Dec 2029 00:00:30 GMT', now), 0);
  for (const nothing of [null, '', 'soon', '-5 apples']) {
    assert.equal(parseRetryAfter(nothing, now), null);
  }
});

test('a request carries the token in its header alone, follows no redirect, and never throws', async () => {
  const asked: [string, RequestInit][] = [];
  const ask = (answer: () => Promise<Response>) =>
    requestClerkSession({
      url: `${CRM}/clerk/session`,
      sessionToken: 'clerk-token',
      fetchFn: ((url: string, init: RequestInit) => (asked.push([url, init]), answer())) as unknown as typeof fetch,
    });
  assert.equal((await ask(async () => Response.json(BODY))).kind, 'signed-in');
  const [[url, init]] = asked;
  assert.equal(url, `${CRM}/clerk/session`);
  assert.equal(new Headers(init.headers).get('authorization'), 'Bearer clerk-token');
  assert.deepEqual([init.method, init.redirect, init.cache, init.body], ['POST', 'error', 'no-store', '{}']);
  assert.deepEqual(await ask(async () => new Response('', { status: 429, headers: { 'Retry-After': '4' } })), { kind: 'unavailable', retryAfterSeconds: 4 });
  assert.equal((await ask(async () => new Response('<!doctype html>', { status: 200 }))).kind, 'unavailable');
  assert.equal((await ask(() => Promise.reject(new TypeError('offline')))).kind, 'unavailable');
});

test('signing out tells the server with the token in its header alone, and never throws', async () => {
  const asked: RequestInit[] = [];
  const end = (answer: () => Promise<Response>) =>
    endClerkSession({
      url: `${CRM}/clerk/session`,
      sessionToken: 'clerk-token',
      fetchFn: ((_url: string, init: RequestInit) => (asked.push(init), answer())) as unknown as typeof fetch,
    });
  assert.equal(await end(async () => new Response(null, { status: 204 })), true);
  assert.equal(new Headers(asked[0].headers).get('authorization'), 'Bearer clerk-token');
  assert.deepEqual([asked[0].method, asked[0].redirect, asked[0].cache], ['DELETE', 'error', 'no-store']);
  assert.equal(await end(async () => new Response('', { status: 401 })), false);
  assert.equal(await end(() => Promise.reject(new TypeError('offline'))), false);
});

test('what the tab remembers survives damage and a browser without storage', () => {
  const empty = { redirects: [], refusals: [], restarts: [], moves: [] };
  for (const kept of [null, '', '{', '[]', '7', '"x"', '{"redirects":"x","refusals":[1,"2",null],"restarts":{}}']) {
    const memory = readClerkLoopMemory({ getItem: () => kept });
    assert.deepEqual(memory, kept?.includes('refusals') ? { ...empty, refusals: [1] } : empty);
  }
  const storage = new Map<string, string>();
  writeClerkLoopMemory({ setItem: (name, value) => void storage.set(name, value) }, { ...empty, redirects: [5] });
  assert.deepEqual(readClerkLoopMemory({ getItem: (name) => storage.get(name) ?? null }).redirects, [5]);
  assert.ok(storage.has(CLERK_LOOP_MEMORY_KEY));
  const refuse = () => {
    throw new Error('denied');
  };
  assert.deepEqual(readClerkLoopMemory({ getItem: refuse }), empty);
  writeClerkLoopMemory({ setItem: refuse }, empty);
});
