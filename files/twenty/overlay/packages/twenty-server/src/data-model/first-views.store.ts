// SPDX-License-Identifier: AGPL-3.0-only

import { DataSource, IsNull, type EntityManager } from 'typeorm';

import { type FirstView } from 'src/data-model/pure/workspace-metadata';
import { AggregateOperations } from 'src/engine/api/graphql/graphql-query-runner/constants/aggregate-operations.constant';
import {
  KeyValuePairEntity,
  KeyValuePairType,
} from 'src/engine/core-modules/key-value-pair/key-value-pair.entity';
import { type WorkspaceManyOrAllFlatEntityMapsCacheService } from 'src/engine/metadata-modules/flat-entity/services/workspace-many-or-all-flat-entity-maps-cache.service';
import { ViewFieldEntity } from 'src/engine/metadata-modules/view-field/entities/view-field.entity';
import { ViewGroupEntity } from 'src/engine/metadata-modules/view-group/entities/view-group.entity';
import { ViewSortEntity } from 'src/engine/metadata-modules/view-sort/entities/view-sort.entity';
import { ViewSortDirection } from 'src/engine/metadata-modules/view-sort/enums/view-sort-direction';
import { FIND_ALL_CORE_VIEWS_GRAPHQL_OPERATION } from 'src/engine/metadata-modules/view/constants/find-all-core-views-graphql-operation.constant';
import { ViewEntity } from 'src/engine/metadata-modules/view/entities/view.entity';
import { ViewKey } from 'src/engine/metadata-modules/view/enums/view-key.enum';
import { ViewType } from 'src/engine/metadata-modules/view/enums/view-type.enum';
import { type WorkspaceCacheStorageService } from 'src/engine/workspace-cache-storage/workspace-cache-storage.service';

const KEY = 'twentyops:first-views';
const COLUMN_WIDTH = 180;
// Writers of the note are alone by the lock of the run; a person may arrange a view at the same moment.
const BOARD_POSITION = 1;

type Note = { objects: string[] };

// First views in one transaction, and not by Twenty's services of which each write is one of its own: a kill leaves the note and no
// view, or the views and no note.
export class FirstViewsStore {
  constructor(
    private readonly workspaceId: string,
    private readonly dataSource: DataSource,
    private readonly flatMaps: WorkspaceManyOrAllFlatEntityMapsCacheService,
    private readonly cacheStorage: WorkspaceCacheStorageService,
  ) {}

  async noted(manager: EntityManager = this.dataSource.manager): Promise<string[]> {
    const row = await manager.findOneBy(KeyValuePairEntity, this.note());

    return (row?.value as unknown as Note | undefined)?.objects ?? [];
  }

  async add(objectNames: string[]): Promise<void> {
    await this.dataSource.transaction(async (manager) => {
      const known = await this.noted(manager);
      const value: Note = { objects: [...new Set([...known, ...objectNames])] };

      await manager.delete(KeyValuePairEntity, this.note());
      await manager.insert(KeyValuePairEntity, {
        workspaceId: this.workspaceId,
        userId: null,
        key: KEY,
        type: KeyValuePairType.USER_VARIABLE,
        value: value as never,
      });
    });
  }

  async write(views: FirstView[]): Promise<void> {
    await this.dataSource.transaction(async (manager) => {
      for (const view of views) {
        await this.writeOne(manager, view);
      }
      await manager.delete(KeyValuePairEntity, this.note());
    });
    await this.flatMaps.invalidateFlatEntityMaps({
      workspaceId: this.workspaceId,
      flatMapsKeys: ['flatViewMaps', 'flatViewFieldMaps', 'flatViewGroupMaps'],
    });
    await this.cacheStorage.flushGraphQLOperation({
      operationName: FIND_ALL_CORE_VIEWS_GRAPHQL_OPERATION,
      workspaceId: this.workspaceId,
    });
  }

  private note() {
    return { workspaceId: this.workspaceId, userId: IsNull(), key: KEY };
  }

  private async writeOne(manager: EntityManager, wanted: FirstView) {
    const { workspaceId } = this;
    const views = await manager.findBy(ViewEntity, {
      workspaceId,
      objectMetadataId: wanted.objectMetadataId,
    });
    const list = views.find(({ key }) => key === ViewKey.INDEX);

    // Somebody deleted the list: there is nothing to arrange.
    if (list !== undefined) {
      await this.arrange(manager, list.id, wanted);
    }
    if (
      wanted.board === undefined ||
      views.some(({ type }) => type === ViewType.KANBAN)
    ) {
      return;
    }
    const { fieldId, name, values } = wanted.board;
    const board = await manager.save(
      manager.create(ViewEntity, {
        workspaceId,
        objectMetadataId: wanted.objectMetadataId,
        name,
        type: ViewType.KANBAN,
        key: null,
        icon: 'IconLayoutKanban',
        position: BOARD_POSITION,
        kanbanAggregateOperation: AggregateOperations.COUNT,
      }),
    );

    await manager.insert(
      ViewGroupEntity,
      values.map((fieldValue, position) => ({
        workspaceId,
        viewId: board.id,
        fieldMetadataId: fieldId,
        fieldValue,
        position,
      })),
    );
    await this.arrange(manager, board.id, wanted);
  }

  // The record's own name, our columns, then whatever the view showed before.
  private async arrange(
    manager: EntityManager,
    viewId: string,
    { nameFieldId, columns, hidden, sort }: FirstView,
  ) {
    const { workspaceId } = this;
    const before = await manager.find(ViewFieldEntity, {
      where: { workspaceId, viewId },
      order: { position: 'ASC' },
    });
    const ours = [...(nameFieldId === undefined ? [] : [nameFieldId]), ...columns];
    const theirs = before
      .map(({ fieldMetadataId }) => fieldMetadataId)
      .filter((id) => !ours.includes(id));

    for (const [position, fieldMetadataId] of [...ours, ...theirs].entries()) {
      const existing = before.find(
        (column) => column.fieldMetadataId === fieldMetadataId,
      );
      const isVisible = ours.includes(fieldMetadataId)
        ? true
        : (existing?.isVisible ?? true) && !hidden.includes(fieldMetadataId);

      if (existing === undefined) {
        await manager.insert(ViewFieldEntity, {
          workspaceId,
          viewId,
          fieldMetadataId,
          position,
          isVisible,
          size: COLUMN_WIDTH,
        });
      } else if (
        existing.position !== position ||
        existing.isVisible !== isVisible
      ) {
        await manager.update(
          ViewFieldEntity,
          { id: existing.id },
          { position, isVisible },
        );
      }
    }
    if (
      sort !== undefined &&
      !(await manager.existsBy(ViewSortEntity, { workspaceId, viewId }))
    ) {
      await manager.insert(ViewSortEntity, {
        workspaceId,
        viewId,
        fieldMetadataId: sort.fieldId,
        direction: sort.isDescending
          ? ViewSortDirection.DESC
          : ViewSortDirection.ASC,
      });
    }
  }
}
