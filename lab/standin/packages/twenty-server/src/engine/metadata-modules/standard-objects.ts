import { type Field, type FieldOption, type FieldType, makeField, makeObject, type ModelObject } from './model';

// The objects that a new workspace is born with: those of Twenty that a data model of ours extends, points at or
// collides with, with their field names and types; not all of its objects.

type FieldSpec = Partial<Field> & { type: FieldType; label: string };

const field = (type: FieldType, label: string, more: Partial<Field> = {}): FieldSpec => ({ type, label, ...more });
const text = (label: string, more: Partial<Field> = {}): FieldSpec =>
  field('TEXT', label, { isNullable: false, defaultValue: "''", ...more });
const select = (label: string, values: string[], isNullable = true): FieldSpec =>
  field('SELECT', label, {
    options: values.map(
      (value, position): FieldOption => ({
        id: crypto.randomUUID(),
        value,
        label: value.charAt(0) + value.slice(1).toLowerCase().replaceAll('_', ' '),
        position,
        color: 'blue',
      }),
    ),
    defaultValue: `'${values[0]}'`,
    isNullable,
  });

const ACTOR_DEFAULT = { name: "''", source: "'MANUAL'" };

type ObjectSpec = {
  plural: string;
  labels: [string, string];
  icon: string;
  label: string;
  isSystem?: boolean;
  fields: Record<string, FieldSpec>;
};

const OBJECTS: Record<string, ObjectSpec> = {
  person: {
    plural: 'people',
    labels: ['Person', 'People'],
    icon: 'IconUser',
    label: 'name',
    fields: {
      name: field('FULL_NAME', 'Name'),
      emails: field('EMAILS', 'Emails', { isUnique: true }),
      linkedinLink: field('LINKS', 'Linkedin'),
      xLink: field('LINKS', 'X'),
      jobTitle: text('Job Title'),
      phones: field('PHONES', 'Phones'),
      city: text('City'),
      avatarUrl: text('Avatar'),
    },
  },
  company: {
    plural: 'companies',
    labels: ['Company', 'Companies'],
    icon: 'IconBuildingSkyscraper',
    label: 'name',
    fields: {
      name: text('Name'),
      domainName: field('LINKS', 'Domain Name'),
      employees: field('NUMBER', 'Employees'),
      linkedinLink: field('LINKS', 'Linkedin'),
      xLink: field('LINKS', 'X'),
      annualRecurringRevenue: field('CURRENCY', 'ARR'),
      address: field('ADDRESS', 'Address'),
      idealCustomerProfile: field('BOOLEAN', 'ICP', { isNullable: false, defaultValue: false }),
    },
  },
  opportunity: {
    plural: 'opportunities',
    labels: ['Opportunity', 'Opportunities'],
    icon: 'IconTargetArrow',
    label: 'name',
    fields: {
      name: text('Name'),
      amount: field('CURRENCY', 'Amount'),
      closeDate: field('DATE_TIME', 'Close date'),
      stage: select('Stage', ['NEW', 'SCREENING', 'MEETING', 'PROPOSAL', 'CUSTOMER'], false),
    },
  },
  note: {
    plural: 'notes',
    labels: ['Note', 'Notes'],
    icon: 'IconNotes',
    label: 'title',
    fields: { title: text('Title'), bodyV2: field('RICH_TEXT_V2', 'Body') },
  },
  task: {
    plural: 'tasks',
    labels: ['Task', 'Tasks'],
    icon: 'IconCheckbox',
    label: 'title',
    fields: {
      title: text('Title'),
      bodyV2: field('RICH_TEXT_V2', 'Body'),
      dueAt: field('DATE_TIME', 'Due Date'),
      status: select('Status', ['TODO', 'IN_PROGRESS', 'DONE']),
    },
  },
  workflow: {
    plural: 'workflows',
    labels: ['Workflow', 'Workflows'],
    icon: 'IconSettingsAutomation',
    label: 'name',
    fields: {
      name: text('Name'),
      lastPublishedVersionId: text('Last published Version Id'),
      statuses: {
        ...select('Statuses', ['DRAFT', 'ACTIVE', 'DEACTIVATED']),
        type: 'MULTI_SELECT',
        defaultValue: null,
      },
    },
  },
  workspaceMember: {
    plural: 'workspaceMembers',
    labels: ['Workspace Member', 'Workspace Members'],
    icon: 'IconUserCircle',
    label: 'name',
    isSystem: true,
    fields: {
      name: field('FULL_NAME', 'Name'),
      colorScheme: text('Color Scheme', { defaultValue: "'System'" }),
      locale: text('Language', { defaultValue: "'en'" }),
      avatarUrl: text('Avatar Url'),
      userEmail: text('User Email', { isUnique: true }),
      userId: field('UUID', 'User Id', { isNullable: false }),
      timeZone: text('Time zone', { defaultValue: "'system'" }),
    },
  },
  noteTarget: { plural: 'noteTargets', labels: ['Note Target', 'Note Targets'], icon: 'IconCheckbox', label: 'id', isSystem: true, fields: {} },
  taskTarget: { plural: 'taskTargets', labels: ['Task Target', 'Task Targets'], icon: 'IconCheckbox', label: 'id', isSystem: true, fields: {} },
  favorite: { plural: 'favorites', labels: ['Favorite', 'Favorites'], icon: 'IconHeart', label: 'id', isSystem: true, fields: {} },
  attachment: {
    plural: 'attachments',
    labels: ['Attachment', 'Attachments'],
    icon: 'IconFileImport',
    label: 'name',
    isSystem: true,
    fields: { name: text('Name'), fullPath: text('Full path') },
  },
  timelineActivity: {
    plural: 'timelineActivities',
    labels: ['Timeline Activity', 'Timeline Activities'],
    icon: 'IconTimelineEvent',
    label: 'id',
    isSystem: true,
    fields: {
      name: text('Event name'),
      properties: field('RAW_JSON', 'Event details'),
      happensAt: field('DATE_TIME', 'Creation date', { isNullable: false, defaultValue: 'now' }),
    },
  },
};

// Each: the side that holds the join column, its field, the target, the field over there.
const RELATIONS: [source: string, field: string, target: string, inverse: string][] = [
  ['person', 'company', 'company', 'people'],
  ['opportunity', 'company', 'company', 'opportunities'],
  ['opportunity', 'pointOfContact', 'person', 'pointOfContactForOpportunities'],
  ['company', 'accountOwner', 'workspaceMember', 'accountOwnerForCompanies'],
  ['task', 'assignee', 'workspaceMember', 'assignedTasks'],
  ['attachment', 'author', 'workspaceMember', 'authoredAttachments'],
  ['noteTarget', 'note', 'note', 'noteTargets'],
  ['taskTarget', 'task', 'task', 'taskTargets'],
  ...['person', 'company', 'opportunity'].flatMap((name): [string, string, string, string][] => [
    ['noteTarget', name, name, 'noteTargets'],
    ['taskTarget', name, name, 'taskTargets'],
  ]),
  ...['person', 'company', 'opportunity', 'note', 'task', 'workflow'].map(
    (name): [string, string, string, string] => ['attachment', name, name, 'attachments'],
  ),
  ...['person', 'company', 'opportunity', 'note', 'task', 'workflow', 'workspaceMember'].flatMap(
    (name): [string, string, string, string][] => [
      ['favorite', name, name, 'favorites'],
      ['timelineActivity', name, name, 'timelineActivities'],
    ],
  ),
];

// What every custom object points at from its birth: `<name>Id` in these tables is the trap of reserved names.
export const CUSTOM_OBJECT_TARGETS = ['favorite', 'attachment', 'noteTarget', 'taskTarget', 'timelineActivity'];

export const wordsOf = (name: string): string =>
  name.charAt(0).toUpperCase() + name.slice(1).replaceAll(/([A-Z])/g, ' $1').toLowerCase();

// Fields that every object has, before its own. `searched` is the column that the search vector is made of.
export const baseFields = (
  object: Pick<ModelObject, 'id' | 'workspaceId'>,
  searched: string | undefined,
  withActor: boolean,
): Field[] => {
  const make = (name: string, type: FieldType, label: string, more: Partial<Field>): Field =>
    makeField({ objectMetadataId: object.id, workspaceId: object.workspaceId, name, type, label, isUIReadOnly: true, ...more });
  return [
    make('id', 'UUID', 'Id', { isNullable: false, isUnique: true, isSystem: true, defaultValue: 'uuid' }),
    make('createdAt', 'DATE_TIME', 'Creation date', { isNullable: false, defaultValue: 'now' }),
    make('updatedAt', 'DATE_TIME', 'Last update', { isNullable: false, defaultValue: 'now' }),
    make('deletedAt', 'DATE_TIME', 'Deleted at', {}),
    make('position', 'POSITION', 'Position', { isNullable: false, isSystem: true, defaultValue: 0 }),
    ...(withActor ? [make('createdBy', 'ACTOR', 'Created by', { isNullable: false, defaultValue: ACTOR_DEFAULT })] : []),
    ...(searched
      ? [
          make('searchVector', 'TS_VECTOR', 'Search vector', {
            isSystem: true,
            settings: { asExpression: searched, generatedType: 'STORED' },
          }),
        ]
      : []),
  ];
};

export const joinColumn = (name: string): string => `${name}Id`;

// Both sides of a relation; the first given side holds the join column.
export const relationPair = (
  workspaceId: string,
  source: { object: Pick<ModelObject, 'id'>; name: string; label: string } & Partial<Field>,
  target: { object: Pick<ModelObject, 'id'>; name: string; label: string } & Partial<Field>,
  onDelete = 'SET_NULL',
): [Field, Field] => {
  const { object: sourceObject, ...sourceField } = source;
  const { object: targetObject, ...targetField } = target;
  const many = makeField({
    workspaceId,
    objectMetadataId: sourceObject.id,
    type: 'RELATION',
    ...sourceField,
    relationTargetObjectMetadataId: targetObject.id,
    settings: { relationType: 'MANY_TO_ONE', onDelete, joinColumnName: joinColumn(source.name) },
  });
  const one = makeField({
    workspaceId,
    objectMetadataId: targetObject.id,
    type: 'RELATION',
    ...targetField,
    relationTargetObjectMetadataId: sourceObject.id,
    relationTargetFieldMetadataId: many.id,
    settings: { relationType: 'ONE_TO_MANY' },
  });
  many.relationTargetFieldMetadataId = one.id;
  return [many, one];
};

export const customObjectFields = (object: ModelObject): Field[] => [
  makeField({
    objectMetadataId: object.id,
    workspaceId: object.workspaceId,
    type: 'TEXT',
    name: 'name',
    label: 'Name',
    icon: 'IconAbc',
    isNullable: false,
    defaultValue: "''",
  }),
  ...baseFields(object, `coalesce("name", '')`, true),
];

// The whole standard model of a new workspace, with ids of its own.
export const standardModel = (workspaceId: string, dataSourceId: string): { objects: ModelObject[]; fields: Field[] } => {
  const objects = new Map<string, ModelObject>();
  const fields: Field[] = [];
  for (const [name, spec] of Object.entries(OBJECTS)) {
    const object = makeObject({
      workspaceId,
      dataSourceId,
      nameSingular: name,
      namePlural: spec.plural,
      labelSingular: spec.labels[0],
      labelPlural: spec.labels[1],
      icon: spec.icon,
      isSystem: spec.isSystem ?? false,
      isSearchable: !spec.isSystem,
    });
    objects.set(name, object);
    const title = spec.fields[spec.label];
    const searched = title?.type === 'TEXT' ? `coalesce("${spec.label}", '')` : undefined;
    const own = Object.entries(spec.fields).map(([fieldName, given]) =>
      makeField({ objectMetadataId: object.id, workspaceId, name: fieldName, ...given }),
    );
    own.push(...baseFields(object, searched, !spec.isSystem));
    object.labelIdentifierFieldMetadataId = own.find((item) => item.name === spec.label)?.id ?? null;
    fields.push(...own);
  }
  const of = (name: string): ModelObject => {
    const object = objects.get(name);
    if (!object) throw new Error(`standard objects: a relation names ${name}, which is none of them`);
    return object;
  };
  for (const [source, name, target, inverse] of RELATIONS) {
    fields.push(
      ...relationPair(
        workspaceId,
        { object: of(source), name, label: wordsOf(name) },
        { object: of(target), name: inverse, label: wordsOf(inverse), isSystem: of(source).isSystem },
        of(source).isSystem ? 'CASCADE' : 'SET_NULL',
      ),
    );
  }
  return { objects: [...objects.values()], fields };
};
