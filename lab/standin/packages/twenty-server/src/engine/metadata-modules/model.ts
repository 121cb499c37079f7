import { randomUUID } from 'node:crypto';

import { database, type Queryable } from '../core-modules/database';

export const FIELD_TYPES = [
  'ACTOR', 'ADDRESS', 'ARRAY', 'BOOLEAN', 'CURRENCY', 'DATE', 'DATE_TIME', 'EMAILS', 'FULL_NAME', 'LINKS',
  'MORPH_RELATION', 'MULTI_SELECT', 'NUMBER', 'NUMERIC', 'PHONES', 'POSITION', 'RATING', 'RAW_JSON', 'RELATION',
  'RICH_TEXT', 'RICH_TEXT_V2', 'SELECT', 'TEXT', 'TS_VECTOR', 'UUID',
] as const;

export type FieldType = (typeof FIELD_TYPES)[number];
export type RelationType = 'MANY_TO_ONE' | 'ONE_TO_MANY';

export type FieldOption = { id?: string; label: string; value: string; position: number; color?: string };

export type FieldSettings = {
  relationType?: RelationType;
  joinColumnName?: string;
  onDelete?: string;
  dataType?: string;
  [key: string]: unknown;
};

export type Field = {
  id: string;
  standardId: string | null;
  objectMetadataId: string;
  type: FieldType;
  name: string;
  label: string;
  defaultValue: unknown;
  description: string | null;
  icon: string | null;
  options: FieldOption[] | null;
  settings: FieldSettings | null;
  isCustom: boolean;
  isActive: boolean;
  isSystem: boolean;
  isUIReadOnly: boolean;
  isNullable: boolean | null;
  isUnique: boolean | null;
  isLabelSyncedWithName: boolean;
  relationTargetFieldMetadataId: string | null;
  relationTargetObjectMetadataId: string | null;
  workspaceId: string;
  createdAt: Date | string;
  updatedAt: Date | string;
};

export type ModelObject = {
  id: string;
  standardId: string | null;
  dataSourceId: string;
  nameSingular: string;
  namePlural: string;
  labelSingular: string;
  labelPlural: string;
  description: string | null;
  icon: string | null;
  shortcut: string | null;
  targetTableName: string;
  isCustom: boolean;
  isRemote: boolean;
  isActive: boolean;
  isSystem: boolean;
  isUIReadOnly: boolean;
  isSearchable: boolean;
  isLabelSyncedWithName: boolean;
  labelIdentifierFieldMetadataId: string | null;
  imageIdentifierFieldMetadataId: string | null;
  workspaceId: string;
  createdAt: Date | string;
  updatedAt: Date | string;
};

export type ObjectWithFields = ModelObject & { fields: Field[] };

// One workspace's data model at one metadata version.
export type Model = {
  workspaceId: string;
  schema: string;
  dataSourceId: string;
  version: number;
  objects: ObjectWithFields[];
  objectById: Map<string, ObjectWithFields>;
  fieldById: Map<string, Field>;
};

export const schemaName = (workspaceId: string): string =>
  `workspace_${BigInt(`0x${workspaceId.replaceAll('-', '')}`).toString(36)}`;

export const tableName = (object: Pick<ModelObject, 'nameSingular' | 'isCustom'>): string =>
  object.isCustom ? `_${object.nameSingular}` : object.nameSingular;

export const relationTypeOf = (field: Field): RelationType | undefined =>
  field.type === 'RELATION' ? field.settings?.relationType : undefined;

export const makeField = (
  given: Pick<Field, 'objectMetadataId' | 'type' | 'name' | 'label' | 'workspaceId'> & Partial<Field>,
): Field => {
  const now = new Date().toISOString();
  return {
    id: randomUUID(),
    standardId: null,
    defaultValue: null,
    description: null,
    icon: null,
    options: null,
    settings: null,
    isCustom: false,
    isActive: true,
    isSystem: false,
    isUIReadOnly: false,
    isNullable: true,
    isUnique: false,
    isLabelSyncedWithName: false,
    relationTargetFieldMetadataId: null,
    relationTargetObjectMetadataId: null,
    createdAt: now,
    updatedAt: now,
    ...given,
  };
};

export const makeObject = (
  given: Pick<
    ModelObject,
    'dataSourceId' | 'nameSingular' | 'namePlural' | 'labelSingular' | 'labelPlural' | 'workspaceId'
  > &
    Partial<ModelObject>,
): ModelObject => {
  const now = new Date().toISOString();
  return {
    id: randomUUID(),
    standardId: null,
    description: null,
    icon: null,
    shortcut: null,
    targetTableName: 'DEPRECATED',
    isCustom: false,
    isRemote: false,
    isActive: true,
    isSystem: false,
    isUIReadOnly: false,
    isSearchable: false,
    isLabelSyncedWithName: false,
    labelIdentifierFieldMetadataId: null,
    imageIdentifierFieldMetadataId: null,
    createdAt: now,
    updatedAt: now,
    ...given,
  };
};

export const insertObjects = async (client: Queryable, objects: ModelObject[]): Promise<void> => {
  await client.query(
    'INSERT INTO "core"."objectMetadata" SELECT * FROM jsonb_populate_recordset(NULL::"core"."objectMetadata", $1)',
    [JSON.stringify(objects)],
  );
};

export const insertFields = async (client: Queryable, fields: Field[]): Promise<void> => {
  await client.query(
    'INSERT INTO "core"."fieldMetadata" SELECT * FROM jsonb_populate_recordset(NULL::"core"."fieldMetadata", $1)',
    [JSON.stringify(fields)],
  );
};

// Every change of a model goes with a new version: servers and caches tell by it that what they know is old.
export const raiseVersion = async (client: Queryable, workspaceId: string): Promise<void> => {
  await client.query(
    'UPDATE "core"."workspace" SET "metadataVersion" = "metadataVersion" + 1, "updatedAt" = now() WHERE "id" = $1',
    [workspaceId],
  );
};

const cache = new Map<string, Model>();

export const loadModel = async (workspaceId: string): Promise<Model> => {
  const { rows: versions } = await database().query<{ metadataVersion: number }>(
    'SELECT "metadataVersion" FROM "core"."workspace" WHERE "id" = $1',
    [workspaceId],
  );
  const version = versions[0]?.metadataVersion ?? 0;
  const known = cache.get(workspaceId);
  if (known?.version === version) return known;

  const [objects, fields, sources] = await Promise.all([
    database().query<ModelObject>('SELECT * FROM "core"."objectMetadata" WHERE "workspaceId" = $1 ORDER BY "id" DESC', [
      workspaceId,
    ]),
    database().query<Field>(
      'SELECT * FROM "core"."fieldMetadata" WHERE "workspaceId" = $1 ORDER BY "createdAt", "name"',
      [workspaceId],
    ),
    database().query<{ id: string; schema: string }>(
      'SELECT "id", "schema" FROM "core"."dataSource" WHERE "workspaceId" = $1 ORDER BY "createdAt" LIMIT 1',
      [workspaceId],
    ),
  ]);
  const objectById = new Map(objects.rows.map((object) => [object.id, { ...object, fields: [] as Field[] }]));
  for (const field of fields.rows) objectById.get(field.objectMetadataId)?.fields.push(field);
  const model: Model = {
    workspaceId,
    schema: sources.rows[0]?.schema ?? schemaName(workspaceId),
    dataSourceId: sources.rows[0]?.id ?? '',
    version,
    objects: [...objectById.values()],
    objectById,
    fieldById: new Map(fields.rows.map((field) => [field.id, field])),
  };
  cache.set(workspaceId, model);
  return model;
};
