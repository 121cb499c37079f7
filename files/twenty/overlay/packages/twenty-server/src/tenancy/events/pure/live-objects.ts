// SPDX-License-Identifier: AGPL-3.0-only
// Upstream sends whole records to whoever subscribes, whatever their role may read: the tokens of a colleague's mailbox as well.

/* The objects whose changes the page listens to; no other is sent. */
const LIVE = ['workflow', 'workflowRun'];

export const isLive = (objectNameSingular: string | undefined): boolean =>
  objectNameSingular !== undefined && LIVE.includes(objectNameSingular);

/* What is wrong with a subscription; undefined where nothing is. The page names no object, only a record. */
export const findListenProblem = (
  objectNameSingular: string | null | undefined,
): string | undefined =>
  objectNameSingular === undefined ||
  objectNameSingular === null ||
  isLive(objectNameSingular)
    ? undefined
    : `Changes of ${LIVE.join(' and ')} are sent, of other objects none`;

/* Finds a member of a workspace ($1, $2) who may read workflows: for these objects upstream looks at this and nothing else
   (hasWorkflowsPermissions). No row: not a member, or not allowed. */
export const LISTENER_MAY_READ = `SELECT member.id FROM core."userWorkspace" member
  JOIN core."roleTargets" target
    ON target."userWorkspaceId" = member.id AND target."workspaceId" = member."workspaceId"
  JOIN core."role" held ON held.id = target."roleId"
 WHERE member.id = $1 AND member."workspaceId" = $2 AND member."deletedAt" IS NULL
   AND (held."canUpdateAllSettings"
     OR EXISTS (SELECT 1 FROM core."permissionFlag" granted
                 WHERE granted."roleId" = held.id AND granted.flag = 'WORKFLOWS'))
 LIMIT 1`;
