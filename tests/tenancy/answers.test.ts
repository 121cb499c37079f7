import assert from 'node:assert/strict';
import { test } from 'node:test';

import { withoutWorkspace } from '../../files/twenty/overlay/packages/twenty-server/src/tenancy/rows/pure/rest-answer.ts';

const WORKSPACE = { id: 'w', inviteHash: 'secret' };

class Row {
  id = 'r';
  createdAt = new Date(0);
  workspace = WORKSPACE;
  workspaceId = 'w';
}

test('rows lose their workspace, at the top and below', () => {
  const sent = JSON.stringify(withoutWorkspace([{ ...new Row(), view: new Row(), viewFields: [new Row()] }, new Row()]));
  assert.doesNotMatch(sent, /inviteHash|"workspace"/);
  assert.deepEqual(JSON.parse(sent)[1], { id: 'r', createdAt: '1970-01-01T00:00:00.000Z', workspaceId: 'w' });
});

test('what is no such row stays', () => {
  for (const answer of [null, undefined, true, 'text', 7, [], {}, { workspace: 'a name' }, { workspace: { label: 'x' } }, { statusCode: 400, messages: ['m'] }]) {
    assert.deepEqual(withoutWorkspace(answer), answer);
  }
});

test('an answer that contains itself comes to an end', () => {
  const round: Record<string, unknown> = { id: 'r' };
  round.self = round;
  assert.ok(withoutWorkspace(round));
});
