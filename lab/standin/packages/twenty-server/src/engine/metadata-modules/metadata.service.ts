import { randomUUID } from 'node:crypto';
import type { PoolClient } from 'pg';

import { inTransaction, quoteName } from '../core-modules/database';
import { apiError } from '../errors';
import { logger } from '../../logger';
import { addField, alterField, capitalise, createTables, dropField, dropTable, InvalidDefault, renameTypes } from './columns';
import {
  type Field,
  type FieldOption,
  type FieldType,
  insertFields,
  insertObjects,
  loadModel,
  makeField,
  makeObject,
  type Model,
  type ModelObject,
  type ObjectWithFields,
  raiseVersion,
  relationTypeOf,
  type RelationType,
  tableName,
} from './model';
import { CUSTOM_OBJECT_TARGETS, customObjectFields, joinColumn, relationPair } from './standard-objects';
import { fieldProblems, nameFromLabel, objectProblems, problem, refusal, type Report, validationFailed } from './validation';

const log = logger('Metadata');

export type CreateObjectInput = {
  nameSingular: string;
  namePlural: string;
  labelSingular: string;
  labelPlural: string;
  description?: string | null;
  icon?: string | null;
  shortcut?: string | null;
  isRemote?: boolean | null;
  isLabelSyncedWithName?: boolean | null;
};

export type RelationCreationPayload = {
  type?: RelationType;
  targetObjectMetadataId?: string;
  targetFieldLabel?: string;
  targetFieldIcon?: string;
};

export type CreateFieldInput = {
  objectMetadataId: string;
  type: FieldType;
  name: string;
  label: string;
  description?: string | null;
  icon?: string | null;
  isNullable?: boolean | null;
  isUnique?: boolean | null;
  isUIReadOnly?: boolean | null;
  isLabelSyncedWithName?: boolean | null;
  defaultValue?: unknown;
  options?: FieldOption[] | null;
  settings?: Field['settings'];
  relationCreationPayload?: RelationCreationPayload | null;
};

const tidy = (text: string): string => text.trim().replaceAll(/\s+/g, ' ');

// A change is checked against the model as it is known, then written in one transaction. What the database itself
// refuses then (a twin that was faster, a value that does not fit) is upstream's RUNNER_INTERNAL_SERVER_ERROR.
const run = async (model: Model, work: (client: PoolClient) => Promise<void>): Promise<Model> => {
  try {
    await inTransaction(async (client) => {
      await work(client);
      await raiseVersion(client, model.workspaceId);
    });
  } catch (error) {
    log.error(`workspace ${model.workspaceId}: change rolled back: ${(error as Error).message}`);
    throw apiError('INTERNAL_SERVER_ERROR', 'RUNNER_INTERNAL_SERVER_ERROR', {
      userFriendlyMessage: error instanceof InvalidDefault ? error.message : 'An error occurred.',
    });
  }
  return loadModel(model.workspaceId);
};

const execute = async (client: PoolClient, statements: string[]): Promise<void> => {
  if (statements.length > 0) await client.query(statements.join(';\n'));
};

const objectOf = (model: Model, id: string): ModelObject => {
  const object = model.objectById.get(id);
  if (!object) throw new Error(`object ${id} is gone from the model`);
  return object;
};

const minimal = ({ id, nameSingular, namePlural }: ModelObject) => ({ id, nameSingular, namePlural });
const minimalField = ({ id, name, objectMetadataId }: Field) => ({ id, name, objectMetadataId });

export const createObject = async (workspaceId: string, input: CreateObjectInput): Promise<ObjectWithFields> => {
  const model = await loadModel(workspaceId);
  const object = makeObject({
    workspaceId,
    dataSourceId: model.dataSourceId,
    nameSingular: tidy(input.nameSingular),
    namePlural: tidy(input.namePlural),
    labelSingular: capitalise(tidy(input.labelSingular)),
    labelPlural: capitalise(tidy(input.labelPlural)),
    description: input.description ?? null,
    icon: input.icon ?? null,
    shortcut: input.shortcut ?? null,
    isRemote: input.isRemote ?? false,
    isLabelSyncedWithName: input.isLabelSyncedWithName ?? false,
    isCustom: true,
    isSearchable: true,
  });
  const own = customObjectFields(object);
  object.labelIdentifierFieldMetadataId = own.find(({ name }) => name === 'name')?.id ?? null;

  const pairs = CUSTOM_OBJECT_TARGETS.map((target) => {
    const other = model.objects.find(({ nameSingular }) => nameSingular === target);
    if (!other) throw new Error(`workspace ${workspaceId} has no object ${target}`);
    return relationPair(
      workspaceId,
      { object: other, name: object.nameSingular, label: object.labelSingular, isCustom: false, isSystem: true },
      { object, name: other.namePlural, label: capitalise(other.namePlural), isSystem: true },
      'CASCADE',
    );
  });

  const problems = objectProblems(model, object);
  if (object.isRemote) problems.push(problem('INVALID_OBJECT_INPUT', 'Remote objects are not supported'));
  if (problems.length > 0) {
    // With the object refused, each field that would have come with it is refused as well.
    const orphans: Report['fieldMetadata'] = own.map((field) =>
      refusal('create_field', [problem('OBJECT_METADATA_NOT_FOUND', 'Object metadata not found')], minimalField(field)),
    );
    for (const [many] of pairs) {
      const other = model.objectById.get(many.objectMetadataId) as ObjectWithFields;
      const errors = fieldProblems(model, other, many, { checkName: true });
      errors.push(problem('OBJECT_METADATA_NOT_FOUND', 'Relation target object metadata not found'));
      orphans.push(refusal('create_field', errors, minimalField(many)));
    }
    throw validationFailed('creating object', {
      objectMetadata: [refusal('create_object', problems, minimal(object))],
      fieldMetadata: orphans,
    });
  }

  const after = await run(model, async (client) => {
    await insertObjects(client, [object]);
    await insertFields(client, [...own, ...pairs.flat()]);
    const withNew = (id: string): ModelObject => (id === object.id ? object : objectOf(model, id));
    await execute(client, [
      ...createTables(model.schema, [object], () => [...own, ...pairs.map(([, one]) => one)], withNew),
      ...pairs.flatMap(([many]) => addField(model.schema, withNew(many.objectMetadataId), many, withNew)),
    ]);
  });
  return after.objectById.get(object.id) as ObjectWithFields;
};

const defaultOf = (type: FieldType): unknown => {
  switch (type) {
    case 'TEXT':
      return "''";
    case 'EMAILS':
      return { primaryEmail: "''", additionalEmails: null };
    case 'FULL_NAME':
      return { firstName: "''", lastName: "''" };
    case 'LINKS':
      return { primaryLinkLabel: "''", primaryLinkUrl: "''", secondaryLinks: null };
    case 'CURRENCY':
      return { amountMicros: null, currencyCode: "''" };
    case 'ACTOR':
      return { source: "'MANUAL'", name: "'System'", workspaceMemberId: null };
    default:
      return null;
  }
};

const RATINGS: FieldOption[] = [1, 2, 3, 4, 5].map((value) => ({
  label: String(value),
  value: `RATING_${value}`,
  position: value - 1,
}));

const optionsOf = (input: Pick<CreateFieldInput, 'type' | 'options'>): FieldOption[] | null => {
  if (input.type === 'RATING') return RATINGS.map((option) => ({ id: randomUUID(), ...option }));
  if (input.type !== 'SELECT' && input.type !== 'MULTI_SELECT') return input.options ?? null;
  return (input.options ?? []).map((option) => ({ ...option, id: option.id ?? randomUUID() }));
};

const refuseInput = (action: string, code: string, message: string, value?: unknown) =>
  validationFailed(action, { objectMetadata: [refusal('create_field', [problem(code, message, value)], {})] });

const relationFields = (model: Model, object: ObjectWithFields, field: Field, input: CreateFieldInput): Field[] => {
  const payload = input.relationCreationPayload;
  if (!payload) throw refuseInput('creating field', 'INVALID_FIELD_INPUT', 'Relation creation payload is required');
  const { type, targetObjectMetadataId, targetFieldLabel } = payload;
  if ((type !== 'MANY_TO_ONE' && type !== 'ONE_TO_MANY') || !targetObjectMetadataId || !targetFieldLabel) {
    throw refuseInput('creating field', 'FIELD_METADATA_RELATION_MALFORMED', 'Relation creation payload is invalid', payload);
  }
  const target = model.objectById.get(targetObjectMetadataId);
  if (!target) {
    throw refuseInput('creating field', 'FIELD_METADATA_RELATION_MALFORMED', 'Relation target object not found', payload);
  }
  const own = { ...field, object, icon: field.icon ?? 'IconRelationOneToMany' };
  const other = {
    object: target,
    name: nameFromLabel(targetFieldLabel),
    label: tidy(targetFieldLabel),
    icon: payload.targetFieldIcon ?? 'Icon123',
    isCustom: true,
  };
  const pair = type === 'MANY_TO_ONE' ? relationPair(model.workspaceId, own, other) : relationPair(model.workspaceId, other, own);
  for (const side of pair) side.type = 'RELATION';
  return type === 'MANY_TO_ONE' ? pair : [pair[1], pair[0]];
};

export const createField = async (workspaceId: string, input: CreateFieldInput): Promise<Field> => {
  const model = await loadModel(workspaceId);
  const object = model.objectById.get(input.objectMetadataId);
  if (!object) throw refuseInput('creating field', 'OBJECT_METADATA_NOT_FOUND', 'Provided object metadata id does not exist');
  if (input.type === 'TS_VECTOR' || input.type === 'MORPH_RELATION') {
    throw refuseInput('creating field', 'INVALID_FIELD_INPUT', `${input.type} is not supported for field creation`);
  }
  const field = makeField({
    objectMetadataId: object.id,
    workspaceId,
    type: input.type,
    name: tidy(input.name),
    label: tidy(input.label),
    description: input.description ?? null,
    icon: input.icon ?? null,
    isCustom: true,
    // A TEXT column is never null, whatever is asked: without a value it is the empty string, unique or not.
    isNullable: input.type === 'TEXT' ? false : (input.isNullable ?? true),
    isUnique: input.isUnique ?? null,
    isUIReadOnly: input.isUIReadOnly ?? false,
    isLabelSyncedWithName: input.isLabelSyncedWithName ?? false,
    defaultValue: input.defaultValue ?? defaultOf(input.type),
    options: optionsOf(input),
    settings: input.settings ?? null,
  });
  const fields = input.type === 'RELATION' ? relationFields(model, object, field, input) : [field];
  const refusals = fields.flatMap((item) => {
    const parent = model.objectById.get(item.objectMetadataId) as ObjectWithFields;
    const problems = fieldProblems(model, parent, item, { checkName: true });
    return problems.length > 0 ? [refusal('create_field', problems, minimalField(item))] : [];
  });
  if (refusals.length > 0) throw validationFailed('creating field', { fieldMetadata: refusals });

  const after = await run(model, async (client) => {
    await insertFields(client, fields);
    const of = (id: string): ModelObject => objectOf(model, id);
    await execute(
      client,
      fields.flatMap((item) => addField(model.schema, of(item.objectMetadataId), item, of)),
    );
  });
  return after.fieldById.get((fields[0] as Field).id) as Field;
};

const EDITABLE = {
  custom: ['defaultValue', 'description', 'icon', 'isActive', 'isLabelSyncedWithName', 'isUnique', 'label', 'name', 'options', 'settings'],
  standard: ['defaultValue', 'description', 'icon', 'isActive', 'label', 'options', 'settings'],
};

export const updateField = async (workspaceId: string, id: string, update: Partial<Field>): Promise<Field> => {
  const model = await loadModel(workspaceId);
  const from = model.fieldById.get(id);
  if (!from) throw refuseInput('updating field', 'FIELD_METADATA_NOT_FOUND', 'Field metadata to update not found');
  const asked = Object.entries(update).filter(([key, value]) => value !== undefined && EDITABLE.custom.includes(key));
  const foreign = asked.map(([key]) => key).filter((key) => !from.isCustom && !EDITABLE.standard.includes(key));
  if (foreign.length > 0) {
    throw apiError('FORBIDDEN', `Cannot edit standard field metadata properties: ${foreign.join(', ')}`, {
      subCode: 'FIELD_MUTATION_NOT_ALLOWED',
    });
  }
  const to: Field = { ...from, ...Object.fromEntries(asked) };
  // An option that comes without its id is a new one.
  if (update.options) to.options = update.options.map((option) => ({ ...option, id: option.id ?? randomUUID() }));
  if (from.settings?.joinColumnName && to.name !== from.name) {
    to.settings = { ...from.settings, joinColumnName: joinColumn(to.name) };
  }
  const object = model.objectById.get(from.objectMetadataId) as ObjectWithFields;
  const problems = fieldProblems(model, object, to, { checkName: to.name !== from.name });
  if (object.labelIdentifierFieldMetadataId === id && from.isActive && !to.isActive) {
    problems.push(
      problem('LABEL_IDENTIFIER_FIELD_METADATA_ID_NOT_FOUND', 'Label identifier field metadata cannot be deactivated'),
    );
  }
  if (problems.length > 0) {
    throw validationFailed('updating field', { fieldMetadata: [refusal('update_field', problems, minimalField(to))] });
  }
  const after = await run(model, async (client) => {
    await execute(client, alterField(model.schema, object, from, to));
    await client.query(
      `UPDATE "core"."fieldMetadata" SET ("name", "label", "description", "icon", "isActive", "isUnique",
         "isLabelSyncedWithName", "defaultValue", "options", "settings", "updatedAt")
       = (SELECT "name", "label", "description", "icon", "isActive", "isUnique", "isLabelSyncedWithName",
            "defaultValue", "options", "settings", now()
          FROM jsonb_populate_record(NULL::"core"."fieldMetadata", $2)) WHERE "id" = $1`,
      [id, JSON.stringify(to)],
    );
  });
  return after.fieldById.get(id) as Field;
};

export const deleteField = async (workspaceId: string, id: string): Promise<Field> => {
  const model = await loadModel(workspaceId);
  const field = model.fieldById.get(id);
  if (!field) throw refuseInput('deleting field', 'FIELD_METADATA_NOT_FOUND', 'Field metadata to delete not found');
  const object = model.objectById.get(field.objectMetadataId) as ObjectWithFields;
  const problems = [
    ...(object.labelIdentifierFieldMetadataId === id
      ? [problem('FIELD_MUTATION_NOT_ALLOWED', 'Cannot delete, please update the label identifier field first')]
      : []),
    ...(field.isCustom ? [] : [problem('INVALID_FIELD_INPUT', "Standard Fields can't be deleted")]),
    ...(field.isActive ? [problem('INVALID_FIELD_INPUT', "Active fields can't be deleted")] : []),
  ];
  if (problems.length > 0) {
    throw validationFailed('deleting field', { fieldMetadata: [refusal('delete_field', problems, minimalField(field))] });
  }
  const opposite = relationTypeOf(field) ? model.fieldById.get(field.relationTargetFieldMetadataId ?? '') : undefined;
  const gone = opposite ? [field, opposite] : [field];
  await run(model, async (client) => {
    await execute(
      client,
      gone.flatMap((item) => dropField(model.schema, objectOf(model, item.objectMetadataId), item)),
    );
    await client.query('DELETE FROM "core"."fieldMetadata" WHERE "id" = ANY($1)', [gone.map((item) => item.id)]);
  });
  return field;
};

const EDITABLE_OBJECT = [
  'labelSingular', 'labelPlural', 'nameSingular', 'namePlural', 'description', 'icon', 'shortcut', 'isActive',
  'labelIdentifierFieldMetadataId', 'imageIdentifierFieldMetadataId', 'isLabelSyncedWithName',
];

export const updateObject = async (
  workspaceId: string,
  id: string,
  update: Partial<ModelObject>,
): Promise<ObjectWithFields> => {
  const model = await loadModel(workspaceId);
  const from = model.objectById.get(id);
  if (!from) throw apiError('NOT_FOUND', 'Object to update not found', { subCode: 'OBJECT_METADATA_NOT_FOUND' });
  const asked = Object.fromEntries(
    Object.entries(update).filter(([key, value]) => value !== undefined && EDITABLE_OBJECT.includes(key)),
  );
  const to: ObjectWithFields = { ...from, ...asked };
  if (!from.isCustom && (to.nameSingular !== from.nameSingular || to.namePlural !== from.namePlural)) {
    throw apiError('BAD_USER_INPUT', 'Names of standard objects cannot be changed', { subCode: 'INVALID_OBJECT_INPUT' });
  }
  const problems = objectProblems(model, to);
  if (!to.fields.some((field) => field.id === to.labelIdentifierFieldMetadataId)) {
    problems.push(problem('INVALID_OBJECT_INPUT', 'labelIdentifierFieldMetadataId names no field of the object'));
  }
  if (problems.length > 0) {
    throw validationFailed('updating object', { objectMetadata: [refusal('update_object', problems, minimal(to))] });
  }
  const after = await run(model, async (client) => {
    if (tableName(to) !== tableName(from)) {
      await client.query(
        `ALTER TABLE ${quoteName(model.schema)}.${quoteName(tableName(from))} RENAME TO ${quoteName(tableName(to))}`,
      );
      await execute(client, renameTypes(model.schema, from, tableName(to)));
    }
    const names = EDITABLE_OBJECT.map(quoteName).join(', ');
    await client.query(
      `UPDATE "core"."objectMetadata" SET (${names}, "updatedAt") =
         (SELECT ${names}, now() FROM jsonb_populate_record(NULL::"core"."objectMetadata", $2)) WHERE "id" = $1`,
      [id, JSON.stringify({ ...to, fields: undefined })],
    );
  });
  return after.objectById.get(id) as ObjectWithFields;
};

export const deleteObject = async (workspaceId: string, id: string): Promise<ObjectWithFields> => {
  const model = await loadModel(workspaceId);
  const object = model.objectById.get(id);
  if (!object) throw apiError('NOT_FOUND', 'Object to delete not found', { subCode: 'OBJECT_METADATA_NOT_FOUND' });
  const problems = [
    ...(object.isCustom ? [] : [problem('INVALID_OBJECT_INPUT', 'Standard objects cannot be deleted')]),
    ...(object.isActive ? [problem('INVALID_OBJECT_INPUT', 'Active objects cannot be deleted')] : []),
  ];
  if (problems.length > 0) {
    throw validationFailed('deleting object', { objectMetadata: [refusal('delete_object', problems, minimal(object))] });
  }
  const pointing = [...model.fieldById.values()].filter((field) => field.relationTargetObjectMetadataId === id);
  await run(model, async (client) => {
    await execute(client, [
      ...pointing
        .filter((field) => field.objectMetadataId !== id)
        .flatMap((field) => dropField(model.schema, objectOf(model, field.objectMetadataId), field)),
      ...dropTable(model.schema, object),
    ]);
    await client.query('DELETE FROM "core"."objectMetadata" WHERE "id" = $1', [id]);
  });
  return object;
};
