import assert from 'node:assert/strict';
import { test } from 'node:test';

import { EMPTY_CLERK_LOOP_MEMORY } from '../../files/twenty/overlay/packages/twenty-front/src/modules/auth/clerk/clerkSessionMachine.ts';
import { createClerkSessionController, type ClerkSessionPorts } from '../../files/twenty/overlay/packages/twenty-front/src/modules/auth/clerk/createClerkSessionController.ts';
import type { ClerkExchangeAnswer, ClerkIdentity, ClerkSessionEvent } from '../../files/twenty/overlay/packages/twenty-front/src/modules/auth/clerk/clerkSessionTypes.ts';

const ALICE: ClerkIdentity = { userId: 'user_a', sessionId: 'sess_1', organizationId: 'org_a' };
const TOKEN = { token: 't', expiresAt: '2030-01-01T00:00:00Z' };
const SESSION = {
  workspaceId: 'w', userId: 'u', clerkUserId: 'user_a', organizationId: 'org_a',
  tokens: { accessOrWorkspaceAgnosticToken: TOKEN, refreshToken: TOKEN },
};
const signedIn = (organizationId: string): ClerkSessionEvent => ({
  type: 'clerk', report: { kind: 'signed-in', identity: { ...ALICE, organizationId } },
});
const settled = () => new Promise((resolve) => setImmediate(resolve));

const world = (answers: (() => Promise<ClerkExchangeAnswer>)[]) => {
  const told: string[] = [];
  const timers: (() => void)[] = [];
  let memory = EMPTY_CLERK_LOOP_MEMORY;
  let signOut: () => Promise<void> = async () => undefined;
  const ports: ClerkSessionPorts = {
    now: () => 1_000,
    random: () => 0.5,
    readMemory: () => memory,
    writeMemory: (next) => void (memory = next),
    schedule: (delayMs, callback) => {
      told.push(`wait ${delayMs}`);
      timers.push(callback);
      return () => void told.push('take back');
    },
    exchange: (isTokenFresh) => {
      told.push(isTokenFresh ? 'exchange fresh' : 'exchange');
      return (answers.shift() ?? assert.fail('asked too often'))();
    },
    redirectToClerk: () => void told.push('redirect'),
    signOutOfClerk: () => (told.push('sign out'), signOut()),
    handOver: () => void told.push('hand over'),
    forget: () => void told.push('forget'),
    restart: (at) => void told.push(`restart ${at}`),
    move: (home) => void told.push(`move ${home}`),
  };
  return { told, timers, controller: createClerkSessionController(ports), failSignOut: () => (signOut = () => Promise.reject(new Error('offline'))) };
};

test('many renders, one exchange', async () => {
  const { controller, told } = world([async () => ({ kind: 'signed-in', session: SESSION })]);
  let heard = 0;
  const stop = controller.subscribe(() => heard++);
  controller.subscribe(() => undefined)();
  for (let render = 0; render < 10; render++) {
    controller.send(signedIn('org_a'));
  }
  await settled();
  assert.deepEqual(told, ['exchange', 'hand over']);
  controller.send({ type: 'handed-over' });
  assert.equal(controller.getState().phase, 'open');
  assert.equal(heard, 3, 'told once a change');
  stop();
});

test('a wait ends by its timer, and is taken back when something else happens first', async () => {
  const { controller, told, timers } = world([
    async () => ({ kind: 'workspace-provisioning' }),
    async () => ({ kind: 'workspace-provisioning' }),
  ]);
  controller.send(signedIn('org_a'));
  await settled();
  timers[0]();
  await settled();
  controller.send({ type: 'clerk', report: { kind: 'signed-out' } });
  assert.deepEqual(told, ['exchange', 'wait 1000', 'exchange', 'wait 1500', 'take back', 'forget', 'redirect']);
  timers[1]();
  await settled();
  assert.equal(told.length, 7, 'a timer of before does nothing');
});

test('an exchange that fails counts as unavailable; one that is late for another organisation is dropped', async () => {
  let finish: (answer: ClerkExchangeAnswer) => void = () => undefined;
  const { controller, told } = world([
    () => new Promise((resolve) => (finish = resolve)),
    () => Promise.reject(new Error('offline')),
  ]);
  controller.send(signedIn('org_a'));
  controller.send(signedIn('org_b'));
  finish({ kind: 'signed-in', session: SESSION });
  await settled();
  const state = controller.getState();
  assert.equal(state.phase === 'waiting' && state.series.reason, 'unavailable');
  assert.ok(!told.includes('hand over'));
});

test('signing out: both ends, or it is said that one did not', async () => {
  const good = world([]);
  good.controller.send({ type: 'sign-out' });
  await settled();
  assert.deepEqual(good.told, ['forget', 'sign out', 'restart home']);
  const bad = world([]);
  bad.failSignOut();
  bad.controller.send({ type: 'sign-out' });
  await settled();
  const state = bad.controller.getState();
  assert.equal(state.phase === 'stopped' && state.reason, 'sign-out-failed');
});

test('an answer from before one went away and came back is not the answer of now', async () => {
  const finish: ((answer: ClerkExchangeAnswer) => void)[] = [];
  const ask = () => new Promise<ClerkExchangeAnswer>((resolve) => void finish.push(resolve));
  const { controller, told } = world([ask, ask, ask]);
  for (const organization of ['org_a', 'org_b', 'org_a']) {
    controller.send(signedIn(organization));
  }
  finish[0]({ kind: 'signed-in', session: SESSION });
  await settled();
  assert.equal(controller.getState().phase, 'exchanging');
  finish[2]({ kind: 'signed-in', session: SESSION });
  await settled();
  assert.deepEqual(told, ['exchange', 'exchange', 'exchange', 'hand over']);
});
