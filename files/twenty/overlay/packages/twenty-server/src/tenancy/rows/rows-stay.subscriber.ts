// SPDX-License-Identifier: AGPL-3.0-only

import { ForbiddenException } from '@nestjs/common';

import {
  EventSubscriber,
  type EntitySubscriberInterface,
  type UpdateEvent,
} from 'typeorm';

type Row = { workspaceId?: unknown };

// TypeORM's save() changes the row whose id it is given, also where a new one was meant: a tenant who gives a new view the id of
// somebody else's would take that over. No row goes from one workspace to another.
@EventSubscriber()
export class RowsStayInTheirWorkspace implements EntitySubscriberInterface<Row> {
  beforeUpdate({ databaseEntity, entity }: UpdateEvent<Row>): void {
    const before = databaseEntity?.workspaceId;
    const after = entity?.workspaceId;

    if (
      typeof before === 'string' &&
      typeof after === 'string' &&
      before !== after
    ) {
      throw new ForbiddenException('This id is taken');
    }
  }
}
