import assert from 'node:assert/strict';
import { test } from 'node:test';

import { findListenProblem, isLive, LISTENER_MAY_READ } from '../../files/twenty/overlay/packages/twenty-server/src/tenancy/events/pure/live-objects.ts';

test('changes of what the page listens to are sent, and of nothing else', () => {
  assert.deepEqual(
    ['workflow', 'workflowRun', 'workflowVersion', 'connectedAccount', 'person', 'Workflow', 'toString', '', undefined].filter(isLive),
    ['workflow', 'workflowRun'],
  );
});

test('who asks for another object is told so; the page asks for none by name', () => {
  for (const name of ['workflow', 'workflowRun', null, undefined]) {
    assert.equal(findListenProblem(name), undefined);
  }
  for (const name of ['connectedAccount', 'person', '']) {
    assert.match(findListenProblem(name) ?? '', /^Changes of workflow and workflowRun are sent/);
  }
});

test('a listener is asked for by member and workspace', () => {
  assert.deepEqual(LISTENER_MAY_READ.match(/\$\d/g), ['$1', '$2']);
});
