import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  fitBatches,
  LARGEST_JOB,
  MOST_OF_EVENTS,
  optionsForSize,
  shareAmong,
  sizeOf,
} from '../../files/twenty/overlay/packages/twenty-server/src/tenancy/jobs/pure/job-size.ts';

const event = (text: string) => ({ recordId: 'r', properties: { before: { text }, after: { text }, diff: { text: { before: text, after: text } } } });
const batch = (...texts: string[]) => ({ name: 'note.updated', workspaceId: 'w', events: texts.map(event) });

test('what fits stays as it is', () => {
  const small = batch('x'.repeat(50_000));
  assert.deepEqual(fitBatches(small, MOST_OF_EVENTS), { batches: [small], leftOut: 0 });
});

test('a change of ten megabytes is cut, and keeps its shape', () => {
  const [cut] = fitBatches(batch('x'.repeat(2_500_000)), MOST_OF_EVENTS).batches;
  assert.ok(sizeOf(cut) <= MOST_OF_EVENTS);
  assert.equal(cut.events[0].recordId, 'r');
  assert.equal(cut.events[0].properties.after.text, `${'x'.repeat(16_384)} [cut]`);
});

test('no half of a character is left at the end', () => {
  for (const before of ['', 'x']) {
    const [cut] = fitBatches(batch(before + '😀'.repeat(500_000)), 200_000).batches;
    assert.match(cut.events[0].properties.after.text, / \[cut\]$/);
    assert.equal(cut.events[0].properties.after.text.isWellFormed(), true);
  }
});

test('many records come in several batches, and none is lost', () => {
  const many = batch(...Array.from({ length: 200 }, (_, number) => `${number}`.padEnd(5_000, 'x')));
  const { batches, leftOut } = fitBatches(many, 100_000);
  assert.equal(leftOut, 0);
  assert.equal(batches.reduce((sum, part) => sum + part.events.length, 0), 200);
  assert.deepEqual(batches.flatMap((part) => part.events.map(({ properties }) => parseInt(properties.after.text, 10))), [...Array(200).keys()]);
  for (const part of batches) {
    assert.ok(sizeOf(part) <= 100_000);
    assert.equal(part.workspaceId, 'w');
  }
});

test('what fits in none is counted: keys are not cut', () => {
  const keys = { ...batch('a'), events: [Object.fromEntries(Array.from({ length: 100_000 }, (_, number) => [`key${number}`, 1]))] };
  assert.deepEqual(fitBatches(keys, MOST_OF_EVENTS), { batches: [], leftOut: 1 });
});

test('webhooks share: what fifty are sent is no more than a megabyte', () => {
  const sent = shareAmong(Array.from({ length: 50 }, () => ({ targetUrl: 'https://a.test/', record: { text: 'x'.repeat(200_000) } })), MOST_OF_EVENTS);
  assert.equal(sent.length, 50);
  assert.ok(sizeOf(sent) <= MOST_OF_EVENTS);
  assert.equal(shareAmong([event('x'.repeat(100_000))], MOST_OF_EVENTS)[0].properties.after.text.length, 100_000);
});

test('large jobs are not kept, and those over the bound are refused', () => {
  const options = { attempts: 3, removeOnComplete: { count: 50 } };
  assert.equal(optionsForSize('job', { text: 'x' }, options), options);
  assert.deepEqual(optionsForSize('job', { text: 'x'.repeat(20_000) }, options), { attempts: 3, removeOnComplete: true, removeOnFail: true });
  assert.throws(() => optionsForSize('job', { text: 'x'.repeat(LARGEST_JOB) }, options), /The job job has \d+ bytes and is refused/);
  assert.equal(optionsForSize('job', undefined, options), options);
});

test('addresses, names and ids are never cut', () => {
  const targetUrl = `https://a.test/${'p'.repeat(500)}`;
  const secret = 's'.repeat(200);
  for (const sent of shareAmong(Array.from({ length: 400 }, () => ({ targetUrl, secret, record: { name: 'x'.repeat(50_000) } })), MOST_OF_EVENTS)) {
    assert.deepEqual([sent.targetUrl, sent.secret], [targetUrl, secret]);
    assert.ok(sizeOf(sent) <= MOST_OF_EVENTS / 400);
  }
  const name = `${'n'.repeat(100)}.created`;
  assert.equal(fitBatches({ ...batch('x'.repeat(50_000)), name }, 3_000).batches[0].name, name);
});

test('metadata that alone is too large ends it at once', () => {
  assert.deepEqual(fitBatches({ ...batch('a', 'b'), objectMetadata: 'x'.repeat(10_000) }, 1_000), { batches: [], leftOut: 2 });
});
