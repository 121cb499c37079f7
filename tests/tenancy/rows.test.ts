import assert from 'node:assert/strict';
import { test } from 'node:test';

import { findRelation, findRowProblem } from '../../files/twenty/overlay/packages/twenty-server/src/tenancy/rows/pure/rest-body.ts';

const ID = '5e7d0b6a-2f5a-4c5c-9d5e-3f0a8f6f1c11';
const OTHER = '0b0f7a52-94f1-4a2d-8d0e-1f6a5d3c2b22';

test('a body of the usual kind is good', () => {
  for (const body of [{}, { name: 'n', viewId: OTHER }, { id: ID, name: 'n' }, { id: ID.toUpperCase() }, null, undefined, 'text', 7, []]) {
    assert.equal(findRowProblem(body, ID), undefined);
  }
});

test('a new row may have an id: the database refuses one that is taken', () => {
  assert.equal(findRowProblem({ id: OTHER }, undefined), undefined);
});

test('the workspace of a row is not for the sender to say', () => {
  for (const body of [{ workspaceId: OTHER }, { workspaceId: null }, { workspace: { id: OTHER } }, { update: { workspaceId: OTHER } }]) {
    assert.match(findRowProblem(body, undefined) ?? '', /^workspace(Id)? is set by the server/);
    assert.match(findRowProblem([{}, body], ID) ?? '', /^workspace(Id)? is set by the server/);
  }
});

test('a change is of the row that the address names', () => {
  for (const body of [{ id: OTHER }, { id: [OTHER] }, { id: null }, { update: { id: OTHER } }, [{ id: OTHER }]]) {
    assert.match(findRowProblem(body, ID) ?? '', /^id is not that of the address/);
  }
});

test('no row is reached through another one', () => {
  for (const path of ['/metadata/viewFilterGroups/x', '/Metadata/pageLayoutTabs', '/webhooks', '/metadata/views/']) {
    for (const body of [{ viewFilters: [{ id: OTHER }] }, { view: { id: OTHER } }, { viewId: { id: OTHER } }, { tabs: [] }]) {
      for (const sent of [body, [{}, body], { update: body }]) {
        assert.match(findRelation(path, sent) ?? '', /takes a plain value/, `${path} ${JSON.stringify(sent)}`);
      }
    }
  }
});

test('columns that hold more than a value are written, and what GraphQL checks is left to it', () => {
  for (const body of [
    { value: ['a'], viewId: OTHER, viewFilterGroupId: null, position: 1 },
    { gridPosition: { row: 0 }, configuration: { url: 'https://x.test' }, objectMetadataId: null },
    { operations: ['*.*'] }, {}, null, undefined, 'text', [],
  ]) {
    assert.equal(findRelation('/metadata/pageLayoutWidgets', body), undefined);
  }
  assert.equal(findRelation('/metadata/fields', { options: [{ value: 'A' }], settings: {} }), undefined);
});
