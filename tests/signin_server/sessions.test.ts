import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  ClerkApiUnavailable,
  fetchMembers,
  fetchOrganizationsOf,
  fetchStandings,
  isSessionLive,
  type Standing,
} from 'src/auth/clerk/pure/clerk-api';
import { BUDGET, RequestBudget } from 'src/auth/clerk/pure/request-budget';
import { Recent } from 'src/auth/clerk/pure/recent';
import { admitSession, SessionChecks, type CheckPorts, type SessionInUse } from 'src/auth/clerk/pure/session-checks';
import { type ClerkSession } from 'src/auth/clerk/pure/session-claims';
import { CONFIRM_EVERY, INSIDE, INSIDE_LIVES, judgeSession, ownerOf, TRUSTED_FOR, type SessionState } from 'src/auth/clerk/pure/session-standing';

const NOW = 1_700_000_000;
const PROFILE = { clerkUserId: 'user_2alice', email: 'alice@lab.test', emailVerified: true, firstName: 'Alice', lastName: '' };
const SESSION: ClerkSession = { clerkUserId: 'user_2alice', sessionId: 'sess_2a', organizationId: 'org_2acme', origin: 'https://crm.test', issuedAt: NOW - 30 };
const away = async (): Promise<never> => Promise.reject(new ClerkApiUnavailable('status 503', 5));

// A Clerk and a store in memory.
class World {
  now = NOW;
  asked: string[] = [];
  noted: string[] = [];
  over = new Set<string>();
  standings = new Map<string, Standing>();
  strangers = new Set<string>();
  known = { isOver: false, confirmedAt: null as number | null, refusedFor: null as null | 'banned' | 'locked' | 'deleted', refusedAt: 0, noMemberAt: null as number | null };
  ports: CheckPorts = {
    now: () => this.now,
    isSessionLive: async ({ sessionId }) => (this.asked.push(`session ${sessionId}`), !this.over.has(sessionId)),
    fetchPerson: async (id) => {
      this.asked.push(`person ${id}`);
      const standing = this.standings.get(id) ?? 'good';
      return standing === 'deleted' ? null : { profile: PROFILE, standing };
    },
    fetchStandings: async (ids) => {
      this.asked.push(`people ${ids.join()}`);
      return new Map(ids.filter((id) => this.standings.get(id) !== 'deleted').map((id) => [id, this.standings.get(id) ?? 'good']));
    },
    fetchMembers: async (organization, ids) => (this.asked.push(`members ${organization} ${ids.join()}`), new Set(ids.filter((id) => !this.strangers.has(id)))),
    fetchOrganizationsOf: async (id) => (this.asked.push(`organizations ${id}`), new Set(this.strangers.has(id) ? [] : ['org_2acme'])),
    find: async () => this.known,
    begin: async ({ sessionId }, at) => (this.noted.push(`begin ${sessionId} ${at}`), !this.known.isOver),
    end: async ({ sessionId }) => void this.noted.push(`end ${sessionId}`),
    setStandings: async (standings) => void [...standings].filter(([, one]) => one !== 'good').forEach(([id, one]) => this.noted.push(`${one} ${id}`)),
    setMembership: async (id, organization, isMember) => void this.noted.push(`${isMember ? 'member' : 'stranger'} ${id} ${organization}`),
  };
}

const STATE: SessionState = { clerkUserId: 'user_2alice', isOver: false, confirmedAt: NOW, refusedFor: null };

test('whose a token is', () => {
  const minutes = { iat: NOW, exp: NOW + INSIDE_LIVES };
  assert.deepEqual(ownerOf({ clerkSessionId: 'sess_2a' }), { kind: 'session', sessionId: 'sess_2a' });
  assert.deepEqual(ownerOf({ clerkSessionId: INSIDE, ...minutes }), { kind: 'inside' });
  for (const token of [{}, { clerkSessionId: '' }, { clerkSessionId: 7 }, { clerkSessionId: null }, { clerkSessionId: ['sess_2a'] }]) assert.equal(ownerOf(token).kind, 'nobody');
  for (const times of [{}, { iat: NOW }, { exp: NOW }, { iat: NOW, exp: NOW + INSIDE_LIVES + 1 }, { iat: 'x', exp: 'y' }])
    assert.equal(ownerOf({ clerkSessionId: INSIDE, ...times }).kind, 'nobody', 'inside is for minutes only');
});

test('a session goes on for half an hour after the last good answer, and is due after a minute', () => {
  const at = (seconds: number) => judgeSession(STATE, NOW + seconds);
  assert.deepEqual(at(0), { kind: 'good', isDue: false });
  assert.deepEqual(at(CONFIRM_EVERY - 1), { kind: 'good', isDue: false });
  assert.deepEqual(at(CONFIRM_EVERY), { kind: 'good', isDue: true });
  assert.equal(TRUSTED_FOR, 1800);
  assert.deepEqual(at(TRUSTED_FOR), { kind: 'good', isDue: true });
  assert.deepEqual(at(TRUSTED_FOR + 1), { kind: 'unconfirmed' });
  assert.deepEqual(judgeSession({ ...STATE, isOver: true, refusedFor: 'banned' }, NOW), { kind: 'over' });
  assert.deepEqual(judgeSession({ ...STATE, refusedFor: 'banned' }, NOW), { kind: 'refused', reason: 'banned' });
  assert.deepEqual(judgeSession(undefined, NOW), { kind: 'over' }, 'what is not known is over');
});

test('exchange: a session is asked for once a minute, and the person with it', async () => {
  const world = new World();
  assert.deepEqual(await admitSession(SESSION, world.ports), { kind: 'good', profile: PROFILE });
  assert.deepEqual(world.asked, ['session sess_2a', 'person user_2alice']);
  assert.deepEqual(world.noted, [`begin sess_2a ${NOW}`]);
  world.known.confirmedAt = NOW;
  world.now += CONFIRM_EVERY - 1;
  assert.deepEqual(await admitSession(SESSION, world.ports), { kind: 'good' });
  assert.equal(world.asked.length, 2);
  world.now += 1;
  await admitSession(SESSION, world.ports);
  assert.equal(world.asked.length, 4);
});

test('exchange: what is over, banned, locked or deleted at Clerk is not let in, and is noted', async () => {
  for (const standing of ['banned', 'locked', 'deleted'] as const) {
    const world = new World();
    world.standings.set('user_2alice', standing);
    world.over.add('sess_2a');
    assert.deepEqual(await admitSession(SESSION, world.ports), { kind: 'refused', reason: standing });
    assert.deepEqual(world.noted, [`${standing} user_2alice`]);
  }
  const world = new World();
  world.over.add('sess_2a');
  assert.deepEqual(await admitSession(SESSION, world.ports), { kind: 'over' });
  assert.deepEqual(world.noted, ['end sess_2a']);
});

test('exchange: what ended here stays so, whatever Clerk says', async () => {
  const world = new World();
  world.known.isOver = true;
  assert.deepEqual(await admitSession(SESSION, world.ports), { kind: 'over' });
  assert.deepEqual(world.asked, []);
  // ended while Clerk was asked
  world.known = { ...world.known, isOver: false };
  world.ports.begin = async () => false;
  assert.deepEqual(await admitSession(SESSION, world.ports), { kind: 'over' });
});

test('exchange: a refusal holds for a minute without a question, then Clerk may lift it', async () => {
  const world = new World();
  world.known = { ...world.known, refusedFor: 'locked', refusedAt: NOW - CONFIRM_EVERY + 1 };
  assert.deepEqual(await admitSession(SESSION, world.ports), { kind: 'refused', reason: 'locked' });
  assert.deepEqual(world.asked, []);
  world.now += 1;
  assert.equal((await admitSession(SESSION, world.ports)).kind, 'good');
});

test('exchange: with Clerk out of reach its own token is the last good answer; a refusal stays', async () => {
  const world = new World();
  Object.assign(world.ports, { isSessionLive: away, fetchPerson: away });
  assert.deepEqual(await admitSession(SESSION, world.ports), { kind: 'good' });
  assert.deepEqual(world.noted, [`begin sess_2a ${SESSION.issuedAt}`]);
  world.known.confirmedAt = NOW - 61;
  await admitSession({ ...SESSION, issuedAt: NOW + 4 }, world.ports);
  assert.equal(world.noted.at(-1), `begin sess_2a ${NOW}`, 'never later than now');
  world.known = { ...world.known, refusedFor: 'banned', refusedAt: 0 };
  assert.deepEqual(await admitSession(SESSION, world.ports), { kind: 'refused', reason: 'banned' });
});

test('exchange: no member at Clerk, until a later token names the organisation again', async () => {
  const world = new World();
  world.known.noMemberAt = SESSION.issuedAt;
  assert.deepEqual(await admitSession(SESSION, world.ports), { kind: 'refused', reason: 'not-a-member' });
  world.known.noMemberAt = SESSION.issuedAt - 1;
  assert.equal((await admitSession(SESSION, world.ports)).kind, 'good');
  assert.equal(world.noted.at(-1), 'member user_2alice org_2acme');
  world.known.noMemberAt = NOW;
  assert.equal((await admitSession({ ...SESSION, organizationId: null }, world.ports)).kind, 'good');
});

const inUse = (number: number, more: Partial<SessionInUse> = {}): SessionInUse => ({
  sessionId: `sess_${number}`,
  clerkUserId: `user_${number}`,
  organizationId: 'org_2acme',
  confirmedAt: NOW - 100,
  ...more,
});

test('in use: a session is asked for once a minute however many requests it makes; people and members together', async () => {
  const world = new World();
  let woken = 0;
  const checks = new SessionChecks(world.ports, () => (woken += 1));
  for (let request = 0; request < 500; request += 1) for (const number of [1, 2, 3]) checks.offer(inUse(number));
  assert.equal(woken, 3);
  await checks.work();
  assert.deepEqual(world.asked.toSorted(), ['members org_2acme user_1,user_2,user_3', 'people user_1,user_2,user_3', 'session sess_1', 'session sess_2', 'session sess_3']);
  checks.offer(inUse(1));
  await checks.work();
  assert.equal(world.asked.length, 5);
  world.now += CONFIRM_EVERY;
  checks.offer(inUse(1));
  await checks.work();
  assert.equal(world.asked.length, 8);
});

test('in use: one session in two workspaces is asked for once, each membership for itself', async () => {
  const world = new World();
  const checks = new SessionChecks(world.ports, () => undefined);
  checks.offer(inUse(1));
  checks.offer(inUse(1, { organizationId: 'org_2globex' }));
  await checks.work();
  assert.equal(world.asked.filter((one) => one.startsWith('session')).length, 1);
  assert.equal(world.asked.filter((one) => one.startsWith('members')).length, 2);
});

test('in use: what Clerk ended is noted; a person missing from a list is asked for by name first', async () => {
  const world = new World();
  world.standings.set('user_1', 'banned').set('user_2', 'deleted');
  world.strangers.add('user_3');
  world.over.add('sess_4');
  const checks = new SessionChecks(world.ports, () => undefined);
  [1, 2, 3, 4].forEach((number) => checks.offer(inUse(number)));
  await checks.work();
  assert.ok(world.asked.includes('person user_2') && world.asked.includes('organizations user_3'));
  for (const noted of ['banned user_1', 'deleted user_2', 'stranger user_3 org_2acme', 'end sess_4']) assert.ok(world.noted.includes(noted), noted);
});

test('in use: Clerk out of reach ends nothing, and whoever was not asked for is asked for at the next request', async () => {
  const world = new World();
  const { fetchStandings: answering } = world.ports;
  world.ports.fetchStandings = away;
  const checks = new SessionChecks(world.ports, () => undefined);
  checks.offer(inUse(1));
  await assert.rejects(checks.work(), ClerkApiUnavailable);
  assert.deepEqual(world.noted, []);
  world.ports.fetchStandings = answering;
  checks.offer(inUse(1));
  await checks.work();
  assert.ok(world.noted.some((one) => one.startsWith('begin sess_1')));
});

test('in use: the one confirmed longest ago comes first when the budget does not do for all', async () => {
  const world = new World();
  const { isSessionLive: answering } = world.ports;
  let left = 1;
  world.ports.isSessionLive = async (session) => (left-- > 0 ? answering(session) : away());
  const checks = new SessionChecks(world.ports, () => undefined);
  for (const number of [1, 2, 3]) checks.offer(inUse(number, { confirmedAt: NOW - 100 * number }));
  await assert.rejects(checks.work(), ClerkApiUnavailable);
  assert.deepEqual(world.asked.filter((one) => one.startsWith('session')), ['session sess_3']);
});

test('renewal: everything about one session, now', async () => {
  const world = new World();
  world.over.add('sess_1');
  const checks = new SessionChecks(world.ports, () => undefined);
  checks.offer(inUse(1));
  await checks.work();
  world.asked = [];
  await checks.confirm(inUse(1));
  assert.deepEqual(world.asked.toSorted(), ['members org_2acme user_1', 'people user_1', 'session sess_1']);
  world.ports.fetchMembers = away;
  await assert.rejects(checks.confirm(inUse(1)), ClerkApiUnavailable);
});

test('the budget: never more in any ten seconds, and quiet when Clerk wants it', () => {
  let now = 0;
  const budget = new RequestBudget(BUDGET.test, () => now);
  let random = 7;
  const taken: number[] = [];
  for (let ask = 0; ask < 5_000; ask += 1) {
    random = (random * 48271) % 2147483647;
    now += (random % 100) / 1000;
    if (budget.take()) taken.push(now);
  }
  for (const [index, at] of taken.entries()) assert.ok(taken.filter((one, other) => other >= index && one < at + 10).length <= BUDGET.test);
  assert.ok(taken.length > 1_000, 'and not much less');
  now += 100;
  budget.beQuietFor(30);
  assert.equal(budget.take(), false);
  now += 30;
  assert.equal(budget.take(), true);
  assert.ok(BUDGET.test <= 50 && BUDGET.live <= 500, 'half of what Clerk takes: 100 and 1000');
});

test('what is remembered is forgotten by time and by wish', () => {
  let now = 0;
  const recent = new Recent(60, 2, () => now);
  recent.add('a');
  recent.add('b');
  recent.forget('a');
  assert.deepEqual([recent.has('a'), recent.has('b')], [false, true]);
  now = 60;
  assert.equal(recent.has('b'), false);
});

const API = { apiUrl: 'https://api.test', secretKey: 'sk_test_x' };
const gone = () => Response.json({ errors: [{ code: 'resource_not_found' }] }, { status: 404 });

test('what is asked of Clerk, and what its answers mean', async () => {
  const asked: string[] = [];
  const answering = (response: () => Response) => (async (url: string) => (asked.push(url.replace(API.apiUrl, '')), response())) as unknown as typeof fetch;
  const session = { sessionId: 'sess_2a', clerkUserId: 'user_2alice' };
  const live = (status: string, user = 'user_2alice') => isSessionLive(answering(() => Response.json({ id: 'sess_2a', user_id: user, status })), API, session);
  for (const status of ['active', 'pending']) assert.equal(await live(status), true, status);
  for (const status of ['ended', 'removed', 'replaced', 'revoked', 'expired', 'abandoned', 'new']) assert.equal(await live(status), false, status);
  assert.equal(await live('active', 'user_2bob'), false, "somebody else's");
  assert.equal(await isSessionLive(answering(gone), API, session), false);
  assert.equal(asked[0], '/v1/sessions/sess_2a');

  const people = await fetchStandings(answering(() => Response.json([{ id: 'user_a', banned: true }, { id: 'user_b', locked: true }, { id: 'user_c' }])), API, ['user_a', 'user_b', 'user_c', 'user_d']);
  assert.deepEqual([...people], [['user_a', 'banned'], ['user_b', 'locked'], ['user_c', 'good']]);
  assert.equal(asked.at(-1), '/v1/users?limit=500&user_id=user_a&user_id=user_b&user_id=user_c&user_id=user_d');

  const rows = { data: [{ public_user_data: { user_id: 'user_a' } }, { public_user_data: null }], total_count: 2 };
  assert.deepEqual([...(await fetchMembers(answering(() => Response.json(rows)), API, 'org_a', ['user_a', 'user_b']))], ['user_a', '']);
  assert.equal(asked.at(-1), '/v1/organizations/org_a/memberships?limit=500&user_id=user_a&user_id=user_b');
  assert.equal((await fetchMembers(answering(gone), API, 'org_a', ['user_a'])).size, 0, 'an organisation that is gone has no members');
  assert.deepEqual([...(await fetchOrganizationsOf(answering(() => Response.json({ data: [{ organization: { id: 'org_a' } }] })), API, 'user_a'))], ['org_a']);

  const full = { data: Array.from({ length: 500 }, () => ({})) };
  for (const [what, doubtful] of Object.entries({
    proxy: () => new Response('<h1>404</h1>', { status: 404 }),
    html: () => new Response('<h1>It works!</h1>'),
    'no list': () => Response.json({ data: 'x' }),
    'a full page': () => Response.json(full),
    down: () => new Response('', { status: 503 }),
  })) {
    const fetch = answering(doubtful);
    for (const question of [() => fetchStandings(fetch, API, ['user_a']), () => fetchMembers(fetch, API, 'org_a', ['user_a']), () => fetchOrganizationsOf(fetch, API, 'user_a'), () => isSessionLive(fetch, API, session)])
      await assert.rejects(question(), ClerkApiUnavailable, what);
  }
});
