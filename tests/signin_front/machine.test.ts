import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  advanceClerkSession,
  CLERK_LOOP_LIMITS,
  CLERK_WAIT_LIMITS,
  EMPTY_CLERK_LOOP_MEMORY,
  getClerkRetryDelay,
  INITIAL_CLERK_SESSION_STATE,
} from '../../files/twenty/overlay/packages/twenty-front/src/modules/auth/clerk/clerkSessionMachine.ts';
import { describeClerkSession, LONGER_THAN_USUAL_MS } from '../../files/twenty/overlay/packages/twenty-front/src/modules/auth/clerk/describeClerkSession.ts';
import type {
  ClerkExchangeAnswer,
  ClerkIdentity,
  ClerkLoopMemory,
  ClerkSessionCommand,
  ClerkSessionEvent,
  ClerkSessionState,
} from '../../files/twenty/overlay/packages/twenty-front/src/modules/auth/clerk/clerkSessionTypes.ts';

const ALICE: ClerkIdentity = { userId: 'user_a', sessionId: 'sess_1', organizationId: 'org_a' };
const ELSEWHERE: ClerkIdentity = { ...ALICE, organizationId: 'org_b' };
const NOWHERE: ClerkIdentity = { ...ALICE, organizationId: null };
const TOKEN = { token: 't', expiresAt: '2030-01-01T00:00:00Z' };

const sessionOf = (identity: ClerkIdentity) => ({
  workspaceId: `workspace of ${identity.organizationId}`,
  userId: 'u',
  clerkUserId: identity.userId,
  organizationId: identity.organizationId ?? '',
  tokens: { accessOrWorkspaceAgnosticToken: TOKEN, refreshToken: TOKEN },
});

const signedIn = (identity = ALICE): ClerkSessionEvent => ({ type: 'clerk', report: { kind: 'signed-in', identity } });
const signedOut: ClerkSessionEvent = { type: 'clerk', report: { kind: 'signed-out' } };
const unreachable: ClerkSessionEvent = { type: 'clerk', report: { kind: 'unreachable' } };
const answer = (given: ClerkExchangeAnswer, identity = ALICE): ClerkSessionEvent => ({ type: 'answer', identity, answer: given });
const letIn = (identity = ALICE): ClerkSessionEvent => answer({ kind: 'signed-in', session: sessionOf(identity) }, identity);

class Play {
  state: ClerkSessionState = INITIAL_CLERK_SESSION_STATE;
  memory: ClerkLoopMemory = EMPTY_CLERK_LOOP_MEMORY;
  now = 1_000_000;
  random = 0.5;
  commands: ClerkSessionCommand[] = [];

  send(...events: ClerkSessionEvent[]): string[] {
    this.commands = [];
    for (const event of events) {
      const step = advanceClerkSession(this.state, event, { now: this.now, random: this.random, memory: this.memory });
      this.state = step.state;
      this.memory = step.memory;
      this.commands.push(...step.commands);
    }
    return this.commands.map(({ type }) => type);
  }

  load(): Play {
    this.state = INITIAL_CLERK_SESSION_STATE; // the same tab, a new page: what it remembers stays
    return this;
  }

  get reason(): string {
    return this.state.phase === 'stopped' ? this.state.reason : this.state.phase;
  }
}

test('without a session Clerk is asked, and nothing of an old one stays', () => {
  const play = new Play();
  assert.deepEqual(play.send(signedOut), ['forget', 'redirect-to-clerk']);
  assert.equal(play.state.phase, 'redirecting');
  assert.deepEqual(play.send(signedOut), [], 'once');
});

test('a session is exchanged once, then the CRM opens', () => {
  const play = new Play();
  assert.deepEqual(play.send(signedIn(), signedIn(), signedIn({ ...ALICE, sessionId: 'sess_2' })), ['exchange']);
  assert.deepEqual(play.send(letIn()), ['hand-over']);
  assert.equal(play.state.phase, 'opening', 'not before the tokens are in place');
  assert.deepEqual(play.send({ type: 'handed-over' }, signedIn()), []);
  assert.equal(play.state.phase, 'open');
});

test('an answer for another organisation than the active one opens nothing', () => {
  const play = new Play();
  play.send(signedIn());
  const stale = answer({ kind: 'signed-in', session: sessionOf(ELSEWHERE) });
  play.send(stale);
  assert.deepEqual(play.commands, [{ type: 'exchange', identity: ALICE, isTokenFresh: true }]);
  play.send(stale);
  assert.equal(play.reason, 'refused');
});

test('an answer to a question of before a switch is dropped', () => {
  const play = new Play();
  play.send(signedIn());
  assert.deepEqual(play.send(signedIn(ELSEWHERE)), ['exchange']);
  assert.deepEqual(play.send(letIn(ALICE)), []);
  assert.deepEqual(play.send(letIn(ELSEWHERE)), ['hand-over']);
});

test('another organisation, or another person, starts the page anew from home', () => {
  for (const other of [ELSEWHERE, NOWHERE, { ...ALICE, userId: 'user_b' }]) {
    const play = new Play();
    play.send(signedIn(), letIn(), { type: 'handed-over' });
    assert.deepEqual(play.send(signedIn(other)), ['forget', 'restart']);
    assert.deepEqual(play.commands[1], { type: 'restart', at: 'home' });
    assert.deepEqual(play.send(signedOut, signedIn()), [], 'the page is gone by then');
  }
});

test('without an organisation the step is shown, and nothing is asked of the server', () => {
  const play = new Play();
  assert.deepEqual(play.send(signedIn(NOWHERE)), []);
  assert.deepEqual(play.state, { phase: 'organization', identity: NOWHERE, mode: 'needed' });
  assert.deepEqual(play.send(signedIn(ALICE)), ['exchange']);
});

test('when the server knows of no organisation, a fresh token is tried before the step', () => {
  const play = new Play();
  play.send(signedIn(), answer({ kind: 'no-organization' }));
  assert.deepEqual(play.commands.at(-1), { type: 'exchange', identity: ALICE, isTokenFresh: true });
  play.send(answer({ kind: 'no-organization' }));
  assert.deepEqual(play.state, { phase: 'organization', identity: ALICE, mode: 'other' }, 'which is not taken without a question');
});

for (const reason of ['workspace-provisioning', 'no-room', 'too-many-organizations', 'not-a-member', 'unavailable'] as const) {
  test(`${reason}: asked again with growing pauses, given up in time, and a person can go on`, () => {
    const play = new Play();
    const began = play.now;
    const given: ClerkExchangeAnswer =
      reason === 'unavailable'
        ? { kind: reason, retryAfterSeconds: null }
        : reason === 'no-room' || reason === 'too-many-organizations'
          ? { kind: 'workspace-provisioning', waitingFor: reason }
          : { kind: reason };
    const pauses: number[] = [];
    play.send(signedIn());
    for (let round = 0; round < 500 && play.state.phase !== 'stopped'; round++) {
      play.send(answer(given));
      if (play.state.phase === 'waiting') {
        const command = play.commands[play.commands.length - 1];
        assert.equal(command.type, 'schedule');
        pauses.push(command.type === 'schedule' ? command.delayMs : 0);
        play.now += pauses.at(-1) ?? 0;
        assert.deepEqual(play.send({ type: 'tick' }), ['exchange']);
      }
    }
    assert.equal(play.reason, reason);
    const waited = play.now - began;
    assert.ok(waited >= CLERK_WAIT_LIMITS[reason] && waited < CLERK_WAIT_LIMITS[reason] + 35_000, String(waited));
    assert.ok(pauses.length < 80, `${pauses.length} requests`);
    assert.ok(pauses.every((pause, at) => at === 0 || pause >= pauses[at - 1]), 'never shorter');
    assert.deepEqual(play.send({ type: 'retry' }), ['exchange']);
    assert.deepEqual(play.send(letIn()), ['hand-over']);
  });
}

test('who is not let in any more keeps nothing of the earlier session: forgotten once, not at each question', () => {
  const play = new Play();
  assert.deepEqual(play.send(signedIn(), answer({ kind: 'not-a-member' })), ['exchange', 'forget', 'schedule']);
  assert.deepEqual(play.send({ type: 'tick' }, answer({ kind: 'not-a-member' })), ['exchange', 'schedule']);
  const busy = new Play();
  assert.deepEqual(busy.send(signedIn(), answer({ kind: 'unavailable', retryAfterSeconds: null })), ['exchange', 'schedule']);
});

test('waiting for a place, then for the workspace, are two waits, and each says what is waited for', () => {
  const play = new Play();
  play.send(signedIn(), answer({ kind: 'workspace-provisioning', waitingFor: 'no-room' }));
  assert.match(describeClerkSession(play.state).title, /Waiting for a place/);
  play.now += CLERK_WAIT_LIMITS['no-room'] - 1;
  play.send({ type: 'tick' }, answer({ kind: 'workspace-provisioning' }));
  assert.match(describeClerkSession(play.state).title, /Setting up/);
});

test('a workspace in the making: asked every two seconds at first, and the page says how far it is and what to do when it takes long', () => {
  const play = new Play();
  const began = play.now;
  const steps = () => describeClerkSession(play.state).steps?.map(({ progress }) => progress);
  play.send(signedIn(), answer({ kind: 'workspace-provisioning', step: 'announced' }));
  assert.deepEqual(steps(), ['current', 'to-do', 'to-do']);
  while (play.now - began < 30_000) {
    const command = play.commands.at(-1);
    assert.ok(command?.type === 'schedule' && command.delayMs <= 2_400, JSON.stringify(command));
    play.now += command.delayMs;
    play.send({ type: 'tick' });
    assert.deepEqual(describeClerkSession(play.state).title, 'Setting up your workspace', 'the page does not flicker while it asks');
    play.send(answer({ kind: 'workspace-provisioning', step: 'data-model' }));
    assert.deepEqual(steps(), ['done', 'done', 'current']);
  }
  assert.match(describeClerkSession(play.state).text, /goes on by itself/);
  play.now = began + LONGER_THAN_USUAL_MS;
  play.send({ type: 'tick' }, answer({ kind: 'workspace-provisioning' }));
  assert.match(describeClerkSession(play.state).text, /longer than usual.*nothing is lost.*tell whoever runs/);
  assert.equal(steps(), undefined, 'a server that does not say how far it is');
});

test('being provisioned, then being added, are two waits', () => {
  const play = new Play();
  play.send(signedIn(), answer({ kind: 'workspace-provisioning' }));
  play.now += CLERK_WAIT_LIMITS['workspace-provisioning'] - 1;
  play.send({ type: 'tick' }, answer({ kind: 'not-a-member' }));
  assert.equal(play.state.phase, 'waiting');
});

test('a workspace with an address of its own: the page goes there, told so by a fresh token, and never round and round', () => {
  const play = new Play();
  const home = 'https://acme.crm.test';
  const away = (): void => {
    play.load();
    assert.deepEqual(play.send(signedIn(), answer({ kind: 'elsewhere', home: 'https://of-the-last-one.crm.test' })), ['exchange', 'exchange']);
    play.send(answer({ kind: 'elsewhere', home }));
  };
  for (let turn = 0; turn < CLERK_LOOP_LIMITS.moves.times; turn++) {
    away();
    assert.deepEqual(play.commands, [{ type: 'move', home }], 'nothing is forgotten: the session there is another one');
    assert.deepEqual(play.send(signedIn(), signedOut, { type: 'tick' }), [], 'the page is going');
  }
  away();
  assert.equal(play.reason, 'address-loop');
  assert.deepEqual(play.send({ type: 'retry' }), ['restart']);
  play.load();
  assert.deepEqual(play.send(signedIn(), letIn()), ['exchange', 'hand-over'], 'at the right address it opens');
});

test('Retry-After is honoured, within reason, and spread', () => {
  for (const random of [0, 0.5, 1]) {
    assert.ok(getClerkRetryDelay(1, random, 7) >= 7_000);
    assert.ok(getClerkRetryDelay(9, random, 0) >= 1_000, 'never at once');
    assert.ok(getClerkRetryDelay(1, random, 86_400) <= 61_000);
    assert.ok(getClerkRetryDelay(30, random, null) <= 12_000);
  }
  assert.notEqual(getClerkRetryDelay(3, 0, null), getClerkRetryDelay(3, 1, null));
});

test('a suspended workspace is not asked for again and again', () => {
  const play = new Play();
  assert.deepEqual(play.send(signedIn(), answer({ kind: 'suspended' })), ['exchange', 'forget']);
  assert.equal(play.reason, 'suspended');
  assert.deepEqual(play.send(signedIn(), { type: 'tick' }), []);
});

test('a person who is not let in reads why, and is not asked for again and again', () => {
  for (const kind of ['banned', 'locked'] as const) {
    const play = new Play();
    assert.deepEqual(play.send(signedIn(), answer({ kind })), ['exchange', 'forget']);
    assert.equal(play.reason, kind);
    assert.deepEqual(play.send(signedIn(), { type: 'tick' }), []);
    const { title, isProblem, actions } = describeClerkSession(play.state);
    assert.ok(isProblem && title.length > 5);
    assert.equal(actions.some(({ action }) => action === 'retry'), kind === 'locked', 'a ban passes by nobody trying again');
    assert.deepEqual(play.send({ type: 'sign-out' }), ['forget', 'sign-out-of-clerk']);
  }
});

test('a session that is over here ends at Clerk as well, and a new one is signed in: no circle', () => {
  const play = new Play();
  const once = (): string[] => play.load().send(signedIn(), answer({ kind: 'session-ended' }));
  assert.deepEqual(once(), ['exchange', 'forget', 'sign-out-of-clerk']);
  assert.deepEqual(play.send(signedOut), ['forget', 'redirect-to-clerk']);
  assert.deepEqual(play.load().send(signedIn({ ...ALICE, sessionId: 'sess_2' }), letIn()), ['exchange', 'hand-over']);
  play.now += 1_000;
  assert.equal(once().at(-1), 'sign-out-of-clerk');
  assert.deepEqual(once(), ['exchange', 'forget'], 'Clerk keeps a session that the server has ended');
  assert.equal(play.reason, 'refused');
});

test('a refused token is renewed, then Clerk signs in anew, then it stops: no circle', () => {
  const play = new Play();
  const once = (): void => {
    play.send(signedIn(), answer({ kind: 'unauthorized' }));
    assert.deepEqual(play.commands.at(-1), { type: 'exchange', identity: ALICE, isTokenFresh: true });
    play.send(answer({ kind: 'unauthorized' }));
  };
  once();
  assert.deepEqual(play.commands.map(({ type }) => type), ['forget', 'sign-out-of-clerk']);
  assert.deepEqual(play.send(signedOut), ['forget', 'redirect-to-clerk']);
  play.load();
  once();
  assert.equal(play.reason, 'refused');
  assert.deepEqual(play.send({ type: 'retry' }), ['forget', 'sign-out-of-clerk'], 'but a person may ask for it');
});

test('a browser that keeps no session is not sent to Clerk for ever', () => {
  const play = new Play();
  let sent = 0;
  while (play.load().send(signedOut).includes('redirect-to-clerk')) {
    sent++;
    play.now += 500;
    assert.ok(sent < 50);
  }
  assert.equal(sent, CLERK_LOOP_LIMITS.redirects.times);
  assert.equal(play.reason, 'redirect-loop');
  assert.deepEqual(play.send({ type: 'retry' }), ['forget', 'redirect-to-clerk']);
  const later = new Play();
  later.memory = { ...EMPTY_CLERK_LOOP_MEMORY, redirects: [0, 1, 2, 3] };
  assert.deepEqual(later.send(signedOut), ['forget', 'redirect-to-clerk'], 'old ones do not count');
});

test('tokens that Twenty refuses: the place is kept, and it is not tried for ever', () => {
  const play = new Play();
  for (let round = 0; round < CLERK_LOOP_LIMITS.restarts.times; round++) {
    play.load().send(signedIn(), letIn(), { type: 'handed-over' }, { type: 'session-lost' });
    assert.deepEqual(play.commands.at(-1), { type: 'restart', at: 'here' });
    assert.deepEqual(play.send({ type: 'session-lost' }), [], 'many requests fail together');
  }
  play.load().send(signedIn(), letIn(), { type: 'handed-over' }, { type: 'session-lost' });
  assert.equal(play.reason, 'restart-loop');
});

test('signing out ends Clerk first, then starts at home; a failure is said', () => {
  const play = new Play();
  play.send(signedIn(), letIn(), { type: 'handed-over' });
  assert.deepEqual(play.send({ type: 'sign-out' }), ['forget', 'sign-out-of-clerk']);
  assert.deepEqual(play.send({ type: 'sign-out-failed' }), []);
  assert.equal(play.reason, 'sign-out-failed');
  assert.deepEqual(play.send(signedIn()), [], 'nobody is let in again by that');
  assert.deepEqual(play.send({ type: 'retry' }), ['sign-out-of-clerk']);
  play.send(signedOut);
  assert.deepEqual(play.commands, [{ type: 'restart', at: 'home' }]);
});

test('signed out or revoked elsewhere: to Clerk from where one is', () => {
  const play = new Play();
  play.send(signedIn(), letIn(), { type: 'handed-over' });
  assert.deepEqual(play.send(signedOut), ['forget', 'redirect-to-clerk']);
});

test('an unreachable Clerk matters before the CRM is open, not after', () => {
  const play = new Play();
  play.send(unreachable);
  assert.equal(play.reason, 'clerk-unreachable');
  assert.deepEqual(play.send(signedIn()), ['exchange'], 'late is not never');
  play.send(letIn(), { type: 'handed-over' });
  assert.deepEqual(play.send(unreachable), []);
  assert.equal(play.state.phase, 'open');
});

test('switching can be taken back, and a way out of a workspace that cannot be opened exists', () => {
  const play = new Play();
  play.send(signedIn(), letIn(), { type: 'handed-over' }, { type: 'choose-organization' });
  assert.deepEqual(play.state, { phase: 'organization', identity: ALICE, mode: 'switching' });
  play.send({ type: 'keep-organization' });
  assert.deepEqual(play.commands, [{ type: 'restart', at: 'here' }]);
  const stuck = new Play();
  stuck.send(signedIn(), answer({ kind: 'not-a-member' }), { type: 'choose-organization' });
  assert.equal(stuck.state.phase, 'organization');
  assert.deepEqual(stuck.send(signedIn(ELSEWHERE)), ['exchange']);
});

test('whatever happens, in whatever order: the CRM opens to the one whom the server let in, and nothing circles', () => {
  let seed = 7;
  const random = (): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed / 2_147_483_648;
  };
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)];
  const identities = [ALICE, ELSEWHERE, NOWHERE, { ...ALICE, userId: 'user_b' }];
  const reached = new Set<string>();
  for (let game = 0; game < 3_000; game++) {
    const play = new Play();
    let active: ClerkIdentity | null = null;
    let redirects = 0;
    for (let round = 0; round < 25; round++) {
      const who = pick(identities);
      const event = pick<() => ClerkSessionEvent>([
        () => signedIn(who),
        () => signedIn(active ?? who),
        () => signedOut,
        () => unreachable,
        () => letIn(pick(identities)),
        () => (play.state.phase === 'exchanging' ? letIn(play.state.identity) : letIn(who)),
        () => answer({ kind: 'signed-in', session: sessionOf(pick(identities)) }, who),
        () => answer({ kind: pick(['no-organization', 'workspace-provisioning', 'not-a-member', 'suspended', 'banned', 'locked', 'session-ended', 'unauthorized']) }, who),
        () => answer({ kind: 'unavailable', retryAfterSeconds: pick([null, 3]) }, who),
        () => ({ type: pick(['tick', 'handed-over', 'session-lost', 'retry', 'sign-out', 'sign-out-failed', 'choose-organization', 'keep-organization']) }),
      ])();
      if (event.type === 'clerk' && event.report.kind !== 'unreachable') {
        active = event.report.kind === 'signed-in' ? event.report.identity : null;
      }
      play.send(event);
      play.now += random() * 500;
      redirects += event.type === 'retry' ? 0 : play.commands.filter(({ type }) => type === 'redirect-to-clerk').length;
      reached.add(play.reason);
      if (play.state.phase === 'open' || play.state.phase === 'opening') {
        assert.equal(play.state.session.organizationId, play.state.identity.organizationId);
        assert.equal(play.state.session.clerkUserId, play.state.identity.userId);
        assert.ok(active !== null && active.userId === play.state.identity.userId, 'open without a session of Clerk\'s');
        assert.equal(active.organizationId, play.state.identity.organizationId);
      }
      assert.ok(play.commands.filter(({ type }) => type === 'exchange').length <= 1);
      const { title, actions, isProblem } = describeClerkSession(play.state);
      assert.ok(title.length > 5 && (!isProblem || actions.length > 0), 'no page without a way on');
    }
  }
  assert.ok(['open', 'redirecting', 'waiting', 'organization', 'leaving', 'refused', 'suspended', 'sign-out-failed', 'redirect-loop'].every((one) => reached.has(one)), [...reached].join());
});
