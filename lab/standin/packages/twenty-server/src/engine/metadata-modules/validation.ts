import type { GraphQLError } from 'graphql';

import { apiError } from '../errors';
import { COMPOSITES, partColumn } from './columns';
import { type Field, type FieldOption, type Model, type ModelObject, relationTypeOf } from './model';

// What upstream's builder refuses, in the shape in which it answers: METADATA_VALIDATION_FAILED with, per kind of
// metadata, a list of refused items, each with its own list of errors.

export type Problem = { code: string; message: string; userFriendlyMessage: string; value?: unknown };

export type Refusal = {
  status: 'fail';
  type: string;
  errors: Problem[];
  flatEntityMinimalInformation: Record<string, unknown>;
};

const KINDS = [
  'cronTrigger', 'databaseEventTrigger', 'fieldMetadata', 'index', 'objectMetadata', 'routeTrigger',
  'serverlessFunction', 'view', 'viewField', 'viewFilter', 'viewGroup',
] as const;

export type Report = Partial<Record<(typeof KINDS)[number], Refusal[]>>;

export const refusal = (type: string, errors: Problem[], information: Record<string, unknown>): Refusal => ({
  status: 'fail',
  type,
  errors,
  flatEntityMinimalInformation: information,
});

export const problem = (code: string, message: string, value?: unknown): Problem => ({
  code,
  message,
  userFriendlyMessage: message,
  ...(value === undefined ? {} : { value }),
});

// The counts stay at zero whatever is refused: so does upstream's answer, and no client can rely on them.
export const validationFailed = (action: string, report: Report): GraphQLError => {
  const counts = Object.fromEntries(KINDS.map((kind) => [`invalid${kind.charAt(0).toUpperCase()}${kind.slice(1)}`, 0]));
  const text = 'Validation failed for 0 object(s) and 0 field(s)';
  return apiError('METADATA_VALIDATION_FAILED', `Multiple validation errors occurred while ${action}`, {
    errors: Object.fromEntries(KINDS.map((kind) => [kind, report[kind] ?? []])),
    summary: { ...counts, totalErrors: 0 },
    message: text,
    userFriendlyMessage: text,
  });
};

// Names that are taken by the server's own GraphQL types.
const RESERVED = new Set(
  [
    'approvedAccessDomain', 'appToken', 'billingCustomer', 'billingEntitlement', 'billingMeter', 'billingProduct',
    'billingSubscription', 'billingSubscriptionItem', 'featureFlag', 'job', 'keyValuePair', 'pageLayout',
    'pageLayoutTab', 'pageLayoutWidget', 'postgresCredential', 'twoFactorMethod', 'user', 'userWorkspace', 'workspace',
    'role', 'userWorkspaceRole', 'plan', 'event', 'field', 'link', 'type', 'object', 'relation',
  ]
    .flatMap((name) => [name, `${name}s`])
    .concat('currency', 'currencies', 'address', 'addresses', 'fullNames', 'index', 'aggregate'),
);

const MAX_LENGTH = 63;

// As lodash's camelCase for the alphanumeric names that matter here: words begin at capitals and at digits.
const camelCase = (name: string): string =>
  (name.match(/[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+/g) ?? [])
    .map((word, place) =>
      place === 0 ? word.toLowerCase() : word.charAt(0).toUpperCase() + word.slice(1).toLowerCase(),
    )
    .join('');

const nameProblems = (name: string, code: string): Problem[] => {
  const rules: [broken: boolean, message: string][] = [
    [name.length > MAX_LENGTH, 'Name is too long'],
    [name.length < 1, 'Name is too short'],
    [name !== camelCase(name), 'Name should be in camelCase'],
    [!/^[a-z][a-zA-Z0-9]*$/.test(name), 'Name is not valid: a lowercase letter first, then letters and digits only'],
    [RESERVED.has(name), 'The name is not available'],
  ];
  return rules.filter(([broken]) => broken).map(([, message]) => problem(code, message, name));
};

const labelProblems = (label: string): Problem[] => [
  ...(label.length < 1 ? [problem('INVALID_OBJECT_INPUT', 'Object label is too short', label)] : []),
  ...(label.length > MAX_LENGTH ? [problem('INVALID_OBJECT_INPUT', 'Object label is too long', label)] : []),
];

const same = (one: string, other: string): boolean => one.trim().toLowerCase() === other.trim().toLowerCase();

// A name as it is made from a label: what "synced with the label" means, and the name of a relation's other side.
export const nameFromLabel = (label: string): string => {
  const words = label
    .normalize('NFKD')
    .replaceAll(/[\u0300-\u036f]/g, '')
    .split(/[^A-Za-z0-9]+/)
    .filter(Boolean);
  const joined = words
    .map((word, place) => (place === 0 ? word.charAt(0).toLowerCase() : word.charAt(0).toUpperCase()) + word.slice(1))
    .join('');
  const name = camelCase(joined);
  return RESERVED.has(name) ? `${name}Custom` : name;
};

export const objectProblems = (model: Model, object: ModelObject): Problem[] => {
  const { nameSingular, namePlural, labelSingular, labelPlural } = object;
  const problems = [
    ...nameProblems(nameSingular, 'INVALID_OBJECT_INPUT'),
    ...nameProblems(namePlural, 'INVALID_OBJECT_INPUT'),
    ...labelProblems(labelSingular),
    ...labelProblems(labelPlural),
  ];
  if (same(nameSingular, namePlural)) {
    problems.push(problem('INVALID_OBJECT_INPUT', 'Singular and plural name of an object cannot be the same', namePlural));
  }
  if (same(labelSingular, labelPlural)) {
    problems.push(problem('INVALID_OBJECT_INPUT', 'Singular and plural label of an object cannot be the same', labelSingular));
  }
  if (
    object.isLabelSyncedWithName &&
    (nameFromLabel(labelSingular) !== nameSingular || nameFromLabel(labelPlural) !== namePlural)
  ) {
    problems.push(problem('INVALID_OBJECT_INPUT', 'Names are not synced with labels'));
  }
  const names = [nameSingular, namePlural];
  if (model.objects.some((other) => other.id !== object.id && (names.includes(other.nameSingular) || names.includes(other.namePlural)))) {
    problems.push(problem('OBJECT_ALREADY_EXISTS', 'Object already exists'));
  }
  return problems;
};

// Taken: a field of that name, and, where a relation points here from the other side, its join column over there.
const nameTaken = (model: Model, existing: Field[], field: Field): boolean =>
  existing.some((other) => {
    if (other.id === field.id) return false;
    if (other.name === field.name) return true;
    if (relationTypeOf(other) === undefined) return false;
    const opposite = model.fieldById.get(other.relationTargetFieldMetadataId ?? '');
    return opposite?.settings?.joinColumnName === field.name;
  });

const partTaken = (existing: Field[], field: Field): boolean =>
  existing.some((other) =>
    (COMPOSITES[other.type] ?? []).some((part) => other.id !== field.id && partColumn(other, part) === field.name),
  );

const optionProblems = (options: FieldOption[] | null): Problem[] => {
  const invalid = (message: string, value?: unknown): Problem => problem('INVALID_FIELD_INPUT', message, value);
  if (!options?.length) return [invalid('Options are required for enum fields', options)];
  const problems = options.flatMap(({ label, value }) => [
    ...(typeof value !== 'string' || !/^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/.test(value)
      ? [invalid(`Value must be in UPPER_CASE and follow snake_case "${value}"`, value)]
      : []),
    ...(typeof label !== 'string' || !label.trim() ? [invalid('Option label is required', label)] : []),
    ...(typeof label === 'string' && label.includes(',') ? [invalid('Label must not contain a comma', label)] : []),
  ]);
  for (const key of ['position', 'id', 'value'] as const) {
    if (new Set(options.map((option) => option[key])).size !== options.length) {
      problems.push(invalid(`Duplicated option ${key}`, options));
    }
  }
  return problems;
};

const defaultProblems = (field: Field): Problem[] => {
  if (field.defaultValue === null || field.defaultValue === undefined) return [];
  const invalid = (message: string): Problem => problem('INVALID_FIELD_INPUT', message, field.defaultValue);
  if (field.type === 'MULTI_SELECT' && !Array.isArray(field.defaultValue)) {
    return [invalid('Default value for multi-select must be an array')];
  }
  return [field.defaultValue].flat().flatMap((value) => {
    if (typeof value !== 'string') return [invalid('Default value for select must be a string')];
    const quoted = /^'(.*)'$/s.exec(value);
    const problems = quoted ? [] : [invalid('Default value should be as quoted string')];
    if (!field.options?.some((option) => option.value === (quoted?.[1] ?? value))) {
      problems.push(invalid(`Default value "${value}" must be one of the option values`));
    }
    return problems;
  });
};

export const fieldProblems = (
  model: Model,
  object: ModelObject & { fields: Field[] },
  field: Field,
  { checkName }: { checkName: boolean },
): Problem[] => {
  const problems: Problem[] = [];
  if (checkName) {
    if (nameTaken(model, object.fields, field)) {
      problems.push(
        problem('NOT_AVAILABLE', `Name "${field.name}" is not available as it is already used by another field`, field.name),
      );
    }
    if (partTaken(object.fields, field)) {
      problems.push(problem('RESERVED_KEYWORD', `Name "${field.name}" is the column of a composite field`, field.name));
    }
    problems.push(...nameProblems(field.name, 'INVALID_FIELD_INPUT'));
  }
  if (field.isLabelSyncedWithName && nameFromLabel(field.label) !== field.name) {
    problems.push(problem('NAME_NOT_SYNCED_WITH_LABEL', 'Name is not synced with label', field.label));
  }
  if (field.type === 'SELECT' || field.type === 'MULTI_SELECT') {
    problems.push(...optionProblems(field.options), ...defaultProblems(field));
  }
  return problems;
};
