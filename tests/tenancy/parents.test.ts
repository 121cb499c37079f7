import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  findForeign, findParents, inOneGo, isWrittenByTenants, mayNameParents, type Parent, type Row, type Table,
} from '../../files/twenty/overlay/packages/twenty-server/src/tenancy/rows/pure/parents.ts';

const MINE = '11111111-1111-4111-8111-111111111111';
const THEIRS = '22222222-2222-4222-8222-222222222222';
const VIEW = 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa';
const FIELD = 'bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb';

const table = (tableName: string, ...columns: string[]): Table => ({
  schema: 'core', tableName, columns: columns.map((propertyName) => ({ propertyName })), manyToOneRelations: [],
});

/* As TypeORM reads a join column: the relation first, then the column, which may hold a row as well. */
const relation = (propertyName: string, inverseEntityMetadata: Table) => ({
  propertyName,
  inverseEntityMetadata,
  joinColumns: [{
    propertyName: `${propertyName}Id`,
    getEntityValue: (row: Row) => {
      const found = [row[propertyName], row[`${propertyName}Id`]].find((value) => typeof value === 'object' && value !== null);
      return found === undefined ? row[`${propertyName}Id`] : (found as Row).id;
    },
  }],
});

const sort: Table = {
  ...table('viewSort', 'id', 'workspaceId'),
  manyToOneRelations: [
    relation('view', table('view', 'id', 'workspaceId')),
    relation('fieldMetadata', table('fieldMetadata', 'id', 'workspaceId')),
    relation('workspace', table('workspace', 'id')),
  ],
};

const named = (row: Row, before?: Row) => findParents(sort, row, before, MINE).map(({ name, id }) => `${name}=${id}`);

test('what a new row is hung on is found, however it is said', () => {
  assert.deepEqual(named({ viewId: VIEW, fieldMetadataId: FIELD, workspaceId: MINE }), [`viewId=${VIEW}`, `fieldMetadataId=${FIELD}`]);
  for (const row of [{ view: { id: VIEW } }, { view: VIEW }, { viewId: { id: VIEW } }, { viewId: VIEW.toUpperCase() }]) {
    assert.deepEqual(named(row), [`viewId=${VIEW}`], JSON.stringify(row));
  }
  assert.deepEqual(named({ view: { id: VIEW }, viewId: FIELD }), [`viewId=${VIEW}`], 'TypeORM writes the relation');
});

test('what stays is not asked again, and nothing is asked of tables that have no workspace', () => {
  assert.deepEqual(named({ viewId: VIEW, direction: 'ASC' }, { viewId: VIEW }), []);
  assert.deepEqual(named({ viewId: FIELD }, { viewId: VIEW }), [`viewId=${FIELD}`]);
  assert.deepEqual(named({ viewId: null, workspace: { id: THEIRS } }), []);
});

test('an id that is no text is refused', () => {
  for (const row of [{ viewId: { id: 7 } }, { view: { id: [VIEW] } }, { viewId: 7 }, { view: true }]) {
    assert.throws(() => named(row), /viewId is no id/, JSON.stringify(row));
  }
});

const asking = (owners: Record<string, string | null>) => {
  const asked: { sql: string; ids: unknown }[] = [];
  const query = async (sql: string, [ids]: unknown[]) => {
    asked.push({ sql, ids });
    return (ids as string[]).filter((id) => id in owners).map((id) => ({ id, workspaceId: owners[id] ?? null }));
  };
  return { asked, query };
};

test('a parent of another workspace is found; one that is of none, or not there, is not foreign', async () => {
  const parents = findParents(sort, { viewId: VIEW, fieldMetadataId: FIELD }, undefined, MINE);
  assert.equal((await findForeign(parents, asking({ [VIEW]: MINE, [FIELD]: THEIRS }).query))?.name, 'fieldMetadataId');
  assert.equal((await findForeign(parents, asking({ [VIEW]: THEIRS, [FIELD]: MINE }).query))?.name, 'viewId');
  assert.equal(await findForeign(parents, asking({ [VIEW]: MINE, [FIELD]: null }).query), undefined);
  assert.equal(await findForeign(parents, asking({}).query), undefined);
});

test('many rows cost one query for each table', async () => {
  const { asked, query } = asking({ [VIEW]: MINE, [FIELD]: MINE });
  const save = inOneGo<object, Parent>(async (_, parents) => {
    assert.equal(await findForeign(parents, query), undefined);
  });
  const connection = {};
  await Promise.all(
    Array.from({ length: 50 }, () => save(connection, findParents(sort, { viewId: VIEW, fieldMetadataId: FIELD }, undefined, MINE))),
  );
  assert.deepEqual(asked, [
    { sql: 'SELECT "id", "workspaceId" FROM "core"."view" WHERE "id" = ANY($1::uuid[])', ids: [VIEW] },
    { sql: 'SELECT "id", "workspaceId" FROM "core"."fieldMetadata" WHERE "id" = ANY($1::uuid[])', ids: [FIELD] },
  ]);
});

test('connections are asked apart, one tick after the other, and a failure reaches whoever asked', async () => {
  const runs: [string, number[]][] = [];
  const add = inOneGo<{ name: string }, number>(async ({ name }, items) => {
    runs.push([name, items]);
    if (items.includes(0)) {
      throw new Error('refused');
    }
  });
  const [a, b] = [{ name: 'a' }, { name: 'b' }];
  await Promise.all([add(a, [1]), add(b, [2]), add(a, [3])]);
  await assert.rejects(Promise.all([add(a, [4]), add(a, [0])]), /refused/);
  void add(b, [0]).catch(() => undefined);
  await add(a, [5]);
  assert.deepEqual(runs, [['a', [1, 3]], ['b', [2]], ['a', [4, 0]], ['b', [0]], ['a', [5]]]);
});

test('only tables that tenants write are watched', () => {
  assert.ok(isWrittenByTenants(sort));
  assert.ok(!isWrittenByTenants(table('fieldMetadata', 'id', 'workspaceId')));
});

test('a change of a title names nothing', () => {
  assert.ok(!mayNameParents({ id: VIEW, title: 't', position: 1 }));
  for (const changes of [{ pageLayoutId: VIEW }, { pageLayout: { id: VIEW } }, { title: 't', objectMetadataId: null }]) {
    assert.ok(mayNameParents(changes));
  }
});
