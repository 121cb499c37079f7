// SPDX-License-Identifier: AGPL-3.0-only

import {
  type DataModel,
  type ModelField,
  type ModelObject,
  type ModelRelation,
} from './data-model';
import { firstViewsOf, firstViewsToNote } from './first-views';
import {
  type CreateField,
  type CreateObject,
  type FieldChanges,
  type FirstView,
  type MetadataField,
  type MetadataObject,
  type MetadataOption,
  type ObjectChanges,
} from './workspace-metadata';

// What a workspace lacks, what differs and what stands in the way. Nothing here ever removes or renames anything.

export type Update<Changes> = { id: string; name: string; changes: Changes };

export type Counts = {
  objects: number;
  objectFields: number;
  extendedFields: number;
  relations: number;
};

export type Plan = {
  createObjects: CreateObject[];
  createFields: CreateField[];
  createRelations: CreateField[];
  updateObjects: Update<ObjectChanges>[];
  updateFields: Update<FieldChanges>[];
  // Noted before anything of them is made, written once all of the model is there.
  noteFirstViews: string[];
  firstViews: FirstView[];
  // Written once their object or the other end exists.
  waiting: string[];
  // A person must decide: nothing is written to this workspace.
  conflicts: string[];
  // Made by a person, or no longer in the model: reported, and left as it is.
  leftAlone: string[];
  present: Counts;
};

const quote = (value: string) => `'${value}'`;

export const wireDefault = (field: ModelField): unknown => {
  const value = field.default;

  if (value === undefined) {
    // A TEXT column is never null in Twenty.
    return field.type === 'TEXT' ? "''" : null;
  }
  if (Array.isArray(value)) {
    return value.map(quote);
  }

  return typeof value === 'string' ? quote(value) : value;
};

export const wireSettings = (
  field: ModelField,
): Record<string, unknown> | undefined =>
  field.decimals === undefined
    ? undefined
    : {
        dataType: field.decimals === 0 ? 'int' : 'float',
        decimals: field.decimals,
        type: 'number',
      };

// Ours in our order, each with the id that it has: records and views hold on to it. Then what people added.
export const wireOptions = (
  field: ModelField,
  existing: MetadataOption[],
): MetadataOption[] => {
  const wanted = field.options ?? [];
  const ours = wanted.map((option, position) => {
    const id = existing.find(({ value }) => value === option.value)?.id;

    return { ...(id === undefined ? {} : { id }), ...option, position };
  });
  const theirs = [...existing]
    .sort((one, other) => one.position - other.position)
    .filter(({ value }) => !wanted.some((option) => option.value === value))
    .map((option, place) => ({ ...option, position: ours.length + place }));

  return [...ours, ...theirs];
};

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) {
    return value.map(sorted);
  }
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, item]) => item !== undefined)
        .sort(([one], [other]) => (one < other ? -1 : 1))
        .map(([key, item]) => [key, sorted(item)]),
    );
  }

  return value;
};

const same = (one: unknown, other: unknown) =>
  JSON.stringify(sorted(one ?? null)) ===
  JSON.stringify(sorted(other ?? null));

const sameDefault = (type: string, one: unknown, other: unknown) => {
  const plain = (value: unknown) =>
    type === 'TEXT' && (value ?? null) === null ? "''" : value;
  const inAnyOrder = (value: unknown) =>
    type === 'MULTI_SELECT' && Array.isArray(value)
      ? [...value].sort()
      : plain(value);

  return same(inAnyOrder(one), inAnyOrder(other));
};

const OPTION_KEYS = ['value', 'label', 'color', 'position'] as const;

const sameOptions = (one: MetadataOption[], other: MetadataOption[]) => {
  const bare = (options: MetadataOption[]) =>
    [...options]
      .sort((left, right) => left.position - right.position)
      .map((option, position) =>
        OPTION_KEYS.map((key) =>
          key === 'position' ? position : (option[key] ?? null),
        ),
      );

  return same(bare(one), bare(other));
};

// The keys of `wanted` that are there with another value; what the model does not say is not looked at.
const differences = <Wanted extends object>(
  wanted: Wanted,
  there: { [Key in keyof Wanted]?: unknown },
): Partial<Wanted> =>
  Object.fromEntries(
    Object.entries(wanted).filter(
      ([key, value]) =>
        value !== undefined && !same(value, there[key as keyof Wanted]),
    ),
  ) as Partial<Wanted>;

const fieldChanges = (
  wanted: ModelField,
  there: MetadataField,
): FieldChanges => {
  const changes: FieldChanges = differences(
    {
      label: wanted.label,
      icon: wanted.icon,
      description: wanted.description,
      isActive: true,
    },
    there,
  );

  if (wanted.builtIn) {
    return changes;
  }
  if (wanted.unique !== there.isUnique) {
    changes.isUnique = wanted.unique;
  }
  if (!sameDefault(wanted.type, wireDefault(wanted), there.defaultValue)) {
    changes.defaultValue = wireDefault(wanted);
  }
  if (wanted.options !== undefined) {
    const options = wireOptions(wanted, there.options ?? []);

    if (!sameOptions(options, there.options ?? [])) {
      changes.options = options;
    }
  }
  const settings = wireSettings(wanted);

  if (
    settings !== undefined &&
    Object.keys(differences(settings, there.settings ?? {})).length > 0
  ) {
    changes.settings = { ...there.settings, ...settings };
  }

  return changes;
};

const newField = (
  wanted: ModelField,
  object: MetadataObject,
): CreateField => {
  const defaultValue = wireDefault(wanted);
  const settings = wireSettings(wanted);

  return {
    objectName: object.nameSingular,
    objectMetadataId: object.id,
    name: wanted.name,
    type: wanted.type,
    label: wanted.label,
    ...(wanted.icon === undefined ? {} : { icon: wanted.icon }),
    ...(wanted.description === undefined
      ? {}
      : { description: wanted.description }),
    ...(wanted.unique ? { isUnique: true as const } : {}),
    ...(wanted.required ? { isNullable: false as const } : {}),
    // Twenty refuses a unique field that brings a default, even the empty one that it sets itself.
    ...(wanted.default === undefined ? {} : { defaultValue }),
    ...(wanted.options === undefined
      ? {}
      : { options: wireOptions(wanted, []) }),
    ...(settings === undefined ? {} : { settings }),
  };
};

const emptyPlan = (): Plan => ({
  createObjects: [],
  createFields: [],
  createRelations: [],
  updateObjects: [],
  updateFields: [],
  noteFirstViews: [],
  firstViews: [],
  waiting: [],
  conflicts: [],
  leftAlone: [],
  present: { objects: 0, objectFields: 0, extendedFields: 0, relations: 0 },
});

const planObject = (
  plan: Plan,
  wanted: ModelObject,
  objects: MetadataObject[],
): MetadataObject | undefined => {
  const { fields: _, ...own } = wanted;
  const there = objects.find(
    ({ nameSingular }) => nameSingular === wanted.nameSingular,
  );

  if (there === undefined) {
    const holder = objects.find(
      ({ nameSingular, namePlural }) =>
        [nameSingular, namePlural].includes(wanted.namePlural) ||
        namePlural === wanted.nameSingular,
    );

    if (holder !== undefined) {
      plan.conflicts.push(
        `${wanted.nameSingular}: a name of it is taken by the object ${holder.nameSingular} (plural ${holder.namePlural})`,
      );
    } else {
      plan.createObjects.push(own);
    }

    return undefined;
  }
  if (!there.isCustom) {
    plan.conflicts.push(
      `${wanted.nameSingular}: Twenty has a standard object of that name`,
    );

    return undefined;
  }
  if (there.namePlural !== wanted.namePlural) {
    plan.conflicts.push(
      `${wanted.nameSingular}: its plural is ${there.namePlural} here, the model says ${wanted.namePlural}`,
    );

    return undefined;
  }
  plan.present.objects += 1;
  const { labelSingular, labelPlural, icon, description } = own;
  const changes = differences(
    { labelSingular, labelPlural, icon, description, isActive: true },
    there,
  );

  if (Object.keys(changes).length > 0) {
    plan.updateObjects.push({ id: there.id, name: there.nameSingular, changes });
  }

  return there;
};

const planFields = (
  plan: Plan,
  wanted: ModelField[],
  object: MetadataObject,
  count: 'objectFields' | 'extendedFields',
) => {
  for (const field of wanted) {
    const name = `${object.nameSingular}.${field.name}`;
    const there = object.fields.find((item) => item.name === field.name);

    if (there === undefined) {
      const column = object.fields.find(
        ({ settings }) => settings?.joinColumnName === field.name,
      );

      if (field.builtIn) {
        plan.conflicts.push(`${name}: the built-in field is not there`);
      } else if (column !== undefined) {
        plan.conflicts.push(
          `${name}: the name is the column of the relation ${column.name}`,
        );
      } else {
        plan.createFields.push(newField(field, object));
      }
      continue;
    }
    if (there.type !== field.type) {
      plan.conflicts.push(
        `${name}: is ${there.type} here, the model says ${field.type}`,
      );
      continue;
    }
    if (!field.builtIn && !there.isCustom) {
      plan.conflicts.push(`${name}: Twenty has a standard field of that name`);
      continue;
    }
    plan.present[count] += 1;
    const changes = fieldChanges(field, there);

    if (Object.keys(changes).length > 0) {
      plan.updateFields.push({ id: there.id, name, changes });
    }
  }
};

const planRelation = (
  plan: Plan,
  wanted: ModelRelation,
  objects: MetadataObject[],
) => {
  const name = `${wanted.object}.${wanted.name}`;
  const find = (singular: string) =>
    objects.find(({ nameSingular }) => nameSingular === singular);
  const object = find(wanted.object);
  const target = find(wanted.target);

  const inverseName = `${wanted.target}.${wanted.inverse.name}`;
  const there = object?.fields.find((field) => field.name === wanted.name);
  const inverse = target?.fields.find(
    (field) => field.name === wanted.inverse.name,
  );

  if (there === undefined) {
    // Seen before anything is written, even while an end is still to be created.
    const column = object?.fields.find(
      (field) => field.name === `${wanted.name}Id`,
    );

    if (column !== undefined) {
      plan.conflicts.push(
        `${name}: its column ${column.name} is the name of a ${column.type} field`,
      );
    }
    if (inverse !== undefined) {
      plan.conflicts.push(
        `${inverseName}: is a ${inverse.type} field here, the model wants the other side of ${name} there`,
      );
    }
    if (column !== undefined || inverse !== undefined) {
      return;
    }
    if (object === undefined || target === undefined) {
      plan.waiting.push(name);
    } else {
      plan.createRelations.push({
        objectName: object.nameSingular,
        objectMetadataId: object.id,
        name: wanted.name,
        type: 'RELATION',
        label: wanted.label,
        icon: wanted.icon,
        relationCreationPayload: {
          type: 'MANY_TO_ONE',
          targetObjectMetadataId: target.id,
          targetFieldLabel: wanted.inverse.label,
          targetFieldIcon: wanted.inverse.icon,
        },
      });
    }

    return;
  }
  const found =
    there.type === 'RELATION' && there.relation !== null
      ? `${there.relation.type} to ${there.relation.targetObject}.${there.relation.targetField}`
      : there.type;
  const expected = `MANY_TO_ONE to ${inverseName}`;

  if (found !== expected || inverse === undefined) {
    plan.conflicts.push(
      `${name}: is ${found} here, the model says ${expected}`,
    );

    return;
  }
  plan.present.relations += 1;
  for (const [field, sideName, side] of [
    [there, name, wanted],
    [inverse, inverseName, wanted.inverse],
  ] as const) {
    const changes = differences(
      { label: side.label, icon: side.icon, isActive: true },
      field,
    );

    if (Object.keys(changes).length > 0) {
      plan.updateFields.push({ id: field.id, name: sideName, changes });
    }
  }
};

const planLeftAlone = (
  plan: Plan,
  model: DataModel,
  objects: MetadataObject[],
) => {
  const ours = new Map<string, ModelField[]>([
    ...model.objects.map(
      ({ nameSingular, fields }) => [nameSingular, fields] as const,
    ),
    ...model.extends.map(({ object, fields }) => [object, fields] as const),
  ]);
  const ends = new Set(
    model.relations.flatMap(({ object, name, target, inverse }) => [
      `${object}.${name}`,
      `${target}.${inverse.name}`,
    ]),
  );

  for (const object of objects) {
    const fields = ours.get(object.nameSingular);

    if (fields === undefined && object.isCustom) {
      plan.leftAlone.push(`${object.nameSingular} (object)`);
    }
    for (const there of fields === undefined ? [] : object.fields) {
      const name = `${object.nameSingular}.${there.name}`;
      const wanted = fields?.find((field) => field.name === there.name);

      if (wanted === undefined && there.isCustom && !ends.has(name)) {
        plan.leftAlone.push(`${name} (${there.type})`);
      }
      if (wanted?.options !== undefined) {
        const known = wanted.options.map(({ value }) => value);

        plan.leftAlone.push(
          ...(there.options ?? [])
            .filter(({ value }) => !known.includes(value))
            .map(({ value }) => `${name} option ${value}`),
        );
      }
    }
  }
};

// noted: the objects whose first views an earlier write brought with it, and which are not written yet; asked: those that a person
// wants written although they were made before.
export const planWorkspace = (
  model: DataModel,
  objects: MetadataObject[],
  noted: string[] = [],
  asked: string[] = [],
): Plan => {
  const plan = emptyPlan();

  for (const wanted of model.objects) {
    const there = planObject(plan, wanted, objects);

    if (there === undefined) {
      plan.waiting.push(
        ...wanted.fields.map(({ name }) => `${wanted.nameSingular}.${name}`),
      );
    } else {
      planFields(plan, wanted.fields, there, 'objectFields');
    }
  }
  for (const { object, fields } of model.extends) {
    const there = objects.find(({ nameSingular }) => nameSingular === object);

    if (there === undefined) {
      plan.conflicts.push(`${object}: the standard object is not there`);
    } else {
      planFields(plan, fields, there, 'extendedFields');
    }
  }
  for (const relation of model.relations) {
    planRelation(plan, relation, objects);
  }
  planLeftAlone(plan, model, objects);
  plan.noteFirstViews = firstViewsToNote(model, objects).filter(
    (object) => !noted.includes(object),
  );
  plan.firstViews = firstViewsOf(model, objects, [
    ...noted,
    ...asked,
  ]);

  return plan;
};

export const isMatched = (plan: Plan): boolean =>
  plan.conflicts.length === 0 &&
  plan.waiting.length === 0 &&
  plan.createObjects.length === 0 &&
  plan.createFields.length === 0 &&
  plan.createRelations.length === 0 &&
  plan.firstViews.length === 0 &&
  plan.updateObjects.length === 0 &&
  plan.updateFields.length === 0;

// What would be written, one line each, in the words of the model.
export const describePlan = (plan: Plan): string[] => [
  ...plan.createObjects.map(({ nameSingular }) => `create ${nameSingular}`),
  ...plan.createFields.map(
    ({ objectName, name, type }) => `create ${objectName}.${name} (${type})`,
  ),
  ...plan.createRelations.map(
    ({ objectName, name }) => `create ${objectName}.${name} (RELATION)`,
  ),
  ...plan.waiting.map((name) => `then create ${name}`),
  ...[...plan.updateObjects, ...plan.updateFields].map(
    ({ name, changes }) => `change ${name}: ${Object.keys(changes).join(', ')}`,
  ),
  ...plan.firstViews.map(({ objectName }) => `arrange ${objectName}: first views`),
];
