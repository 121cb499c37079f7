import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ClerkApiUnavailable, fetchPerson, readProfile, type ClerkProfile } from 'src/auth/clerk/pure/clerk-api';
import { readClerkClientConfig, readClerkSettings } from 'src/auth/clerk/pure/clerk-settings';
import { readEmailAddress } from 'src/auth/clerk/pure/email-address';
import { KeysUnavailable } from 'src/auth/clerk/pure/key-set';
import { decodePublishableKey } from 'src/auth/clerk/pure/publishable-key';
import { answerOf, endSession, exchangeSession, labelsOf, type ExchangePorts, type Outcome, type Tenant } from 'src/auth/clerk/pure/session-exchange';
import { isSubdomainModeOn } from 'src/auth/clerk/pure/subdomain-mode';
import { type VerifierSettings } from 'src/auth/clerk/pure/session-token';

import { claimsOf, ISSUER, KEYS, NOW, pair, SETTINGS, signed, without } from './tokens.ts';

const HOST = 'lab-1.clerk.accounts.dev';
const PUBLISHABLE = `pk_test_${Buffer.from(`${HOST}$`).toString('base64').replace(/=+$/, '')}`;
const TOKENS = {
  accessOrWorkspaceAgnosticToken: { token: 'access', expiresAt: '2027-01-01T00:00:00.000Z' },
  refreshToken: { token: 'refresh', expiresAt: '2027-01-01T00:00:00.000Z' },
};
const ALICE: ClerkProfile = { clerkUserId: 'user_2alice', email: 'alice@lab.test', emailVerified: true, firstName: 'Alice', lastName: '' };
const ACTIVE: Tenant = { workspaceId: 'workspace-1', status: 'active' };

const ask = async (changes: Partial<ExchangePorts> = {}, token = signed(), settings: VerifierSettings = SETTINGS) => {
  const done: string[] = [];
  const ports: ExchangePorts = {
    keys: KEYS,
    now: () => NOW,
    admit: async () => true,
    admitSession: async () => ({ kind: 'good' }),
    findTenant: async () => ACTIVE,
    findUserId: async () => 'user-1',
    fetchProfile: async () => ALICE,
    ensureUser: async () => { done.push('ensured'); return 'user-1'; },
    isInStep: () => false,
    isMember: async () => true,
    issueTokens: async (userId, workspaceId) => { done.push(`issued ${userId} ${workspaceId}`); return TOKENS; },
    findHome: async () => null,
    ...changes,
  };
  const outcome = await exchangeSession({ authorization: `Bearer ${token}`, address: '10.0.0.1' }, settings, ports);
  return { outcome, answer: answerOf(outcome), done };
};
const unavailable = async () => Promise.reject(new ClerkApiUnavailable('status 500', 9));

test('signed in: tokens for exactly the workspace of the organisation', async () => {
  const { answer, done } = await ask();
  assert.deepEqual(answer, {
    status: 200,
    headers: { 'Cache-Control': 'no-store' },
    body: { status: 'signed-in', workspaceId: 'workspace-1', userId: 'user-1', clerkUserId: 'user_2alice', organizationId: 'org_2acme', tokens: TOKENS },
  });
  assert.deepEqual(done, ['ensured', 'issued user-1 workspace-1']);
});

test('why a workspace is not made yet is told, where there is a reason', async () => {
  const { answer } = await ask({ findTenant: async () => ({ workspaceId: null, status: 'provisioning', waitingFor: 'no-room' }) });
  assert.deepEqual(answer.body, { status: 'workspace-provisioning', organizationId: 'org_2acme', reason: 'no-room' });
});

test('a workspace that is being made says how far it is, and lets nobody in before it has its data model', async () => {
  const made = { workspaceId: 'workspace-1', status: 'active' as const };
  for (const [step, tenant] of [
    ['announced', null],
    ['workspace', { workspaceId: null, status: 'provisioning' as const }],
    ['workspace', { ...made, status: 'provisioning' as const, lacksDataModel: true }],
    ['data-model', { ...made, lacksDataModel: true }],
  ] as const) {
    const { answer, done } = await ask({ findTenant: async () => tenant });
    assert.deepEqual(answer.body, { status: 'workspace-provisioning', organizationId: 'org_2acme', step });
    assert.deepEqual(done, [], 'nobody is looked up, nothing issued');
  }
  assert.equal((await ask({ findTenant: async () => ({ ...made, lacksDataModel: false }) })).answer.body.status, 'signed-in');
  assert.equal((await ask({ findTenant: async () => ({ ...made, status: 'suspended', lacksDataModel: true }) })).answer.body.status, 'suspended');
});

test('each reason why not yet, and no token with it', async () => {
  const cases: Array<[string, Partial<ExchangePorts>, string?]> = [
    ['no-organization', {}, signed(without(claimsOf(), 'o'))],
    ['suspended', { findTenant: async () => ({ workspaceId: 'workspace-1', status: 'suspended' }) }],
    ['not-a-member', { isMember: async () => false }],
  ];
  for (const [status, changes, token] of cases) {
    const { answer, done } = await ask(changes, token ?? signed());
    const organization = status === 'no-organization' ? {} : { organizationId: 'org_2acme' };
    assert.deepEqual(answer, { status: 200, headers: { 'Cache-Control': 'no-store' }, body: { status, ...organization } });
    assert.ok(!done.some((step) => step.startsWith('issued')));
  }
});

test('subdomain mode: tokens at the address of the workspace alone, and elsewhere the way there', async () => {
  const settings = { ...SETTINGS, subdomainsOf: 'https://crm.test' };
  const from = async (azp: string, changes: Partial<ExchangePorts> = {}) =>
    await ask({ findHome: async () => 'https://acme.crm.test', ...changes }, signed(claimsOf({ azp })), settings);
  const home = await from('https://acme.crm.test');
  assert.equal(home.answer.body.status, 'signed-in');
  for (const azp of [SETTINGS.authorizedParties[0], 'https://globex.crm.test', 'https://app.crm.test']) {
    const { answer, done, outcome } = await from(azp);
    assert.deepEqual(answer, {
      status: 200,
      headers: { 'Cache-Control': 'no-store' },
      body: { status: 'elsewhere', organizationId: 'org_2acme', home: 'https://acme.crm.test' },
    });
    assert.ok(!done.some((step) => step.startsWith('issued')), azp);
    assert.ok(!JSON.stringify(labelsOf(outcome)).includes('acme'));
  }
  const stranger = await from('https://globex.crm.test', { isMember: async () => false });
  assert.equal(stranger.answer.body.status, 'not-a-member', 'the address of a tenant is told to its members');
});

test('subdomain mode: whose page may ask', async () => {
  const settings = { ...SETTINGS, subdomainsOf: 'https://crm.test:8443' };
  const of = async (azp: string) => (await ask({}, signed(claimsOf({ azp })), settings)).answer.status;
  for (const azp of ['https://acme.crm.test:8443', 'https://w-1.crm.test:8443', SETTINGS.authorizedParties[0]]) assert.equal(await of(azp), 200, azp);
  for (const azp of [
    'https://crm.test:8443', 'https://.crm.test:8443', 'https://a.b.crm.test:8443', 'https://evilcrm.test:8443', 'https://acme.crm.test', 'http://acme.crm.test:8443',
    'https://acme.crm.test:8443/', 'https://acme.crm.test:8443.evil.test', 'https://x@acme.crm.test:8443', 'https://ACME.crm.test:8443', 'https://-.crm.test:8443', 'acme.crm.test',
  ])
    assert.equal(await of(azp), 401, azp);
  assert.equal((await ask({}, signed(claimsOf({ azp: 'https://acme.crm.test:8443' })))).answer.status, 401, 'not without the mode');
});

test('whom Clerk does not let in any more gets no token, and the page learns why', async () => {
  const never = { findTenant: async () => assert.fail('looked further') };
  for (const [admission, status] of [
    [{ kind: 'over' }, 'session-ended'],
    [{ kind: 'refused', reason: 'banned' }, 'banned'],
    [{ kind: 'refused', reason: 'locked' }, 'locked'],
    [{ kind: 'refused', reason: 'not-a-member' }, 'not-a-member'],
  ] as const) {
    const { answer, outcome } = await ask({ ...never, admitSession: async () => admission });
    assert.deepEqual(answer, { status: 200, headers: { 'Cache-Control': 'no-store' }, body: { status, organizationId: 'org_2acme' } });
    assert.ok(!JSON.stringify(labelsOf(outcome)).includes('acme'));
  }
  const deleted = await ask({ ...never, admitSession: async () => ({ kind: 'refused', reason: 'deleted' }) });
  assert.deepEqual(deleted.answer, (await ask({}, `${signed()}x`)).answer, 'as everything else that is refused');
});

test('a person whom Clerk was asked for by the way is not asked for twice', async () => {
  const { answer, done } = await ask({
    admitSession: async () => ({ kind: 'good', profile: ALICE }),
    fetchProfile: async () => assert.fail('asked Clerk'),
  });
  assert.equal(answer.body.status, 'signed-in');
  assert.equal(done[0], 'ensured');
});

test('signing out: by a token of Clerk, by one of ours, by nothing else', async () => {
  const ended: string[] = [];
  const end = async (authorization: string | undefined, changes = {}) =>
    (
      await endSession({ authorization, address: '10.0.0.1' }, SETTINGS, {
        keys: KEYS,
        now: () => NOW,
        admit: async () => true,
        end: async ({ sessionId, clerkUserId }) => void ended.push(`${sessionId} ${clerkUserId}`),
        endByAccessToken: async (token) => token === 'ours' && ended.push(token) > 0,
        ...changes,
      })
    ).status;
  assert.equal(await end(`Bearer ${signed()}`), 204);
  assert.equal(await end('Bearer ours'), 204);
  assert.deepEqual(ended, [`${claimsOf().sid} user_2alice`, 'ours']);
  for (const other of [undefined, '', 'Bearer', 'Basic ours', 'Bearer theirs', `Bearer ${signed()}x`]) assert.equal(await end(other), 401, String(other));
  assert.equal(ended.length, 2);
  assert.equal(await end(`Bearer ${signed()}`, { admit: async () => false }), 429);
  assert.equal(await end(`Bearer ${signed()}`, { keys: { find: async () => Promise.reject(new KeysUnavailable('away')) } }), 503);
});

test('nobody is made a user before their workspace is there', async () => {
  const never = { fetchProfile: async () => assert.fail('asked Clerk'), ensureUser: async () => assert.fail('made a user') };
  await ask({ ...never, findTenant: async () => null });
  await ask(never, signed(without(claimsOf(), 'o')));
});

test('whoever is known and in step costs no call to Clerk', async () => {
  const { answer } = await ask({ isInStep: () => true, fetchProfile: async () => assert.fail('asked Clerk') });
  assert.equal(answer.body.status, 'signed-in');
});

test('Clerk unreachable: the known come in, for others it is 503', async () => {
  assert.equal((await ask({ fetchProfile: unavailable })).answer.body.status, 'signed-in');
  const stranger = await ask({ fetchProfile: unavailable, findUserId: async () => null });
  assert.deepEqual(stranger.answer, { status: 503, headers: { 'Cache-Control': 'no-store', 'Retry-After': '9' }, body: { error: 'unavailable' } });
  assert.deepEqual(stranger.done, []);
  const keyless = await ask({ keys: { find: async () => Promise.reject(new KeysUnavailable('away')) } });
  assert.equal(keyless.answer.status, 503);
  assert.ok(Number(keyless.answer.headers['Retry-After']) > 0);
});

test('a person whom Clerk does not know any more is refused as everything else', async () => {
  const gone = await ask({ fetchProfile: async () => null });
  const forged = await ask({}, `${signed()}x`);
  assert.equal(gone.answer.status, 401);
  assert.equal(JSON.stringify(gone.answer), JSON.stringify(forged.answer));
});

test('too often: 429 with Retry-After, by address before anything is looked at, by person after', async () => {
  const byAddress = await ask({ admit: async (key) => key !== 'address:10.0.0.1', keys: { find: async () => assert.fail('looked') } });
  const byPerson = await ask({ admit: async (key) => key !== 'person:user_2alice', findTenant: async () => assert.fail('looked') });
  for (const { answer } of [byAddress, byPerson])
    assert.deepEqual(answer, { status: 429, headers: { 'Cache-Control': 'no-store', 'Retry-After': '10' }, body: { error: 'too-many-requests' } });
});

test('a mistake of ours is thrown, not answered', async () => {
  await assert.rejects(ask({ findTenant: async () => Promise.reject(new Error('database away')) }), /database away/);
});

test('log labels name nobody', async () => {
  const labels = new Set<string>();
  for (const changes of [{}, { isMember: async () => false }, { fetchProfile: async () => null }, { admit: async () => false }])
    labels.add(JSON.stringify(labelsOf((await ask(changes)).outcome)));
  labels.add(JSON.stringify(labelsOf((await ask({}, 'x')).outcome as Outcome)));
  assert.equal(labels.size, 5);
  assert.ok(![...labels].some((label) => /alice|acme|user_|org_|workspace-1|access/.test(label)));
});

test('a publishable key says the issuer and the key set', () => {
  assert.deepEqual(decodePublishableKey(PUBLISHABLE), { kind: 'test', host: HOST, issuer: ISSUER, keySetUrl: `${ISSUER}/.well-known/jwks.json` });
  const of = (text: string, prefix = 'pk_test_') => decodePublishableKey(prefix + Buffer.from(text).toString('base64'));
  assert.equal(of('clerk.example.com$', 'pk_live_')?.kind, 'live');
  for (const text of ['', '$', HOST, 'localhost$', 'a.b/$', `${HOST}:443$`, `x@${HOST}$`, `${HOST}$$`, 'A.example.com$', '-a.example.com$', `${HOST}\n$`])
    assert.equal(of(text), undefined, text);
  for (const key of ['', 'pk_test_', `sk_test_${PUBLISHABLE.slice(8)}`, `${PUBLISHABLE}!`, ` ${PUBLISHABLE}`, 'pk_prod_YWJj']) assert.equal(decodePublishableKey(key), undefined, key);
});

const ENVIRONMENT = { NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY: PUBLISHABLE, CLERK_SECRET_KEY: 'sk_test_0123456789', SERVER_URL: 'http://10.77.1.10/' };

test('settings: off without a key, complete with one', () => {
  assert.equal(readClerkSettings({}), null);
  assert.equal(readClerkSettings({ NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY: ' ', CLERK_SECRET_KEY: 'x' }), null);
  assert.deepEqual(readClerkSettings({ ...ENVIRONMENT, CLERK_JWT_KEY: '', CLERK_API_URL: '' }), {
    publishableKey: PUBLISHABLE, secretKey: 'sk_test_0123456789', issuer: ISSUER, authorizedParties: ['http://10.77.1.10'],
    keySetUrl: `${ISSUER}/.well-known/jwks.json`, apiUrl: 'https://api.clerk.com', jwtKey: undefined,
  });
  const pem = pair.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const full = readClerkSettings({ ...ENVIRONMENT, CLERK_JWT_KEY: pem, CLERK_AUTHORIZED_PARTIES: 'https://a.test, https://b.test:8443/' });
  assert.deepEqual(full?.authorizedParties, ['https://a.test', 'https://b.test:8443']);
  assert.ok(full?.jwtKey);
});

test('settings: subdomain mode is as upstream has it, and needs a name', () => {
  const below = (more: Record<string, string>) => readClerkSettings({ ...ENVIRONMENT, ...more })?.subdomainsOf;
  const on = { IS_MULTIWORKSPACE_ENABLED: 'true', SERVER_URL: 'https://crm.test/' };
  assert.equal(below(on), 'https://crm.test');
  assert.equal(below({ ...on, FRONTEND_URL: 'https://www.test:8443/x' }), 'https://www.test:8443');
  for (const on of ['true', ' TRUE ', '1', 'yes', 'on']) assert.ok(isSubdomainModeOn({ IS_MULTIWORKSPACE_ENABLED: on }), on);
  for (const off of ['', 'false', '0', 'no']) assert.equal(below({ ...on, IS_MULTIWORKSPACE_ENABLED: off }), undefined, off);
  for (const [name, value] of [['SERVER_URL', 'http://10.77.1.10'], ['SERVER_URL', 'http://[::1]:3000'], ['FRONTEND_URL', 'http://10.77.1.10:3000']])
    assert.throws(() => below({ ...on, [name]: value }), new RegExp(`${name}: IS_MULTIWORKSPACE_ENABLED needs`), value);
});

test('settings: what is wrong is named, its value is not shown', () => {
  for (const [changes, name] of [
    [{ CLERK_SECRET_KEY: '' }, 'CLERK_SECRET_KEY'],
    [{ CLERK_SECRET_KEY: 'pk_test_secretvalue' }, 'CLERK_SECRET_KEY'],
    [{ CLERK_SECRET_KEY: 'sk_live_secretvalue' }, 'CLERK_SECRET_KEY'],
    [{ NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY: 'pk_test_secretvalue' }, 'NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY'],
    [{ CLERK_JWT_KEY: 'secretvalue' }, 'CLERK_JWT_KEY'],
    [{ CLERK_AUTHORIZED_PARTIES: 'secretvalue' }, 'CLERK_AUTHORIZED_PARTIES'],
    [{ CLERK_AUTHORIZED_PARTIES: '*' }, 'CLERK_AUTHORIZED_PARTIES'],
    [{ SERVER_URL: '' }, 'SERVER_URL'],
    [{ CLERK_JWKS_URL: 'file:///secretvalue' }, 'CLERK_JWKS_URL'],
    [{ CLERK_API_URL: 'secretvalue' }, 'CLERK_API_URL'],
    [{ SOURCE_CODE_URL: 'javascript:secretvalue' }, 'SOURCE_CODE_URL'],
  ] as Array<[Record<string, string>, string]>) {
    assert.throws(() => readClerkSettings({ ...ENVIRONMENT, ...changes }), (error: Error) => error.message.includes(`${name}:`) && !error.message.includes('secretvalue'), name);
  }
});

test('what the page learns has no secret in it', () => {
  assert.deepEqual(readClerkClientConfig({}), { clerk: null, sourceCodeUrl: null });
  assert.deepEqual(readClerkClientConfig({ ...ENVIRONMENT, CLERK_PROXY_URL: 'http://10.77.0.1:4400', CLERK_JS_URL: '', SOURCE_CODE_URL: 'https://example.org/source' }), {
    clerk: { publishableKey: PUBLISHABLE, proxyUrl: 'http://10.77.0.1:4400' }, sourceCodeUrl: 'https://example.org/source',
  });
  assert.equal(readClerkClientConfig({ SOURCE_CODE_URL: 'javascript:alert(1)' }).sourceCodeUrl, null);
});

const USER = {
  id: 'user_2alice', first_name: 'Alice\u0000\n', last_name: null, image_url: 'https://img.test/a.png', primary_email_address_id: 'idn_2',
  email_addresses: [
    { id: 'idn_1', email_address: 'boss@victim.test', verification: { status: 'verified' } },
    { id: 'idn_2', email_address: 'Alice@Lab.Test', verification: { status: 'verified' } },
  ],
};

test('a person: the primary address alone, verified only if Clerk says so of it', () => {
  assert.deepEqual(readProfile(USER, 'user_2alice'), { ...ALICE, imageUrl: 'https://img.test/a.png' });
  const unverified = structuredClone(USER);
  unverified.email_addresses[1]!.verification.status = 'unverified';
  assert.equal(readProfile(unverified, 'user_2alice')?.emailVerified, false);
  const none = readProfile({ ...USER, primary_email_address_id: null, image_url: 'javascript:x' }, 'user_2alice');
  assert.deepEqual([none?.email, none?.emailVerified, none?.imageUrl], ['', false, undefined]);
  for (const verification of [null, 'verified', undefined, {}])
    assert.equal(readProfile({ ...USER, email_addresses: [{ id: 'idn_2', email_address: 'a@b.test', verification }] }, 'user_2alice')?.emailVerified, false);
  assert.equal(readProfile(USER, 'user_2other'), undefined, 'somebody else');
  for (const answer of [null, [], {}, 'x']) assert.equal(readProfile(answer, 'user_2alice'), undefined);
});

test('the Backend API: its own word for 404 is nobody, everything else that is no person is "try again"', async () => {
  const asked: string[] = [];
  const answering = (response: () => Response) =>
    fetchPerson((async (url: string, options: RequestInit) => {
      asked.push(`${url} ${new Headers(options.headers).get('authorization')}`);
      return response();
    }) as typeof fetch, { apiUrl: 'https://api.test', secretKey: 'sk_test_x' }, 'user_2alice');
  assert.equal((await answering(() => Response.json(USER)))?.profile.email, 'alice@lab.test');
  assert.deepEqual(asked, ['https://api.test/v1/users/user_2alice Bearer sk_test_x']);
  const notFound = (body: unknown) => () => Response.json(body, { status: 404 });
  assert.equal(await answering(notFound({ errors: [{ code: 'resource_not_found' }] })), null);
  for (const [flags, standing] of [[{}, 'good'], [{ banned: true, locked: true }, 'banned'], [{ locked: true }, 'locked'], [{ banned: 'true' }, 'good']])
    assert.equal((await answering(() => Response.json({ ...USER, ...(flags as object) })))?.standing, standing);
  for (const [response, seconds] of [
    [() => new Response('', { status: 429, headers: { 'retry-after': '8' } }), 8],
    [() => new Response('', { status: 429, headers: { 'retry-after': '86400' } }), 60],
    [() => new Response('', { status: 500 }), 5],
    [() => new Response('', { status: 401 }), 5],
    [notFound({}), 5],
    [notFound({ errors: [{ code: 'not_found' }] }), 5],
    [() => new Response('<h1>404</h1>', { status: 404 }), 5],
    [() => new Response('<html>'), 5],
    [() => Response.json({ ...USER, id: 'user_2other' }), 5],
    [() => { throw new TypeError('fetch failed'); }, 5],
  ] as Array<[() => Response, number]>)
    await assert.rejects(answering(response), (error: Error) => error instanceof ClerkApiUnavailable && error.retryAfterInSeconds === seconds && !error.message.includes('sk_test'));
});

test('an address that another spelling of letters could make somebody else\'s is not verified', () => {
  const told = (email: string, firstName = 'Kim') =>
    readProfile({
      id: 'user_2alice', primary_email_address_id: 'idn_1', first_name: firstName,
      email_addresses: [{ id: 'idn_1', email_address: email, verification: { status: 'verified' } }],
    }, 'user_2alice');
  for (const [email, kept, sound] of [
    [' Kim@People.TEST ', 'kim@people.test', true],
    ['jos\u00e9@people.test', 'jos\u00e9@people.test', true],
    ['\u212aim@people.test', '\u212aim@people.test', false],
    ['kim@\u212aeople.test', 'kim@\u212aeople.test', false],
    ['\u0130ris@people.test', '\u0130ris@people.test', false],
  ] as const) {
    assert.deepEqual(readEmailAddress(email), { email: kept, sound });
    assert.equal(told(email)?.email, kept);
    assert.equal(told(email)?.emailVerified, sound);
  }
  const cut = told('a@b.test', `a${'\u{1f600}'.repeat(200)}`)?.firstName ?? '';
  assert.equal(cut, `a${'\u{1f600}'.repeat(127)}`);
  assert.equal(told('a@b.test', `ab${'\u{1f600}'.repeat(200)}`)?.firstName, `ab${'\u{1f600}'.repeat(126)}`);
});
