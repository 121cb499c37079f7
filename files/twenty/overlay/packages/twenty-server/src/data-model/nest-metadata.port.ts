// SPDX-License-Identifier: AGPL-3.0-only

import { type FieldMetadataType } from 'twenty-shared/types';
import { type Repository } from 'typeorm';

import { type FirstViewsStore } from 'src/data-model/first-views.store';
import {
  type CreateField,
  type CreateObject,
  type FieldChanges,
  type FirstView,
  type MetadataField,
  type MetadataObject,
  type MetadataOption,
  type MetadataPort,
  type ObjectChanges,
} from 'src/data-model/pure/workspace-metadata';
import { FeatureFlagKey } from 'src/engine/core-modules/feature-flag/enums/feature-flag-key.enum';
import { type FeatureFlagService } from 'src/engine/core-modules/feature-flag/services/feature-flag.service';
import { type CreateFieldInput } from 'src/engine/metadata-modules/field-metadata/dtos/create-field.input';
import { type UpdateFieldInput } from 'src/engine/metadata-modules/field-metadata/dtos/update-field.input';
import { type FieldMetadataEntity } from 'src/engine/metadata-modules/field-metadata/field-metadata.entity';
import { type FieldMetadataService } from 'src/engine/metadata-modules/field-metadata/services/field-metadata.service';
import { type FieldMetadataServiceV2 } from 'src/engine/metadata-modules/field-metadata/services/field-metadata.service-v2';
import { type UpdateOneObjectInput } from 'src/engine/metadata-modules/object-metadata/dtos/update-object.input';
import { type ObjectMetadataServiceV2 } from 'src/engine/metadata-modules/object-metadata/object-metadata-v2.service';
import { type ObjectMetadataEntity } from 'src/engine/metadata-modules/object-metadata/object-metadata.entity';
import { type ObjectMetadataService } from 'src/engine/metadata-modules/object-metadata/object-metadata.service';

export type NestMetadataServices = {
  objectMetadataRepository: Repository<ObjectMetadataEntity>;
  fieldMetadataRepository: Repository<FieldMetadataEntity>;
  objectMetadataService: ObjectMetadataService;
  objectMetadataServiceV2: ObjectMetadataServiceV2;
  fieldMetadataService: FieldMetadataService;
  fieldMetadataServiceV2: FieldMetadataServiceV2;
  featureFlagService: FeatureFlagService;
  firstViews: FirstViewsStore;
};

// Through Twenty's own services, public methods only, and as its resolvers call them. Everything of one kind goes in one call:
// a migration's cost is fixed, whether it adds one field or a hundred.
export class NestMetadataPort implements MetadataPort {
  constructor(
    private readonly workspaceId: string,
    private readonly services: NestMetadataServices,
  ) {}

  async read(): Promise<MetadataObject[]> {
    const where = { workspaceId: this.workspaceId };
    const [objects, fields] = await Promise.all([
      this.services.objectMetadataRepository.find({ where }),
      this.services.fieldMetadataRepository.find({ where }),
    ]);
    const nameOfObject = new Map(
      objects.map(({ id, nameSingular }) => [id, nameSingular]),
    );
    const nameOfField = new Map(fields.map(({ id, name }) => [id, name]));
    const fieldsOfObject = new Map<string, MetadataField[]>();

    for (const field of fields) {
      const settings = field.settings as Record<string, unknown> | null;
      const targetId = field.relationTargetObjectMetadataId;
      const list = fieldsOfObject.get(field.objectMetadataId) ?? [];

      list.push({
        id: field.id,
        name: field.name,
        type: field.type,
        label: field.standardOverrides?.label ?? field.label,
        icon: field.standardOverrides?.icon ?? field.icon ?? null,
        description:
          field.standardOverrides?.description ?? field.description ?? null,
        isCustom: field.isCustom,
        isActive: field.isActive,
        isUnique: field.isUnique ?? false,
        defaultValue: field.defaultValue,
        options: field.options as MetadataOption[] | null,
        settings,
        relation:
          targetId === null || targetId === undefined
            ? null
            : {
                type: String(settings?.relationType),
                targetObject: nameOfObject.get(targetId) ?? targetId,
                targetField:
                  nameOfField.get(field.relationTargetFieldMetadataId ?? '') ??
                  '',
              },
      });
      fieldsOfObject.set(field.objectMetadataId, list);
    }

    return objects.map((object) => ({
      id: object.id,
      nameSingular: object.nameSingular,
      namePlural: object.namePlural,
      labelSingular: object.labelSingular,
      labelPlural: object.labelPlural,
      icon: object.icon ?? null,
      description: object.description ?? null,
      isCustom: object.isCustom,
      isActive: object.isActive,
      fields: fieldsOfObject.get(object.id) ?? [],
    }));
  }

  async createObject(object: CreateObject): Promise<void> {
    await this.services.objectMetadataService.createOne({
      ...object,
      isLabelSyncedWithName: false,
      workspaceId: this.workspaceId,
      dataSourceId: await this.dataSourceId(),
    });
  }

  async createFields(fields: CreateField[]): Promise<void> {
    await this.services.fieldMetadataService.createMany(
      fields.map(
        ({ objectName: _, ...field }) =>
          ({
            ...field,
            type: field.type as FieldMetadataType,
            isLabelSyncedWithName: false,
            workspaceId: this.workspaceId,
          }) as CreateFieldInput,
      ),
    );
  }

  async updateObject(id: string, changes: ObjectChanges): Promise<void> {
    const input: UpdateOneObjectInput = {
      id,
      update: changes as UpdateOneObjectInput['update'],
    };

    if (await this.isV2()) {
      await this.services.objectMetadataServiceV2.updateOne({
        updateObjectInput: input,
        workspaceId: this.workspaceId,
      });
    } else {
      await this.services.objectMetadataService.updateOneObject(
        input,
        this.workspaceId,
      );
    }
  }

  async updateField(id: string, changes: FieldChanges): Promise<void> {
    if (await this.isV2()) {
      await this.services.fieldMetadataServiceV2.updateOne({
        updateFieldInput: { id, ...changes } as UpdateFieldInput,
        workspaceId: this.workspaceId,
      });

      return;
    }
    const { label, icon, description, ...rest } = changes;
    const there = await this.services.fieldMetadataRepository.findOneOrFail({
      where: { id, workspaceId: this.workspaceId },
    });
    const words = Object.fromEntries(
      Object.entries({ label, icon, description }).filter(
        ([, value]) => value !== undefined,
      ),
    );

    // What the resolver's hook does for standard fields in workspaces without the second migration engine.
    await this.services.fieldMetadataService.updateOne(id, {
      id,
      workspaceId: this.workspaceId,
      ...rest,
      ...(there.isCustom
        ? words
        : { standardOverrides: { ...there.standardOverrides, ...words } }),
    } as UpdateFieldInput);
  }

  notedFirstViews(): Promise<string[]> {
    return this.services.firstViews.noted();
  }

  noteFirstViews(objectNames: string[]): Promise<void> {
    return this.services.firstViews.add(objectNames);
  }

  writeFirstViews(views: FirstView[]): Promise<void> {
    return this.services.firstViews.write(views);
  }

  private isV2(): Promise<boolean> {
    return this.services.featureFlagService.isFeatureEnabled(
      FeatureFlagKey.IS_WORKSPACE_MIGRATION_V2_ENABLED,
      this.workspaceId,
    );
  }

  private async dataSourceId(): Promise<string> {
    const { dataSourceId } =
      await this.services.objectMetadataRepository.findOneOrFail({
        select: ['id', 'dataSourceId'],
        where: { workspaceId: this.workspaceId },
      });

    return dataSourceId;
  }
}
