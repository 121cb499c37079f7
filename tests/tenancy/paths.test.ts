// SPDX-License-Identifier: AGPL-3.0-only
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { findFileProblem, findFolderProblem, findLocalProblem, findSourcesProblem, joinUnresolved } from 'src/tenancy/paths/pure/storage-path';

const A = '20202020-1c25-4d02-bf25-6aeccf7ea419';
const B = '3b8e6458-5fc1-4e63-8563-008ccddaa6db';
const MINE = `workspace-${A}`;
const THEIRS = `workspace-${B}`;

const encode = (text: string) => [...text].map((c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`).join('');

// Everything that means "one up": as it is, encoded in part or whole, twice, thrice, with the other slash.
const UPS = [
  '../', '..\\', './../', 'x/../../', '....//../',
  '%2e%2e/', '%2E%2E/', '.%2e/', '%2e./', '..%2f', '..%2F', '..%5c', '..%5C', '%2e%2e%2f', '%2e%2e%5c',
  encode('../'), encode(encode('../')), encode(encode(encode('../'))), '%252e%252e%252f', '..%252f', '..%25252f', '%25252e%25252e/',
  '%%32e%%32e/', '%2%65%2%65/', '%25%32%65%25%32%65/',
];

test('what the server itself makes is good', () => {
  for (const [folder, name] of [
    [`${MINE}/attachment`, `${B}.pdf`],
    [`${MINE}/profile-picture`, `original/${B}.png`],
    [`${MINE}/profile-picture/original`, `${B}.png`],
    [`${MINE}/file`, B],
    [`${MINE}/.`, `${B}.png`],
    [`${MINE}/`, 'a.png'],
    [`${MINE}/serverless-function/${B}/draft/src`, 'index.ts'],
    [MINE, 'a.png'],
    [MINE.toUpperCase().replace('WORKSPACE', 'workspace'), 'a.png'],
  ] as Array<[string, string]>) {
    assert.equal(findFileProblem(folder, name), undefined, `${folder} ${name}`);
  }
  for (const folder of [MINE, `${MINE}/`, `${MINE}/serverless-function/${B}/1`, `${MINE}/serverless-function-to-delete/${B}`]) {
    assert.equal(findFolderProblem(folder), undefined, folder);
  }
});

test('odd names of files are no attack', () => {
  for (const name of ['a..b.txt', '...', 'a.100%', '100%.pdf', '%zz.txt', '%e2%82%ac.txt', '%c0%ae%c0%ae', 'فاتورة.pdf', '..a', 'a..', '.env', 'a b.txt', "o'neil.png"]) {
    assert.equal(findFileProblem(`${MINE}/attachment`, name), undefined, name);
  }
});

test('every spelling of "one up" is refused, in a folder and in a name', () => {
  for (const up of UPS) {
    for (const rest of [`${THEIRS}/attachment`, THEIRS, '', 'etc/passwd', MINE]) {
      assert.notEqual(findFolderProblem(`${MINE}/${up}${rest}`), undefined, `${up}${rest}`);
      assert.notEqual(findFolderProblem(`${MINE}/attachment/${up}${up}${rest}`), undefined, `${up}${up}${rest}`);
      assert.notEqual(findFileProblem(`${MINE}/attachment`, `${up}${rest}/x.png`), undefined, `name ${up}${rest}`);
    }
  }
  for (const name of ['..', '%2e%2e', '%252e%252e', '..%2f', '..\\', '.%2e']) {
    assert.notEqual(findFileProblem(`${MINE}/attachment`, name), undefined, name);
  }
});

test('a path that begins elsewhere is refused', () => {
  for (const folder of [
    '', '.', '/', '..', 'attachment', `/${MINE}`, `//${MINE}`, `./${MINE}`, ` ${MINE}`, `x${MINE}`, `${MINE}x`, `workspace-`, 'workspace-x', `workspace-${A}x/a`,
    `workspace-${A}%2f..`, `${MINE}\\..\\${THEIRS}`, `${MINE}%00`, 'workspace-%2e%2e', '/etc', 'C:\\', `file://${MINE}`, `${MINE}..`, `workspace-${A.replaceAll('-', '')}`,
  ]) {
    assert.notEqual(findFolderProblem(folder), undefined, JSON.stringify(folder));
  }
  for (const value of [undefined, null, 7, {}, [MINE], { toString: () => MINE }]) {
    assert.notEqual(findFolderProblem(value), undefined);
    assert.notEqual(findFileProblem(MINE, value), undefined);
  }
});

test('a name that names no file is refused, so that deleting a file never deletes a folder', () => {
  for (const name of ['', '.', './', 'a/', 'a/.', '%2e', 'attachment/', 'attachment%2f', 'attachment\\', '%2F']) {
    assert.equal(findFileProblem(MINE, name) !== undefined, true, name);
  }
});

test('control characters, and what is longer or deeper encoded than anything real, are refused', () => {
  for (const name of ['a\0.png', 'a%00.png', 'a%2500.png', 'a\n.png', 'a%0a.png', 'a\u007f']) {
    assert.match(findFileProblem(MINE, name) ?? '', /control/, JSON.stringify(name));
  }
  assert.match(findFileProblem(MINE, 'a'.repeat(2000)) ?? '', /too long/);
  assert.match(findFileProblem(MINE, `%${'25'.repeat(40)}2e`) ?? '', /too many times/);
});

test('a huge path costs no time', () => {
  const started = performance.now();
  findFileProblem(MINE, '%25'.repeat(2_000_000));
  findFileProblem(MINE, `%${'25'.repeat(3_000_000)}2e`);
  findFileProblem(MINE, '../'.repeat(2_000_000));
  assert.ok(performance.now() - started < 500);
});

test('every key of a tree of sources is looked at', () => {
  const draft = `${MINE}/serverless-function/${B}/draft`;
  assert.equal(findSourcesProblem(draft, { src: { 'index.ts': 'x', nested: { 'a.ts': '' } }, 'package.json': '{}' }), undefined);
  assert.equal(findSourcesProblem(draft, {}), undefined);
  for (const up of UPS) {
    for (const sources of [
      { [`${up}x/marker.txt`]: 'x' },
      { src: { [`${up}${up}${THEIRS}/attachment/x.png`]: 'x' } },
      { [up]: { 'x.txt': 'x' } },
      { a: { b: { [`${up}`]: { c: 'x' } } } },
    ]) {
      assert.notEqual(findSourcesProblem(draft, sources), undefined, JSON.stringify(sources));
    }
  }
  assert.notEqual(findSourcesProblem(draft, { '': 'x' }), undefined);
  assert.notEqual(findSourcesProblem('elsewhere', { 'a.ts': 'x' }), undefined);
  for (const value of [undefined, null, 'text', 7]) {
    assert.notEqual(findSourcesProblem(draft, value), undefined);
  }
  let deep: Record<string, unknown> = { 'a.ts': 'x' };
  for (let level = 0; level < 40; level += 1) deep = { d: deep };
  assert.match(findSourcesProblem(draft, deep) ?? '', /deeply/);
});

test('the place where a driver copies to is absolute and does not move', () => {
  assert.equal(findLocalProblem('/tmp/lambda-build-1/src/'), undefined);
  for (const place of ['', 'tmp/x', '/tmp/../app', '/tmp/%2e%2e/app', `${MINE}/x`]) {
    assert.notEqual(findLocalProblem(place), undefined, place);
  }
});

test('put together, words stay as they are, so that they can be refused', () => {
  assert.equal(joinUnresolved(MINE, 'serverless-function', B, ''), `${MINE}/serverless-function/${B}`);
  assert.equal(joinUnresolved(MINE, 'serverless-function', B, 'draft'), join(MINE, 'serverless-function', B, 'draft'));
  for (const version of ['../../..', `../../../${THEIRS}`, '../../../../scripts', '%2e%2e/%2e%2e/%2e%2e']) {
    assert.notEqual(findFolderProblem(joinUnresolved(MINE, 'serverless-function', B, version)), undefined, version);
  }
});

test('whatever is accepted stays below its workspace, however often it is decoded', () => {
  const pieces = ['..', '.', '/', '\\', '%', '%2e', '%2f', '%5c', '25', '2e', '2f', '%25', 'a', THEIRS, '%2', '5', '//', '%00', '%c0%ae'];
  let state = 42;
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return Math.floor((state / 0x80000000) * below);
  };
  const decodings = [
    (text: string) => text,
    (text: string) => text.replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(parseInt(digits, 16))),
    (text: string) => {
      try {
        return decodeURIComponent(text);
      } catch {
        return text;
      }
    },
  ];
  let accepted = 0;
  for (let round = 0; round < 60_000; round += 1) {
    const words = Array.from({ length: 1 + random(9) }, () => pieces[random(pieces.length)]).join('');
    if (findFileProblem(`${MINE}/attachment`, words) !== undefined) continue;
    accepted += 1;
    for (const decode of decodings) {
      let text = words;
      for (let times = 0; times < 6; times += 1) {
        const below = join('/storage', MINE, 'attachment', text.replaceAll('\\', '/'));
        assert.ok(below.startsWith(`/storage/${MINE}/attachment/`), `${words} -> ${below}`);
        text = decode(text);
      }
    }
  }
  assert.ok(accepted > 1000, String(accepted));
});
