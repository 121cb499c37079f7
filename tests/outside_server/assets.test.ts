import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';

import { compressedAssets } from 'src/outside/compressed-assets';

const SCRIPT = 'const crm = 1;\n'.repeat(5000);
const front = mkdtempSync(join(tmpdir(), 'front-'));
mkdirSync(join(front, 'assets'));
writeFileSync(join(front, 'assets', 'index-abc.js'), SCRIPT);
writeFileSync(join(front, 'assets', 'logo.png'), 'png');
writeFileSync(join(front, 'secret.js'), 'outside of the assets');
const serve = compressedAssets(front);
writeFileSync(join(front, 'assets', 'later.js'), 'was not there at the start');

type Told = { next: boolean; status: number; headers: Record<string, string>; body?: Buffer };

// As much of Express as is asked of it.
const ask = (path: string, { method = 'GET', gzip = true, known = '' } = {}): Promise<Told> =>
  new Promise((resolve) => {
    const told: Told = { next: false, status: 200, headers: {} };
    const response = {
      set: (name: string | Record<string, string>, value?: string) => Object.assign(told.headers, typeof name === 'string' ? { [name]: value } : name),
      status: (status: number) => { told.status = status; return response; },
      end: (body?: Buffer) => resolve({ ...told, body }),
    };
    const request = {
      path, method,
      acceptsEncodings: () => (gzip ? 'gzip' : 'identity'),
      get fresh() { return known !== '' && known === told.headers.ETag; },
    };
    serve(request as never, response as never, () => resolve({ ...told, next: true }));
  });

test('a script comes compressed, with its type, to everybody from the same memory', async () => {
  const answers = await Promise.all(Array.from({ length: 50 }, () => ask('/assets/index-abc.js')));
  assert.equal(gunzipSync(answers[0].body!).toString(), SCRIPT);
  assert.ok(answers.every(({ body }) => body === answers[0].body));
  assert.equal(answers[0].headers['Content-Encoding'], 'gzip');
  assert.equal(answers[0].headers['Content-Type'], 'application/javascript; charset=UTF-8');
  assert.equal(answers[0].headers.Vary, 'Accept-Encoding');
  assert.equal(answers[0].headers['Content-Length'], String(answers[0].body!.length));
});

test('who has it already is told so, and HEAD has no body', async () => {
  const { headers } = await ask('/assets/index-abc.js');
  assert.deepEqual([(await ask('/assets/index-abc.js', { known: headers.ETag })).status], [304]);
  const head = await ask('/assets/index-abc.js', { method: 'HEAD' });
  assert.deepEqual([head.status, head.body, head.headers['Content-Length'] === headers['Content-Length']], [200, undefined, true]);
});

test('who does not take gzip is served as before', async () => {
  assert.equal((await ask('/assets/index-abc.js', { gzip: false })).next, true);
});

for (const path of [
  '/assets/logo.png', '/assets/nothing.js', '/assets/later.js', '/assets/../secret.js', '/assets/..%2fsecret.js', '/assets/%2e%2e/secret.js',
  '/secret.js', '/assets/', '/assets', '/assets/index-abc.js/', '/ASSETS/index-abc.js', '/assets//index-abc.js', '/assets/...js',
]) {
  test(`not by this: ${path}`, async () => assert.equal((await ask(path)).next, true));
}

test('nor by another method', async () => assert.equal((await ask('/assets/index-abc.js', { method: 'POST' })).next, true));
