// SPDX-License-Identifier: AGPL-3.0-only

// What a workspace has now, as both adapters tell it: labels, icons and descriptions are those that people see.

export type MetadataOption = {
  id?: string;
  value: string;
  label: string;
  color?: string;
  position: number;
};

export type MetadataField = {
  id: string;
  name: string;
  type: string;
  label: string;
  icon: string | null;
  description: string | null;
  isCustom: boolean;
  isActive: boolean;
  isUnique: boolean;
  defaultValue: unknown;
  options: MetadataOption[] | null;
  settings: Record<string, unknown> | null;
  relation: { type: string; targetObject: string; targetField: string } | null;
};

export type MetadataObject = {
  id: string;
  nameSingular: string;
  namePlural: string;
  labelSingular: string;
  labelPlural: string;
  icon: string | null;
  description: string | null;
  isCustom: boolean;
  isActive: boolean;
  fields: MetadataField[];
};

export type CreateObject = {
  nameSingular: string;
  namePlural: string;
  labelSingular: string;
  labelPlural: string;
  icon: string;
  description: string;
};

export type CreateField = {
  objectName: string;
  objectMetadataId: string;
  name: string;
  type: string;
  label: string;
  icon?: string;
  description?: string;
  isUnique?: true;
  isNullable?: false;
  defaultValue?: unknown;
  options?: MetadataOption[];
  settings?: Record<string, unknown>;
  relationCreationPayload?: {
    type: 'MANY_TO_ONE';
    targetObjectMetadataId: string;
    targetFieldLabel: string;
    targetFieldIcon: string;
  };
};

export type ObjectChanges = Partial<
  Pick<
    MetadataObject,
    'labelSingular' | 'labelPlural' | 'icon' | 'description' | 'isActive'
  >
>;

export type FieldChanges = Partial<
  Pick<
    MetadataField,
    | 'label'
    | 'icon'
    | 'description'
    | 'isActive'
    | 'isUnique'
    | 'defaultValue'
    | 'options'
    | 'settings'
  >
>;

// How the list of an object is to look, by the ids that its fields have in the workspace.
export type FirstView = {
  objectName: string;
  objectMetadataId: string;
  nameFieldId?: string;
  columns: string[];
  hidden: string[];
  sort?: { fieldId: string; isDescending: boolean };
  board?: { fieldId: string; name: string; values: string[] };
};

// How a workspace's metadata is read and written. createFields takes fields of one kind: plain ones, or relations.
// notedFirstViews tells the objects whose first views are still to be written; noteFirstViews adds to them; writeFirstViews
// writes the views and takes all notes away, both or neither.
export type MetadataPort = {
  read(): Promise<MetadataObject[]>;
  createObject(object: CreateObject): Promise<void>;
  createFields(fields: CreateField[]): Promise<void>;
  updateObject(id: string, changes: ObjectChanges): Promise<void>;
  updateField(id: string, changes: FieldChanges): Promise<void>;
  notedFirstViews(): Promise<string[]>;
  noteFirstViews(objectNames: string[]): Promise<void>;
  writeFirstViews(views: FirstView[]): Promise<void>;
};
