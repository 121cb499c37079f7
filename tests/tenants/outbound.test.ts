// SPDX-License-Identifier: AGPL-3.0-only
// The check of addresses that tenants choose, run by Node as it is shipped; a server on loopback counts what arrives.
import assert from 'node:assert/strict';
import { type LookupAddress } from 'node:dns';
import http from 'node:http';
import { type AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';

import { mayConnect, readAllowed } from '../../files/twenty/overlay/packages/twenty-server/src/tenancy/outbound/pure/public-address.ts';
import { type Resolve, safeAgents, safeHost } from '../../files/twenty/overlay/packages/twenty-server/src/tenancy/outbound/pure/safe-agents.ts';

const NOTHING = readAllowed('');
const LOOPBACK = readAllowed('127.0.0.1/32');
let arrived = 0;
let port = 0;
const catcher = http.createServer((request, response) => {
  arrived += 1;
  response.end('caught');
});

before(async () => {
  await new Promise<void>((ready) => catcher.listen(0, '127.0.0.1', ready));
  port = (catcher.address() as AddressInfo).port;
});
after(() => catcher.close());

/** A name server that answers each question with the next of these. */
const answers = (...lists: string[][]): Resolve & { asked: number } => {
  const resolve = ((host, options, done) => {
    const addresses = lists[Math.min(resolve.asked, lists.length - 1)];
    resolve.asked += 1;
    done(null, addresses.map((address): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 })));
  }) as Resolve & { asked: number };
  resolve.asked = 0;
  return resolve;
};

const get = (host: string, agents: { http: http.Agent }): Promise<string> =>
  new Promise((done, failed) => {
    const request = http.get({ host, port, agent: agents.http, path: '/x' }, (response) => {
      response.resume();
      response.on('end', () => done('answered'));
    });
    request.on('error', failed);
  });

test('what is not public is refused, whatever its family', () => {
  for (const address of [
    '0.0.0.0', '0.1.2.3', '10.0.0.1', '100.64.0.1', '100.127.255.255', '127.0.0.1', '127.255.255.254', '169.254.169.254', '172.16.0.1', '172.31.255.255',
    '192.0.0.1', '192.0.2.1', '192.168.1.1', '198.18.0.1', '198.19.255.255', '198.51.100.1', '203.0.113.1', '224.0.0.1', '239.1.1.1', '240.0.0.1', '255.255.255.255',
    '::', '::1', '::7f00:1', '::ffff:127.0.0.1', '::ffff:7f00:1', '::ffff:8.8.8.8', '::ffff:0:127.0.0.1', '64:ff9b::7f00:1', '64:ff9b::808:808', '64:ff9b:1::1', '100::1',
    '2001::1', '2001:10::1', '2001:20::1', '2001:db8::1', '2002:7f00:1::', '3fff::1', '5f00::1', 'fc00::1', 'fd00:ec2::254', 'fe80::1', 'fec0::1', 'ff02::1', 'fe80::1%lo',
    '', 'localhost', '127.1', '0x7f000001', '2130706433', '2001:4860:4860::8888%1', '8.8.8.8 ', '[2001:4860:4860::8888]',
  ]) {
    assert.equal(mayConnect(address, NOTHING), false, address);
  }
});

test('public addresses are let through', () => {
  for (const address of ['1.1.1.1', '8.8.8.8', '100.63.255.255', '100.128.0.1', '172.15.0.1', '172.32.0.1', '192.0.1.1', '198.17.0.1', '198.20.0.1', '223.255.255.255', '2001:4860:4860::8888', '2606:4700::1', '2a00:1450::1']) {
    assert.equal(mayConnect(address, NOTHING), true, address);
  }
});

test('the operator opens networks by name, and a wrong one is refused at start', () => {
  const allowed = readAllowed(' 10.1.2.3/32, fd00:1::/64 ,');
  assert.equal(mayConnect('10.1.2.3', allowed), true);
  assert.equal(mayConnect('10.1.2.4', allowed), false);
  assert.equal(mayConnect('fd00:1::5', allowed), true);
  assert.equal(mayConnect('fd00:2::5', allowed), false);
  for (const wrong of ['10.1.2.3', '10.1.2.3/33', '10.1.2/24', 'relay.internal/32', '::1/129', '10.1.2.3/', '/8', '10.0.0.0/-1']) {
    assert.throws(() => readAllowed(wrong), /TWENTYOPS_TENANTS_MAY_REACH/, wrong);
  }
});

test('an address in the request is refused, and nothing arrives', async () => {
  const agents = safeAgents(NOTHING);
  for (const host of ['127.0.0.1', '0.0.0.0', '::1', '::', '::ffff:127.0.0.1', '127.1', '0', '0x7f.1', '017700000001', '2130706433', 'localhost', 'localhost.', 'a.localhost', '']) {
    const before = arrived;
    await assert.rejects(get(host, agents), (error: Error) => /ERR_REFUSED_ADDRESS|ENOTFOUND|EAI_AGAIN/.test((error as NodeJS.ErrnoException).code ?? ''), host);
    assert.equal(arrived, before, host);
  }
});

test('an allowed address is reached, so that the refusals mean something', async () => {
  assert.equal(await get('127.0.0.1', safeAgents(LOOPBACK)), 'answered');
  assert.equal(await get('inside.test', safeAgents(LOOPBACK, answers(['127.0.0.1']))), 'answered');
});

test('a name is as good as the worst of its addresses', async () => {
  for (const list of [['127.0.0.1'], ['8.8.8.8', '127.0.0.1'], ['::ffff:127.0.0.1'], ['169.254.169.254'], ['2001:4860:4860::8888', 'fd00::1'], []]) {
    const before = arrived;
    await assert.rejects(get('evil.test', safeAgents(NOTHING, answers(list))), { code: 'ERR_REFUSED_ADDRESS' }, String(list));
    assert.equal(arrived, before);
  }
});

test('a name is looked up once for a connection: the address that was checked is the one connected to', async () => {
  const resolve = answers(['127.0.0.1'], ['10.0.0.1']);
  assert.equal(await get('turning.test', safeAgents(LOOPBACK, resolve)), 'answered');
  assert.equal(resolve.asked, 1);
  const turning = answers(['8.8.8.8'], ['127.0.0.1']);
  const agents = safeAgents(NOTHING, turning);
  assert.deepEqual(await safeHost('turning.test', NOTHING, turning), { host: '8.8.8.8', servername: 'turning.test' });
  const before = arrived;
  await assert.rejects(get('turning.test', agents), { code: 'ERR_REFUSED_ADDRESS' });
  assert.equal(arrived, before);
});

test('a client of mail gets the checked address and the name', async () => {
  assert.deepEqual(await safeHost(' mail.test ', NOTHING, answers(['8.8.8.8', '1.1.1.1'])), { host: '8.8.8.8', servername: 'mail.test' });
  assert.deepEqual(await safeHost('8.8.8.8', NOTHING), { host: '8.8.8.8' });
  for (const host of ['127.0.0.1', '::1', '0', '127.1', '', ' ', undefined, 'localhost']) {
    await assert.rejects(safeHost(host, NOTHING), { code: 'ERR_REFUSED_ADDRESS' }, String(host));
  }
});

test('a refusal does not tell the address behind a name', async () => {
  await assert.rejects(get('inner.test', safeAgents(NOTHING, answers(['10.77.0.3']))), (error: Error) => !error.message.includes('10.77'));
});
