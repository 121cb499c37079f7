// SPDX-License-Identifier: AGPL-3.0-only
// What a mail server may send, with streams in place of the client. With IMAPFLOW=/path/to/node_modules/imapflow also by the real one.
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { createRequire } from 'node:module';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';

import { boundMail, MAIL_LIMITS } from '../../files/twenty/overlay/packages/twenty-server/src/tenancy/outbound/pure/bounded-mail.ts';

const LIMITS = { bytes: 1_000, literal: 1_000, text: 100, responses: 20, folders: 5 };

// In the shape of the client: what comes is cut into lines, and each is a response.
class Client extends EventEmitter {
  closed = 0;
  vanished = 0;
  read: string[] = [];
  streamer = Object.assign(
    new Transform({
      readableObjectMode: true,
      transform(chunk, _encoding, next) {
        for (const line of String(chunk).split('\r\n').filter(Boolean)) this.push({ payload: Buffer.from(line) });
        next();
      },
    }),
    { literalWaiting: 0 },
  );
  constructor() {
    super();
    this.streamer.on('data', ({ payload }) => this.read.push(String(payload)));
  }
  close() {
    this.closed += 1;
    this.streamer.destroy();
  }
  async untaggedVanished() {
    this.vanished += 1;
  }
}

const make = () => {
  const logged: string[] = [];
  const client = boundMail(new Client(), (message) => logged.push(message), LIMITS);

  return { client, logged };
};
const send = (client: Client, ...chunks: string[]) => pipeline(Readable.from(chunks.map((chunk) => Buffer.from(chunk))), client.streamer).catch(() => {});

test('what is usual passes', async () => {
  const { client, logged } = make();
  await send(client, '* OK hello\r\n', '* LIST () "/" INBOX\r\n* LIST () "/" Sent\r\n');
  assert.deepEqual([client.read.length, client.closed, logged], [3, 0, []]);
});

for (const [what, chunks, why] of [
  ['bytes without end', Array(20).fill(`${'x'.repeat(90)}\r\n`), /more than 1000 bytes/],
  ['one long line', [`${'x'.repeat(101)}\r\n`], /response of more than 100 bytes/],
  ['responses without end', Array(21).fill('* OK\r\n'), /more than 20 responses/],
  ['folders without end', Array(6).fill('* LIST () "/" a\r\n'), /more than 5 folders/],
  ['folders written otherwise', Array(6).fill('*  lsub () "/" a\r\n'), /more than 5 folders/],
] as const) {
  test(`${what}: the connection is closed, once, and says so`, async () => {
    const { client, logged } = make();
    await send(client, ...chunks);
    assert.equal(client.closed, 1);
    assert.equal(logged.length, 1);
    assert.match(logged[0], why);
  });
}

test('a literal that is announced too large is not waited for', () => {
  const { client, logged } = make();
  client.streamer.literalWaiting = 1_001;
  assert.equal(client.streamer.write(Buffer.from('* 1 FETCH (BODY[] {1001}\r\n')), false);
  assert.match(logged[0], /literal of more than 1000 bytes/);
});

test('an error that nobody listens to ends nothing but the connection', () => {
  const { client, logged } = make();
  client.emit('error', new Error('Socket timeout'));
  client.emit('error', new Error('again'));
  assert.deepEqual([client.closed, logged], [1, ['the connection is closed: Socket timeout']]);
});

test('no list is made of what vanished', async () => {
  const { client } = make();
  await client.untaggedVanished();
  assert.equal(client.vanished, 0);
});

test('a client of another shape is refused', () => {
  assert.throws(() => boundMail(new EventEmitter(), () => {}, LIMITS), /another shape/);
});

const path = process.env.IMAPFLOW;

test('the real client', { skip: path ? false : 'IMAPFLOW names no imapflow' }, async (t) => {
  const { ImapFlow } = createRequire(import.meta.url)(path ?? '');
  const attempt = async (serve: (socket: Socket) => void, use: (client: any) => Promise<unknown> = (client) => client.list()) => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      serve(socket);
    });

    await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
    const logged: string[] = [];
    const client = boundMail(
      new ImapFlow({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, secure: false, auth: { user: 'u', pass: 'p' }, logger: false }) as EventEmitter,
      (message) => logged.push(message),
      MAIL_LIMITS,
    ) as any;
    let failed: unknown;
    let result: unknown;

    try {
      await client.connect();
      result = await use(client);
    } catch (error) {
      failed = error;
    }
    await new Promise((done) => setTimeout(done, 100));
    client.close();
    sockets.forEach((socket) => socket.destroy());
    server.close();

    return { logged, failed, result };
  };
  // A server that answers each command with OK, and to some with more.
  const imap = (more: Record<string, (socket: Socket) => void>) => (socket: Socket) => {
    socket.write('* OK [CAPABILITY IMAP4rev1] hello\r\n');
    socket.on('data', (data) => {
      for (const line of String(data).split('\r\n').filter(Boolean)) {
        const [tag, command] = line.split(' ');
        more[command]?.(socket);
        socket.write(`${tag} OK done\r\n`);
      }
    });
  };

  await t.test('lists folders', async () => {
    const { failed, result, logged } = await attempt(imap({ LIST: (socket) => socket.write('* LIST (\\HasNoChildren) "/" INBOX\r\n') }));
    assert.equal(failed, undefined);
    assert.equal((result as unknown[]).length, 1);
    assert.deepEqual(logged, []);
  });
  await t.test('a reset after the greeting', async () => {
    const { failed } = await attempt(imap({ LIST: (socket) => socket.resetAndDestroy() }));
    assert.ok(failed);
  });
  await t.test('a literal of two gigabytes, and one of 900 MB', async () => {
    for (const size of [2_000_000_000, 900_000_000]) {
      const { logged } = await attempt(imap({ LIST: (socket) => socket.write(`* LIST () "/" {${size}}\r\n`) }));
      assert.equal(logged.length, 1, String(size));
    }
  });
  await t.test('bytes without end', async () => {
    const { failed, logged } = await attempt(imap({
      LIST: (socket) => {
        const piece = Buffer.alloc(1 << 20, 'x');
        const more = () => { while (!socket.destroyed && socket.write(piece)); };
        socket.on('drain', more);
        more();
      },
    }));
    assert.ok(failed);
    assert.match(logged[0], /more than \d+ bytes/);
  });
  await t.test('folders without end', async () => {
    const { logged } = await attempt(imap({ LIST: (socket) => socket.write('* LIST () "/" a\r\n'.repeat(20_000)) }));
    assert.match(logged[0] ?? '', /more than 3000 folders/);
  });
  await t.test('all numbers vanish', async () => {
    const { failed } = await attempt(
      imap({ SELECT: (socket) => socket.write('* 1 EXISTS\r\n'), NOOP: (socket) => socket.write('* VANISHED 1:4294967295\r\n'), LIST: (socket) => socket.write('* LIST () "/" INBOX\r\n') }),
      async (client) => { await client.mailboxOpen('INBOX'); await client.noop(); },
    );
    assert.equal(failed, undefined);
  });
});
