import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isTransient, runOnWorkspace, type Mode } from '../../files/twenty/overlay/packages/twenty-server/src/data-model/pure/apply';
import { isMatched, planWorkspace } from '../../files/twenty/overlay/packages/twenty-server/src/data-model/pure/plan';
import { asOutcome, asTable, exitCodeOf, runOnAll, type RunReport } from '../../files/twenty/overlay/packages/twenty-server/src/data-model/pure/report';
import { field, model, random, Workspace } from './workspace';

const COMPLETE = { objects: 7, objectFields: 112, extendedFields: 25, relations: 6 };
const run = (workspace: Workspace, mode: Mode = 'apply', wanted = model()) =>
  runOnWorkspace(workspace, wanted, 'w', mode, { pause: async () => undefined });
const applied = async () => {
  const workspace = new Workspace();
  assert.equal((await run(workspace)).status, 'matched');
  workspace.writes = 0;
  return workspace;
};

test('a fresh workspace gets everything, and a second run writes nothing', async () => {
  const workspace = new Workspace();
  const first = await run(workspace);
  assert.deepEqual([first.status, first.present, first.retries], ['matched', COMPLETE, 0]);
  assert.deepEqual(first.written, { objects: 7, fields: 136, relations: 6, changes: 1, views: 10 });
  const writes = workspace.writes;
  const second = await run(workspace);
  assert.deepEqual([second.status, workspace.writes - writes], ['matched', 0]);
});

test('plan and verify write nothing', async () => {
  for (const mode of ['plan', 'verify'] as const) {
    const workspace = new Workspace();
    const report = await run(workspace, mode);
    assert.deepEqual([report.status, workspace.writes, report.toDo.length], ['differs', 0, 7 + 112 + 25 + 6]);
  }
});

test('killed or failing at any single write, it converges', async () => {
  for (let seed = 0; seed < 60; seed += 1) {
    const next = random(seed);
    const workspace = new Workspace();
    for (let kill = 0; kill < 4; kill += 1) {
      const point = workspace.writes + Math.floor(next() * 60);
      let killed = false;
      workspace.before = (write) => {
        if (write >= point) {
          killed = true;
          throw new Error('killed');
        }
      };
      assert.equal((await run(workspace)).status, killed ? 'failed' : 'matched', `seed ${seed}`);
    }
    workspace.before = () => undefined;
    const report = await run(workspace);
    assert.deepEqual([report.status, report.present], ['matched', COMPLETE], `seed ${seed}`);
    assert.deepEqual([workspace.views.size, workspace.noted], [10, []], `seed ${seed}`);
    assert.equal(new Set(workspace.objects.flatMap((o) => o.fields.map((f) => `${o.nameSingular}.${f.name}`))).size, workspace.objects.flatMap((o) => o.fields).length);
  }
});

test('transient errors are retried with bounds, others once, and the report tells', async () => {
  const workspace = new Workspace();
  let left = 5;
  workspace.before = () => {
    if (left-- > 0) throw Object.assign(new Error('reset'), { cause: { code: 'ECONNRESET' } });
  };
  const report = await run(workspace);
  assert.deepEqual([report.status, report.retries], ['matched', 5]);
  const never = new Workspace();
  let calls = 0;
  never.before = () => {
    calls += 1;
    throw Object.assign(new Error('down'), { code: 'HTTP_503' });
  };
  assert.deepEqual([(await run(never)).status, calls], ['failed', 7]);
  const refused = new Workspace();
  calls = 0;
  refused.before = () => {
    calls += 1;
    throw new Error('RESERVED_KEYWORD');
  };
  const last = await run(refused);
  assert.deepEqual([last.status, last.error, calls], ['failed', 'RESERVED_KEYWORD', 2]);
  assert.ok(isTransient(new Error('fetch failed')) && !isTransient(new Error('NOT_AVAILABLE')));
});

test('a server that asks to wait is obeyed, up to ten seconds', async () => {
  const workspace = new Workspace();
  const waits: number[] = [];
  let once = true;
  workspace.before = () => {
    if (once) {
      once = false;
      throw Object.assign(new Error('slow down'), { code: 'HTTP_429', retryAfterMs: 4_000 });
    }
  };
  await runOnWorkspace(workspace, model(), 'w', 'apply', { pause: async (ms) => void waits.push(ms) });
  assert.deepEqual(waits, [4_000]);
});

test('what a write does not change is said, not tried for ever', async () => {
  const workspace = await applied();
  workspace.field('sallaOrder', 'total').label = 'Sum';
  workspace.updateField = async () => undefined;
  const report = await run(workspace);
  assert.equal(report.status, 'failed');
  assert.match(report.error ?? '', /still not as the model says: change sallaOrder\.total: label/);
});

test('a type conflict is named, and nothing is written for that workspace', async () => {
  for (const [object, made, said] of [
    ['person', field('totalSpent', 'TEXT', { isCustom: true }), /person\.totalSpent: is TEXT here, the model says NUMBER/],
    ['person', field('voiceCalls', 'NUMBER', { isCustom: true }), /person\.voiceCalls: is a NUMBER field here/],
    ['workflow', field('status', 'SELECT'), /workflow\.status: Twenty has a standard field/],
    ['person', field('x', 'RELATION', { isCustom: true, settings: { joinColumnName: 'sallaCustomerId' } }), /is the column of the relation x/],
  ] as const) {
    const workspace = new Workspace();
    workspace.object(object).fields.push(made);
    const report = await run(workspace);
    assert.equal(report.status, 'conflict', String(said));
    assert.match(report.conflicts.join('\n'), said);
    assert.equal(workspace.writes, 0, String(said));
  }
});

test('objects of our names that are something else are conflicts', () => {
  const workspace = new Workspace();
  workspace.objects[0].nameSingular = 'sallaCarts';
  workspace.objects[1] = { ...workspace.objects[1], nameSingular: 'voiceCall' };
  const { conflicts } = planWorkspace(model(), workspace.objects);
  assert.match(conflicts.join('\n'), /sallaCart: a name of it is taken/);
  assert.match(conflicts.join('\n'), /voiceCall: Twenty has a standard object/);
  assert.match(conflicts.join('\n'), /person: the standard object is not there/);
});

test('a relation to somewhere else, and a taken join column, are conflicts', async () => {
  const workspace = await applied();
  const relation = workspace.field('voiceCall', 'contact').relation;
  assert.ok(relation);
  relation.targetObject = 'company';
  assert.match((await run(workspace)).conflicts.join(), /voiceCall\.contact: is MANY_TO_ONE to company\.voiceCalls here/);
  const other = new Workspace();
  const only = { ...model(), relations: [] };
  await run(other, 'apply', only);
  other.object('voiceCall').fields.push(field('contactId', 'TEXT', { isCustom: true }));
  assert.match((await run(other)).conflicts.join(), /its column contactId is the name of a TEXT field/);
});

test('what people made is left alone and reported', async () => {
  const workspace = await applied();
  workspace.object('sallaOrder').fields.push(field('handMade', 'TEXT', { isCustom: true }));
  workspace.objects.push({ ...workspace.objects[0], id: 'x', nameSingular: 'boat', namePlural: 'boats', isCustom: true });
  const before = structuredClone(workspace.objects);
  const report = await run(workspace);
  assert.deepEqual(report.leftAlone, ['sallaOrder.handMade (TEXT)', 'boat (object)']);
  assert.deepEqual([report.status, workspace.objects], ['matched', before]);
});

test('a field that the model no longer has stays', async () => {
  const workspace = await applied();
  const smaller = model();
  smaller.objects[0].fields.pop();
  const report = await run(workspace, 'apply', smaller);
  assert.deepEqual([report.status, report.leftAlone, workspace.writes], ['matched', ['agentSetting.callTriggers (MULTI_SELECT)'], 0]);
});

test('labels, icons, descriptions, defaults, options are put right; options keep their ids and those of people stay', async () => {
  const workspace = await applied();
  const status = workspace.field('sallaOrder', 'status');
  const ids = new Map(status.options?.map(({ value, id }) => [value, id]));
  const options = status.options ?? [];
  options[0].label = 'Waiting';
  options[1].color = 'red';
  options.splice(2, 1);
  options.push({ id: 'theirs', value: 'LOST', label: 'Lost', color: 'gray', position: 9 });
  status.defaultValue = null;
  status.isActive = false;
  workspace.object('sallaCart').icon = 'IconX';
  workspace.field('person', 'communicationLogs').label = 'Logs';
  workspace.field('sallaProduct', 'price').settings = { dataType: 'int', decimals: 0 };
  workspace.field('opportunity', 'sallaOrderId').isUnique = true;
  const report = await run(workspace);
  assert.deepEqual([report.status, report.written], ['matched', { objects: 0, fields: 0, relations: 0, changes: 5, views: 0 }]);
  const after = workspace.field('sallaOrder', 'status');
  assert.deepEqual(after.options?.map(({ value }) => value), ['PENDING', 'CONFIRMED', 'COMPLETED', 'CANCELED', 'REFUNDED', 'LOST']);
  for (const { value, id } of after.options ?? []) {
    if (value === 'LOST') assert.equal(id, 'theirs');
    else if (value !== 'COMPLETED') assert.equal(id, ids.get(value));
  }
  assert.deepEqual([after.defaultValue, after.isActive], ["'PENDING'", true]);
  assert.equal(workspace.field('opportunity', 'sallaOrderId').isUnique, false);
});

test('whatever people do to ours that is no conflict, one run puts right and the next finds nothing', async () => {
  for (let seed = 0; seed < 120; seed += 1) {
    const next = random(seed);
    const pick = <T>(list: T[]): T => list[Math.floor(next() * list.length)];
    const workspace = await applied();
    const mine = () => pick(pick(workspace.objects).fields.filter(({ isCustom }) => isCustom).concat(workspace.field('sallaOrder', 'orderNotes') ?? workspace.field('person', 'voiceCalls')));
    for (let change = 0; change < 6; change += 1) {
      const there = mine();
      const act = Math.floor(next() * 6);
      if (act === 0) there.label = `L${seed}`;
      if (act === 1) there.isActive = false;
      if (act === 2 && there.type !== 'RELATION') there.defaultValue = there.type === 'TEXT' ? "'other'" : null;
      if (act === 3) there.options?.reverse().forEach((option, position) => (option.position = position));
      if (act === 4) there.options?.push({ id: `${seed}${change}`, value: `V${change}`, label: 'V', position: 50 });
      if (act === 5 && there.type !== 'RELATION') {
        const object = workspace.objects.find(({ fields }) => fields.includes(there));
        if (object) object.fields = object.fields.filter((item) => item !== there);
      }
    }
    const report = await run(workspace);
    assert.equal(report.status, 'matched', `seed ${seed}: ${report.error} ${report.toDo.join('; ')}`);
    assert.ok(isMatched(planWorkspace(model(), workspace.objects)), `seed ${seed}`);
  }
});

test('one workspace that fails is named at the end and does not stop the others', async () => {
  const good = await applied();
  const workspaces = await runOnAll(['a', 'b', 'c'], async (id) => {
    if (id === 'b') throw new Error('no such schema');
    return { ...(await run(good)), workspaceId: id };
  });
  const report: RunReport = { mode: 'apply', model: 'm', through: 'server', matched: false, seconds: 1, workspaces };
  assert.deepEqual(workspaces.map(({ status }) => status), ['matched', 'failed', 'matched']);
  assert.equal(exitCodeOf(report), 3);
  assert.match(asTable(report), /1 of 3 workspace\(s\) do not match the data model m: b \(failed\)$/);
  assert.match(asTable(report), /failed: no such schema/);
  assert.equal(exitCodeOf({ ...report, workspaces: [] }), 0);
  assert.equal(asOutcome(3, report), 'failed 3: b failed (no such schema)');
  assert.equal(asOutcome(0, { ...report, workspaces: [] }), 'matched: 0 workspace(s), model m');
  const long = asOutcome(3, `several\nlines ${'x'.repeat(4000)}`);
  assert.match(long, /^failed 3: several lines x+\.\.\.$/);
  assert.equal(long.length, 300);
});

test('a run that is called off ends before its next write, and the next one goes on from there', async () => {
  for (const last of [0, 1, 3, 6, 7]) {
    const workspace = new Workspace();
    const calledOff = new AbortController();
    workspace.before = (write) => {
      if (write >= last) calledOff.abort(new Error('called off'));
    };
    await assert.rejects(
      runOnWorkspace(workspace, model(), 'w', 'apply', { pause: async () => undefined, signal: calledOff.signal }),
      /called off/,
    );
    const written = workspace.writes;
    workspace.before = () => undefined;
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(workspace.writes, written);
    assert.equal((await run(workspace)).status, 'matched');
  }
});

const names = (workspace: Workspace, object: string, ids: string[]) =>
  ids.map((id) => workspace.object(object).fields.find((item) => item.id === id)?.name);

test('first views show the columns of the model, sorted, with a board of every option', async () => {
  const workspace = await applied();
  const orders = workspace.views.get('sallaOrder');
  assert.ok(orders);
  assert.deepEqual(names(workspace, 'sallaOrder', orders.columns).slice(0, 4), ['orderNumber', 'status', 'total', 'currencyCode']);
  assert.deepEqual(orders.sort, { fieldId: workspace.field('sallaOrder', 'placedAt').id, isDescending: true });
  assert.deepEqual(orders.board, {
    fieldId: workspace.field('sallaOrder', 'status').id,
    name: 'By Order Status',
    values: ['PENDING', 'CONFIRMED', 'COMPLETED', 'CANCELED', 'REFUNDED'],
  });
  assert.deepEqual(names(workspace, 'voiceCall', workspace.views.get('voiceCall')?.columns ?? [])[0], 'contact');
  assert.equal(workspace.views.get('communicationLog')?.board, undefined);
});

test('what an object is born with and nobody asked for is hidden, on our objects only', async () => {
  const workspace = new Workspace();
  const bornWith = workspace.createObject.bind(workspace);
  workspace.createObject = async (wanted) => {
    await bornWith(wanted);
    workspace.object(wanted.nameSingular).fields.push(field('createdBy', 'ACTOR'), field('updatedAt', 'DATE_TIME'));
  };
  workspace.object('person').fields.push(field('createdBy', 'ACTOR'));
  await run(workspace);
  const hidden = (object: string) => names(workspace, object, workspace.views.get(object)?.hidden ?? []);
  assert.deepEqual(hidden('sallaProduct'), ['createdBy']);
  assert.deepEqual(hidden('sallaOrder'), ['createdBy', 'updatedAt']);
  assert.deepEqual(hidden('person'), []);
});

test('first views are written once: not for objects that were there, not again, and not when a field comes later', async () => {
  const without = model();
  for (const group of [...without.objects, ...without.extends]) delete group.firstView;
  const workspace = new Workspace();
  await run(workspace, 'apply', without);
  assert.deepEqual([(await run(workspace)).written.views, workspace.views.size], [0, 0]);
  const fresh = await applied();
  fresh.views.clear();
  const order = fresh.object('sallaOrder');
  order.fields = order.fields.filter(({ name }) => name !== 'total');
  const person = fresh.object('person');
  person.fields = person.fields.filter(({ name }) => name !== 'totalSpent');
  assert.deepEqual([(await run(fresh)).status, fresh.views.size], ['matched', 0]);
});

test('a person asks for them once more, and nothing is written where there is a conflict', async () => {
  const workspace = await applied();
  workspace.views.clear();
  const asked = await runOnWorkspace(workspace, model(), 'w', 'apply', { withViews: true });
  assert.deepEqual([asked.status, asked.written.views, workspace.views.size], ['matched', 10, 10]);
  const planned = await runOnWorkspace(workspace, model(), 'w', 'plan', { withViews: true });
  assert.deepEqual([planned.status, planned.toDo.length, planned.toDo[0]], ['differs', 10, 'arrange agentSetting: first views']);
  workspace.views.clear();
  workspace.object('person').fields = [field('totalSpent', 'TEXT', { isCustom: true })];
  const conflict = await runOnWorkspace(workspace, model(), 'w', 'apply', { withViews: true });
  assert.deepEqual([conflict.status, workspace.views.size, workspace.noted], ['conflict', 0, []]);
});

test('until the first views are written the workspace does not match', async () => {
  const workspace = new Workspace();
  workspace.writeFirstViews = async () => {
    throw new Error('killed');
  };
  assert.equal((await run(workspace)).status, 'failed');
  assert.deepEqual([(await run(workspace, 'verify')).status, workspace.noted.length], ['differs', 10]);
});
