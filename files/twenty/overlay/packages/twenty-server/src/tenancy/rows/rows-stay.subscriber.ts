// SPDX-License-Identifier: AGPL-3.0-only

import { ForbiddenException } from '@nestjs/common';

import {
  EventSubscriber,
  type EntityManager,
  type EntityMetadata,
  type EntitySubscriberInterface,
  type InsertEvent,
  type UpdateEvent,
} from 'typeorm';

import {
  findForeign,
  findParents,
  inOneGo,
  isWrittenByTenants,
  mayNameParents,
  type Parent,
  type Row,
} from './pure/parents';

const refuseForeign = async (manager: EntityManager, parents: Parent[]) => {
  const foreign = await findForeign(parents, (sql, parameters) =>
    manager.query(sql, parameters),
  );

  if (foreign !== undefined) {
    throw new ForbiddenException(`${foreign.name}: not of this workspace`);
  }
};

const parentsOf = (
  metadata: EntityMetadata,
  row: Row,
  before: Row | undefined,
  workspaceId: string,
): Parent[] => {
  try {
    return findParents(metadata, row, before, workspaceId);
  } catch (error) {
    throw error instanceof TypeError
      ? new ForbiddenException(error.message)
      : error;
  }
};

const workspaceOf = (row: Row | undefined): string | undefined =>
  typeof row?.workspaceId === 'string' ? row.workspaceId : undefined;

// For repository.update(), which reads no row: the subscriber below cannot know whose the row is.
export const refuseForeignParents = async (
  { manager, metadata }: { manager: EntityManager; metadata: EntityMetadata },
  workspaceId: string,
  changes: object,
): Promise<void> => {
  if (mayNameParents(changes)) {
    await refuseForeign(
      manager,
      parentsOf(metadata, { ...changes }, undefined, workspaceId),
    );
  }
};

// TypeORM's save() changes the row whose id it is given, also where a new one was meant: a tenant who gives a new view the id of
// somebody else's would take that over. No row goes from one workspace to another, and none is hung on a row of another.
// Both methods are async: TypeORM would leave the promises of other rows alone if one threw.
@EventSubscriber()
export class RowsStayInTheirWorkspace implements EntitySubscriberInterface<Row> {
  // By the manager of the connection that writes, which sees the rows of its own transaction.
  private readonly check = inOneGo<EntityManager, Parent>(refuseForeign);

  async beforeInsert({
    manager,
    metadata,
    entity,
  }: InsertEvent<Row>): Promise<void> {
    const workspaceId = workspaceOf(entity);

    if (workspaceId !== undefined && isWrittenByTenants(metadata)) {
      await this.check(
        manager,
        parentsOf(metadata, entity, undefined, workspaceId),
      );
    }
  }

  async beforeUpdate({
    manager,
    metadata,
    databaseEntity,
    entity,
  }: UpdateEvent<Row>): Promise<void> {
    const before = workspaceOf(databaseEntity);
    const after = workspaceOf(entity);

    if (before !== undefined && after !== undefined && before !== after) {
      throw new ForbiddenException('This id is taken');
    }

    if (!isWrittenByTenants(metadata)) {
      return;
    }

    // A row that another one lists as its child: TypeORM tells nothing of it, not even its id.
    if (entity === undefined) {
      throw new ForbiddenException('A row is changed by its own id only');
    }

    if (before !== undefined) {
      await this.check(
        manager,
        parentsOf(metadata, entity, databaseEntity, before),
      );
    }
  }
}
