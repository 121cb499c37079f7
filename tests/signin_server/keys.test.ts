import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';

import { fetchJson } from 'src/auth/clerk/pure/fetch-json';
import { CachedKeySet, FixedKey, KEY_SET_TIMES, KeysUnavailable, readKeySet, readPemKey } from 'src/auth/clerk/pure/key-set';
import { Recent } from 'src/auth/clerk/pure/recent';

import { pair, rsa, type Fields } from './tokens.ts';

const second = rsa();
const jwk = (key: KeyObject, kid: string, changes: Fields = {}): Fields => ({
  ...key.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256', ...changes,
});
const A = jwk(pair.publicKey, 'a');
const B = jwk(second.publicKey, 'b');

// A key set whose keys, clock and reachability the test holds in its hand.
const world = (keys: Fields[] = [A]) => {
  const state = { keys, now: 0, asked: 0, away: false };
  const fetching = (async () => {
    state.asked += 1;
    if (state.away) throw new TypeError('fetch failed');
    return Response.json({ keys: state.keys });
  }) as typeof fetch;
  return { state, set: new CachedKeySet('https://keys.test', fetching, () => state.now) };
};

test('the key set is asked once and kept', async () => {
  const { state, set } = world();
  for (let round = 0; round < 50; round += 1) assert.ok(await set.find('a'));
  assert.equal(state.asked, 1);
});

test('many at once share one question', async () => {
  const { state, set } = world();
  const found = await Promise.all(Array.from({ length: 40 }, () => set.find('a')));
  assert.ok(found.every(Boolean));
  assert.equal(state.asked, 1);
});

test('rotation: an unknown key is looked for once, and found', async () => {
  const { state, set } = world();
  assert.ok(await set.find('a'));
  state.now += KEY_SET_TIMES.pause;
  state.keys = [A, B];
  assert.ok(await set.find('b'));
  assert.equal(state.asked, 2);
});

test('keys that nobody has cause no storm of questions', async () => {
  const { state, set } = world();
  await set.find('a');
  for (let round = 0; round < 1000; round += 1) {
    state.now += 100;
    assert.equal(await set.find(`unknown${round}`), undefined);
  }
  assert.ok(state.asked <= 2 + 100_000 / KEY_SET_TIMES.pause, `asked ${state.asked} times in 100 s`);
  assert.ok(await set.find('a'), 'and the good key works all the while');
});

test('a key that was withdrawn ends with the fresh time', async () => {
  const { state, set } = world([A, B]);
  assert.ok(await set.find('b'));
  state.keys = [A];
  state.now += KEY_SET_TIMES.fresh;
  assert.ok(await set.find('b'));
  state.now += 1;
  assert.equal(await set.find('b'), undefined);
});

test('unreachable: known keys serve for the stale time, then nothing does', async () => {
  const { state, set } = world();
  await set.find('a');
  state.away = true;
  state.now += KEY_SET_TIMES.stale;
  assert.ok(await set.find('a'));
  await assert.rejects(set.find('b'), KeysUnavailable);
  state.now += 1;
  await assert.rejects(set.find('a'), KeysUnavailable);
  state.away = false;
  state.now += KEY_SET_TIMES.retry;
  assert.ok(await set.find('a'));
});

test('unreachable from the start: no key, and not a question for each caller', async () => {
  const { state, set } = world();
  state.away = true;
  for (let round = 0; round < 30; round += 1) await assert.rejects(set.find('a'), KeysUnavailable);
  assert.equal(state.asked, 1);
  state.away = false;
  state.now += KEY_SET_TIMES.retry;
  assert.ok(await set.find('a'));
});

test('an answer that is no key set replaces none', async () => {
  const { state, set } = world();
  await set.find('a');
  state.keys = [];
  state.now += KEY_SET_TIMES.fresh + 1;
  assert.ok(await set.find('a'));
});

test('only RSA keys for signatures, strong enough, each id once', () => {
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey;
  const idsOf = (keys: unknown) => readKeySet({ keys }) && [...(readKeySet({ keys }) ?? [])].map(([id]) => id);
  assert.deepEqual(idsOf([A, B]), ['a', 'b']);
  assert.deepEqual(
    idsOf([
      A, jwk(ec, 'ec'), jwk(rsa(1024).publicKey, 'weak'), { ...A, kid: 'enc', use: 'enc' }, { ...A, kid: 'rs512', alg: 'RS512' },
      { ...A, kid: 'oct', kty: 'oct', k: 'AAAA' }, { ...A, kid: 7 }, { ...A, kid: 'e1', e: 'AQ' }, { ...A, kid: 'broken', n: '!' }, null, 'x',
    ]),
    ['a'],
  );
  for (const keys of [[], [A, { ...B, kid: 'a' }], 'x', null, Array.from({ length: 33 }, (_, at) => ({ ...A, kid: `k${at}` }))])
    assert.equal(readKeySet({ keys }), undefined);
  for (const answer of [null, [], 'x', {}]) assert.equal(readKeySet(answer), undefined);
});

test('PEM: verifies without a network; line feeds may be escaped', async () => {
  const pem = pair.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const key = readPemKey(pem.replaceAll('\n', '\\n'));
  assert.ok(key?.equals(pair.publicKey));
  assert.ok((await new FixedKey(key).find()).equals(pair.publicKey));
  for (const text of ['', 'x', pem.replace('PUBLIC', 'PRIVATE'), pem.slice(0, 90), pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    rsa(1024).publicKey.export({ type: 'spki', format: 'pem' }).toString()])
    assert.equal(readPemKey(text), undefined, text.slice(0, 40));
});

test('a fetch ends within its limits', async (context: TestContext) => {
  const answers: Record<string, (response: ServerResponse) => void> = {
    '/good': (response) => response.end('{"a":1}'),
    '/large': (response) => response.end(`"${'x'.repeat(2000)}"`),
    '/drip': (response) => {
      response.write('{');
      const timer = setInterval(() => response.write(' '), 20);
      response.on('close', () => clearInterval(timer));
    },
    '/silent': () => undefined,
    '/nonsense': (response) => response.end('<html>'),
    '/elsewhere': (response) => response.writeHead(302, { location: '/good' }).end(),
    '/cut': (response) => { response.writeHead(200, { 'content-length': '100' }); response.write('{'); response.destroy(); },
    '/busy': (response) => response.writeHead(429, { 'retry-after': '7' }).end(),
    '/missing': (response) => response.writeHead(404).end(),
  };
  const server = createServer((request, response) => answers[request.url ?? '']?.(response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => { server.closeAllConnections(); server.close(); });
  const get = (path: string) =>
    fetchJson(fetch, `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, { timeoutInMs: 400, largestAnswer: 1000 });
  assert.deepEqual(await get('/good'), { kind: 'json', body: { a: 1 } });
  for (const path of ['/large', '/drip', '/silent', '/nonsense', '/elsewhere', '/cut'])
    assert.deepEqual(await get(path), { kind: 'failed' }, path);
  assert.deepEqual(await get('/busy'), { kind: 'status', status: 429, retryAfterInSeconds: 7 });
  assert.deepEqual(await get('/missing'), { kind: 'status', status: 404, retryAfterInSeconds: undefined });
});

test('what is remembered is bounded in time and number', () => {
  let now = 0;
  const recent = new Recent(100, 3, () => now);
  for (const key of ['a', 'b', 'c', 'd']) recent.add(key);
  assert.deepEqual(['a', 'b', 'c', 'd'].map((key) => recent.has(key)), [false, true, true, true]);
  recent.add('b');
  recent.add('e');
  assert.ok(recent.has('b') && !recent.has('c'));
  now = 100;
  assert.ok(!recent.has('b'));
});
