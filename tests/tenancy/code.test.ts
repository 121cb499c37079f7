// SPDX-License-Identifier: AGPL-3.0-only
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { findServerlessTypeProblem, isCodeStep, isOfRemoteServers, isOpenWithoutTenantCode } from 'src/tenancy/code/pure/tenant-code';

test('the driver that runs nothing is the only one', () => {
  assert.equal(findServerlessTypeProblem('DISABLED'), undefined);
  for (const type of ['LOCAL', 'LAMBDA', 'disabled', 'DOCKER', '', undefined, null, 0, {}]) {
    assert.match(findServerlessTypeProblem(type) ?? '', /is refused/, String(type));
  }
});

test('a refusal says why, and what to do', () => {
  assert.match(findServerlessTypeProblem('LOCAL') ?? '', /every secret of the server/);
  assert.match(findServerlessTypeProblem('LAMBDA') ?? '', /installs a tenant's packages inside this server/);
  for (const type of ['LOCAL', 'LAMBDA', 'DOCKER']) {
    assert.match(findServerlessTypeProblem(type) ?? '', /Set SERVERLESS_TYPE=DISABLED/);
  }
});

test('what is there can be looked at and deleted', () => {
  for (const name of ['findOneServerlessFunction', 'findManyServerlessFunctions', 'getServerlessFunctionSourceCode', 'deleteOneServerlessFunction']) {
    assert.equal(isOpenWithoutTenantCode('ServerlessFunctionResolver', name), true, name);
  }
  assert.equal(isOpenWithoutTenantCode('CronTriggerResolver', 'deleteOneCronTrigger'), true);
  assert.equal(isOpenWithoutTenantCode('ApplicationResolver', 'deleteApplication'), true);
});

test('everything else of these classes is closed, and so is what upstream adds later', () => {
  for (const [className, handlers] of Object.entries({
    ServerlessFunctionResolver: [
      'createOneServerlessFunction', 'updateOneServerlessFunction', 'executeOneServerlessFunction', 'publishServerlessFunction',
      'getAvailablePackages', 'buildDraftServerlessFunction', 'somethingNew',
    ],
    ServerlessFunctionLayerResolver: ['createOneServerlessFunctionLayer', 'findManyServerlessFunctionLayers'],
    ApplicationResolver: ['syncApplication', 'installApplication'],
    CronTriggerResolver: ['createOneCronTrigger', 'updateOneCronTrigger'],
    DatabaseEventTriggerResolver: ['createOneDatabaseEventTrigger', 'updateOneDatabaseEventTrigger'],
    RouteTriggerResolver: ['createOneRouteTrigger', 'updateOneRouteTrigger'],
    RouteTriggerController: ['get', 'post', 'put', 'patch', 'delete'],
    RemoteServerResolver: ['createOneRemoteServer', 'updateOneRemoteServer', 'deleteOneRemoteServer'],
    RemoteTableResolver: ['findDistantTablesWithStatus', 'syncRemoteTable', 'unsyncRemoteTable', 'syncRemoteTableSchemaChanges'],
    ApplicationVariableEntityResolver: ['updateOneApplicationVariable'],
    SomethingNewResolver: ['findOneServerlessFunction'],
  })) {
    for (const handler of handlers) {
      assert.equal(isOpenWithoutTenantCode(className, handler), false, `${className}.${handler}`);
    }
  }
});

test('names of the prototype open nothing', () => {
  for (const name of ['constructor', '__proto__', 'toString', 'includes', 'length']) {
    assert.equal(isOpenWithoutTenantCode('ServerlessFunctionResolver', name), false);
    assert.equal(isOpenWithoutTenantCode(name, 'findOneServerlessFunction'), false);
  }
});

test('a Code step is known by its type', () => {
  assert.equal(isCodeStep('CODE'), true);
  for (const type of ['HTTP_REQUEST', 'code', undefined, null, {}]) {
    assert.equal(isCodeStep(type), false);
  }
});

test('remote servers can be listed, and are named in the refusal', () => {
  assert.equal(isOpenWithoutTenantCode('RemoteServerResolver', 'findManyRemoteServersByType'), true);
  assert.equal(isOfRemoteServers('RemoteServerResolver'), true);
  assert.equal(isOfRemoteServers('RemoteTableResolver'), true);
  assert.equal(isOfRemoteServers('ServerlessFunctionResolver'), false);
});
