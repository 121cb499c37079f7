// SPDX-License-Identifier: AGPL-3.0-only

// Tenants' code is off in this server: functions, their layers and triggers, applications, and Code steps of workflows.
// There is no switch. Upstream has two ways of running it, and neither is fit for tenants that do not trust each other.
export const DISABLED = 'DISABLED';

const WHY_NOT: ReadonlyMap<string, string> = new Map([
  ['LOCAL', "it runs a tenant's code as the server's user, with every secret of the server in its environment"],
  ['LAMBDA', "it installs a tenant's packages inside this server before anything reaches Lambda"],
]);

// What is wrong with a value of SERVERLESS_TYPE, and what to do; undefined where nothing is.
export const findServerlessTypeProblem = (
  type: unknown,
): string | undefined => {
  if (type === DISABLED) {
    return undefined;
  }

  const why = WHY_NOT.get(String(type)) ?? 'there is no such driver';

  return `SERVERLESS_TYPE=${String(type)} is refused: ${why}. Set SERVERLESS_TYPE=${DISABLED}, or leave it out`;
};

// What stays open of the endpoints that upstream has for tenants' code: looking at what is there, and deleting it.
// Everything else of these classes is refused, and so is what upstream adds to them later.
const OPEN = new Map<string, readonly string[]>([
  [
    'ServerlessFunctionResolver',
    [
      'findOneServerlessFunction',
      'findManyServerlessFunctions',
      'getServerlessFunctionSourceCode',
      'deleteOneServerlessFunction',
    ],
  ],
  [
    'CronTriggerResolver',
    ['findOneCronTrigger', 'findManyCronTriggers', 'deleteOneCronTrigger'],
  ],
  [
    'DatabaseEventTriggerResolver',
    [
      'findOneDatabaseEventTrigger',
      'findManyDatabaseEventTriggers',
      'deleteOneDatabaseEventTrigger',
    ],
  ],
  [
    'RouteTriggerResolver',
    [
      'findOneRouteTrigger',
      'findManyRouteTriggers',
      'deleteOneRouteTrigger',
    ],
  ],
  [
    'ApplicationResolver',
    ['findManyApplications', 'findOneApplication', 'deleteApplication'],
  ],
  // No tables of other databases either: upstream writes a tenant's words into SQL. The page of integrations lists them.
  [
    'RemoteServerResolver',
    ['findOneRemoteServerById', 'findManyRemoteServersByType'],
  ],
]);

const OF_REMOTE_SERVERS = ['RemoteServerResolver', 'RemoteTableResolver'];

export const isOfRemoteServers = (className: string): boolean =>
  OF_REMOTE_SERVERS.includes(className);

export const isOpenWithoutTenantCode = (
  className: string,
  handlerName: string,
): boolean => OPEN.get(className)?.includes(handlerName) ?? false;

export const isCodeStep = (stepType: unknown): boolean => stepType === 'CODE';
