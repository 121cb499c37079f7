import assert from 'node:assert/strict';
import { test } from 'node:test';

import { doesFileLinkOpen, getFileLinkLifetime, readRequestedPath, toServedPath } from 'src/tenancy/files/pure/file-link';
import { FILE_CONTENT_SECURITY_POLICY, getFileResponseHeaders } from 'src/tenancy/files/pure/file-response';

const NOW = 1_800_000_000_000;
const later = NOW / 1000 + 60;

test('paths as they are stored are served', () => {
  for (const path of [
    'attachment/0b1c.png', 'profile-picture/original/0b1c.jpg', 'workspace-logo/original/a b.png', 'person-picture/x.webp',
    'file/رسالة.pdf', 'agent-chat/x.txt', 'attachment/..x.png', 'attachment/a..b',
  ]) assert.equal(toServedPath(path), path, path);
  assert.equal(toServedPath('/attachment/x.png'), 'attachment/x.png');
});

test('paths that could leave the folder, or are not for people, are not', () => {
  for (const path of [
    '', '/', 'attachment', 'attachment/', '//attachment/x.png', 'attachment//x.png', '../workspace-b/attachment/x.png',
    'attachment/../../workspace-b/attachment/x.png', 'attachment/./x.png', 'attachment/..', 'attachment/.', './attachment/x.png',
    'attachment\\..\\x.png', 'attachment/%2e%2e/x.png', 'attachment/..%2fx.png', 'attachment/x%00.png', 'attachment/x\0.png',
    'attachment/x\n.png', 'serverless-function/id/draft/src/index.ts', 'serverless-function-to-delete/x.ts', 'workspace-b/attachment/x.png',
    'Attachment/x.png', 'https://evil.test/attachment/x.png', 'https:/attachment/x.png', `attachment/${'x'.repeat(1024)}`,
    undefined, null, 7, {}, ['attachment/x.png'],
  ]) assert.equal(toServedPath(path), null, String(path));
});

test('the path of a request leaves the token out', () => {
  assert.equal(readRequestedPath({ 0: 'attachment/TOKEN', filename: 'x.png' }), 'attachment/x.png');
  assert.equal(readRequestedPath({ 0: 'profile-picture/original/TOKEN', filename: 'x.png' }), 'profile-picture/original/x.png');
  assert.equal(readRequestedPath({ 0: 'attachment/../../workspace-b/attachment/TOKEN', filename: 'x.png' }), null);
  assert.equal(readRequestedPath({ 0: 'attachment/TOKEN', filename: '..' }), null);
  assert.equal(readRequestedPath({ 0: 'attachment/TOKEN', filename: '../x.png' }), null);
  assert.equal(readRequestedPath({}), null);
});

test('a link opens its own path until it ends', () => {
  const asked = { 0: 'attachment/TOKEN', filename: 'x.png' };
  assert.ok(doesFileLinkOpen({ path: 'attachment/x.png', exp: later }, asked, NOW));
  for (const claims of [
    undefined, null, {}, { path: 'attachment/x.png' }, { exp: later }, { path: 'attachment/y.png', exp: later },
    { path: 'person-picture/x.png', exp: later }, { path: '/attachment/x.png', exp: later }, { path: null, exp: later },
    { path: 'attachment/x.png', exp: NOW / 1000 }, { path: 'attachment/x.png', exp: 0 }, { path: 'attachment/x.png', exp: '9999999999' },
  ]) assert.ok(!doesFileLinkOpen(claims, asked, NOW), JSON.stringify(claims));
});

test('a token for a path that leaves the folder opens nothing, even that path', () => {
  const path = 'attachment/../../workspace-b/attachment/x.png';
  assert.ok(!doesFileLinkOpen({ path, exp: later }, { 0: 'attachment/../../workspace-b/attachment/TOKEN', filename: 'x.png' }, NOW));
});

test('links to faces and logos live longer, and end too', () => {
  assert.equal(getFileLinkLifetime('attachment/x.png', '1d'), '1d');
  assert.equal(getFileLinkLifetime(undefined, '1d'), '1d');
  assert.equal(getFileLinkLifetime('profile-picture/original/x.png', '1d'), '30d');
  assert.equal(getFileLinkLifetime('workspace-logo/original/x.png', '1d'), '30d');
});

test('what is no picture, sound or film is downloaded without a name of its own', () => {
  for (const type of [
    undefined, '', 'text/html', 'text/plain', 'image/svg+xml', 'application/xml', 'application/xhtml+xml', 'text/javascript',
    'application/zip', 'application/x-msdownload', 'text/css', 'multipart/related', 'constructor', '__proto__',
  ]) {
    const headers = getFileResponseHeaders(type);
    assert.equal(headers['Content-Type'], 'application/octet-stream', type);
    assert.equal(headers['Content-Disposition'], 'attachment', type);
  }
});

test('pictures are shown, a PDF is named and downloaded, and every answer is kept from acting', () => {
  assert.equal(getFileResponseHeaders('image/png')['Content-Disposition'], 'inline');
  assert.equal(getFileResponseHeaders('image/png')['Content-Type'], 'image/png');
  assert.equal(getFileResponseHeaders('application/pdf')['Content-Disposition'], 'attachment');
  assert.equal(getFileResponseHeaders('application/pdf')['Content-Type'], 'application/pdf');
  for (const type of [undefined, 'image/png', 'application/pdf', 'text/html']) {
    const headers = getFileResponseHeaders(type);
    assert.equal(headers['Content-Security-Policy'], FILE_CONTENT_SECURITY_POLICY);
    assert.equal(headers['X-Content-Type-Options'], 'nosniff');
    assert.equal(headers['Cross-Origin-Resource-Policy'], 'same-site');
  }
  assert.match(FILE_CONTENT_SECURITY_POLICY, /default-src 'none'/);
  assert.match(FILE_CONTENT_SECURITY_POLICY, /(^|; )sandbox(;|$)/);
});
