import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';

import { listenForHealth, readLivenessPort } from '../../files/twenty/overlay/packages/twenty-server/src/liveness/pure/listener';
import { Probe } from '../../files/twenty/overlay/packages/twenty-server/src/liveness/pure/probe';
import { Watchdog } from '../../files/twenty/overlay/packages/twenty-server/src/liveness/pure/watchdog';
import { withPoolDeadlines } from '../../files/twenty/overlay/packages/twenty-server/src/liveness/pool-deadlines';
import { Busy } from '../../files/twenty/overlay/packages/twenty-server/src/locks/pure/busy';
import { readProvisioningConcurrency } from '../../files/twenty/overlay/packages/twenty-server/src/locks/pure/limits';
import { type LockConnection, Locks } from '../../files/twenty/overlay/packages/twenty-server/src/locks/pure/locks';
import { asLockConnection } from '../../files/twenty/overlay/packages/twenty-server/src/locks/pure/pg-lock-connection';
import { Slots } from '../../files/twenty/overlay/packages/twenty-server/src/locks/pure/slots';
import { within } from '../../files/twenty/overlay/packages/twenty-server/src/locks/pure/waiting';

const LIMITS = { name: 'tests', size: 2, mostWaiting: 20, longestWaitInMs: 5_000, retryAfterInSeconds: 7 };
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const gate = () => {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));

  return { open, opened };
};
const isBusy = (reason: string) => (error: unknown) => error instanceof Busy && error.reason === reason && error.retryAfterInSeconds > 0;

// Postgres as far as advisory locks go: any number of sessions, keys with a holder.
class FakePostgres {
  readonly holders = new Map<unknown, FakeSession>();
  readonly sessions: FakeSession[] = [];
  isDown = false;
  opened = 0;

  readonly connect = async (): Promise<LockConnection> => {
    if (this.isDown) throw new Error('connect ECONNREFUSED');
    this.opened += 1;
    const session = new FakeSession(this);
    this.sessions.push(session);

    return session;
  };

  restart() {
    for (const session of [...this.sessions]) session.break();
  }
}

class FakeSession implements LockConnection {
  private readonly postgres: FakePostgres;
  private readonly listeners: (() => void)[] = [];
  isOver = false;

  constructor(postgres: FakePostgres) {
    this.postgres = postgres;
  }

  async query(text: string, [key]: unknown[]) {
    await turn();
    if (this.isOver) throw new Error('Connection terminated');
    if (text.includes('unlock')) {
      assert.equal(this.postgres.holders.get(key), this);
      this.postgres.holders.delete(key);

      return { rows: [{}] };
    }
    const holder = this.postgres.holders.get(key);
    if (holder === undefined) this.postgres.holders.set(key, this);

    return { rows: [{ locked: holder === undefined || holder === this }] };
  }

  onLost(listener: () => void) {
    this.listeners.push(listener);
  }

  async end() {
    this.isOver = true;
    for (const [key, holder] of this.postgres.holders) if (holder === this) this.postgres.holders.delete(key);
  }

  break() {
    void this.end();
    this.listeners.forEach((listener) => listener());
  }
}

test('slots: at most so many at once, in their order, and one that fails gives its slot on', async () => {
  const slots = new Slots(LIMITS);
  const order: number[] = [];
  let running = 0;
  let most = 0;
  const results = await Promise.allSettled(
    Array.from({ length: 9 }, (_, index) =>
      slots.run(async () => {
        order.push(index);
        most = Math.max(most, (running += 1));
        await turn();
        running -= 1;
        if (index === 3) throw new Error('one fails');
      }),
    ),
  );
  assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.equal(most, 2);
  assert.equal(results.filter(({ status }) => status === 'rejected').length, 1);
  assert.deepEqual(slots.state, { free: 2, waiting: 0 });
});

test('slots: who comes when too many wait, or waits too long, is told when to come again', async () => {
  const slots = new Slots({ ...LIMITS, size: 1, mostWaiting: 1, longestWaitInMs: 20 });
  const first = gate();
  const held = slots.run(() => first.opened);
  const waiting = slots.run(async () => 'never');
  await assert.rejects(slots.run(async () => 'never'), isBusy('slots'));
  await assert.rejects(waiting, isBusy('slots'));
  first.open();
  await held;
  assert.deepEqual(slots.state, { free: 1, waiting: 0 });
});

test('slots: who goes while waiting leaves the line, and nothing of its work is done', async () => {
  const slots = new Slots({ ...LIMITS, size: 1 });
  const first = gate();
  const held = slots.run(() => first.opened);
  const gone = new AbortController();
  const waiting = slots.run(async () => assert.fail('its caller has gone'), gone.signal);
  const after = slots.run(async () => 'served');
  gone.abort(new Error('gone'));
  await assert.rejects(waiting, /gone/);
  first.open();
  await held;
  assert.equal(await after, 'served');
  // gone in the very moment in which the slot is its own
  const second = gate();
  const again = slots.run(() => second.opened);
  const late = new AbortController();
  const just = slots.run(async () => assert.fail('its caller has gone'), late.signal);
  second.open();
  await again;
  late.abort(new Error('gone'));
  await just.catch(() => undefined);
  assert.equal(await slots.run(async () => 'served'), 'served');
  assert.deepEqual(slots.state, { free: 1, waiting: 0 });
});

test('a call is answered by its deadline, and what is under way learns of it', async () => {
  let told: AbortSignal | undefined;
  await assert.rejects(
    within(20, undefined, async (signal) => {
      told = signal;
      await new Promise(() => undefined);
    }),
    isBusy('deadline'),
  );
  assert.equal(told?.aborted, true);
  assert.equal(await within(1_000, undefined, async () => 1), 1);
  const gone = new AbortController();
  const call = within(1_000, gone.signal, () => new Promise(() => undefined));
  gone.abort(new Error('gone'));
  await assert.rejects(call, /gone/);
});

test('locks: one at a time for a key, all on one connection, however many wait', async () => {
  const postgres = new FakePostgres();
  const one = new Locks(postgres.connect);
  const other = new Locks(postgres.connect); // another process
  const running = new Map<string, number>();
  let done = 0;
  const work = (key: string) => async () => {
    running.set(key, (running.get(key) ?? 0) + 1);
    assert.equal(running.get(key), 1);
    await turn();
    running.set(key, 0);
    done += 1;
  };
  await Promise.all(
    Array.from({ length: 40 }, (_, n) => (n % 8 === 0 ? other : one).withLocks([`k${n % 3}`], work(`k${n % 3}`))),
  );
  assert.equal(done, 40);
  assert.equal(postgres.opened, 2);
  assert.equal(postgres.holders.size, 0);
});

test('locks: several keys in any order never wait for each other, inner ones included', async () => {
  const postgres = new FakePostgres();
  const locks = new Locks(postgres.connect);
  let done = 0;
  await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      locks.withLocks(n % 2 ? ['a', 'b'] : ['b', 'a'], () => locks.withLocks(['c'], async () => void (done += 1))),
    ),
  );
  assert.equal(done, 20);
});

test('locks: who waits too long, or goes, gets none and leaves none', async () => {
  const postgres = new FakePostgres();
  const locks = new Locks(postgres.connect);
  const first = gate();
  const held = locks.withLocks(['k'], () => first.opened);
  await turn();
  await assert.rejects(locks.withLocks(['a', 'k'], async () => assert.fail(), { longestWaitInMs: 20 }), isBusy('lock'));
  const gone = new AbortController();
  const waiting = locks.withLocks(['k'], async () => assert.fail(), { signal: gone.signal });
  gone.abort(new Error('gone'));
  await assert.rejects(waiting, /gone/);
  // held by another process
  await assert.rejects(new Locks(postgres.connect).withLocks(['b', 'k'], async () => assert.fail(), { longestWaitInMs: 20 }), isBusy('lock'));
  assert.deepEqual([...postgres.holders.keys()], ['k']);
  first.open();
  await held;
  assert.equal(await locks.withLocks(['a', 'k'], async () => 1), 1);
  assert.equal(postgres.holders.size, 0);
});

test('locks: a lost connection is a lost lock: the work is told, the next one has a new connection', async () => {
  const postgres = new FakePostgres();
  const locks = new Locks(postgres.connect);
  const told: unknown[] = [];
  const started = gate();
  const work = locks.withLocks(['k'], async (signal) => {
    started.open();
    await once(signal, 'abort');
    told.push(signal.reason);
    signal.throwIfAborted();
  });
  await started.opened;
  const next = locks.withLocks(['k'], async () => 'next');
  postgres.restart();
  await assert.rejects(work, isBusy('lock-lost'));
  assert.equal(told.length, 1);
  assert.equal(await next, 'next');
  assert.equal(postgres.opened, 2);
});

test('locks: Postgres away is waited for, and told as busy when it stays away', async () => {
  const postgres = new FakePostgres();
  postgres.isDown = true;
  const locks = new Locks(postgres.connect);
  const waiting = locks.withLocks(['k'], async () => 'served');
  await assert.rejects(locks.withLocks(['a'], async () => assert.fail(), { longestWaitInMs: 30 }), isBusy('database'));
  postgres.isDown = false;
  assert.equal(await waiting, 'served');
});

test('a connection of pg is lost once, by error or end, and not by our own end', async () => {
  const listeners: Record<string, () => void> = {};
  const client = {
    connect: async () => undefined,
    query: async () => ({ rows: [] }),
    end: async () => listeners.end?.(),
    on: (event: string, listener: () => void) => (listeners[event] = listener),
  };
  let lost = 0;
  (await asLockConnection(client)).onLost(() => (lost += 1));
  listeners.error?.();
  listeners.end?.();
  assert.equal(lost, 1);
  const ours = await asLockConnection(client);
  ours.onLost(() => assert.fail('ended by ourselves'));
  await ours.end();
});

// Everything at hand: what answers, the clock, what was said.
const watched = () => {
  const world = { now: 0, own: true, fresh: true, asked: 0, ended: [] as string[] };
  const dog = new Watchdog({
    own: [new Probe('pool', async () => { world.asked += 1; if (!world.own) await new Promise(() => undefined); })],
    fresh: new Probe('fresh', async () => { if (!world.fresh) throw new Error('ECONNREFUSED'); }),
    end: (reason) => world.ended.push(reason),
    say: () => undefined,
    answerWithinMs: 5,
    now: () => world.now,
  });
  const look = async (times: number) => {
    for (let n = 0; n < times; n += 1) {
      await dog.look();
      world.now += 5_000;
    }
  };

  return { world, look };
};

test('the watchdog ends a process whose own connections answer nothing for a minute while Postgres does, once', async () => {
  const { world, look } = watched();
  await look(20);
  assert.deepEqual(world.ended, []);
  const asked = world.asked;
  world.own = false;
  await look(12);
  assert.deepEqual(world.ended, []);
  await look(4);
  assert.equal(world.ended.length, 1);
  assert.match(world.ended[0] ?? '', /for 60 s no query .*pool: no answer within 5 ms/);
  assert.equal(world.asked, asked + 1, 'what hangs is not asked again and again');
});

test('while Postgres is away, or when it comes back, or when the process stood still, nothing is ended', async () => {
  const away = watched();
  away.world.own = away.world.fresh = false;
  await away.look(100);
  away.world.fresh = true; // Postgres is back, the pool not yet
  await away.look(10);
  assert.deepEqual(away.world.ended, []);
  const paused = watched();
  paused.world.own = false;
  await paused.look(1);
  paused.world.now += 600_000; // docker pause
  await paused.look(3);
  assert.deepEqual(paused.world.ended, []);
});

test('health is told on loopback, in words, and is bad as soon as one question is not answered', async () => {
  let isWell = true;
  const probes = [new Probe('database', async () => undefined), new Probe('queue', async () => { if (!isWell) throw new Error('Connection is closed.'); })];
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  const server = listenForHealth(probes, port, (message) => assert.fail(message));
  assert.ok(server);
  await once(server, 'listening');
  const ask = async () => {
    const response = await fetch(`http://127.0.0.1:${port}/`);

    return [response.status, await response.text()];
  };
  assert.deepEqual(await ask(), [200, 'database: ok; queue: ok\n']);
  isWell = false;
  assert.deepEqual(await ask(), [503, 'database: ok; queue: Connection is closed.\n']);
  server.close();
});

test('settings that are wrong stop the start; pools get what they lack', () => {
  assert.equal(readProvisioningConcurrency({}), 1);
  assert.equal(readProvisioningConcurrency({ TWENTYOPS_PROVISIONING_CONCURRENCY: '3' }), 3);
  for (const wrong of ['0', '17', 'two', '1.5']) {
    assert.throws(() => readProvisioningConcurrency({ TWENTYOPS_PROVISIONING_CONCURRENCY: wrong }), /TWENTYOPS_PROVISIONING_CONCURRENCY/);
  }
  assert.equal(readLivenessPort({}), 3010);
  assert.throws(() => readLivenessPort({ TWENTYOPS_LIVENESS_PORT: 'x' }), /TWENTYOPS_LIVENESS_PORT/);
  const found = withPoolDeadlines({ query_timeout: 10_000, max: 4 });
  assert.equal(found.statement_timeout, 9_500);
  assert.ok((found.connectionTimeoutMillis ?? 0) > 0 && (found.idle_in_transaction_session_timeout ?? 0) > 0);
  assert.equal(withPoolDeadlines({ connectionTimeoutMillis: 1 }).connectionTimeoutMillis, 1);
  assert.equal(withPoolDeadlines({}).statement_timeout, undefined);
});
