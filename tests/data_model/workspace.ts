// A workspace in memory that keeps Twenty's rules as far as the planner relies on them: what is created is there on the next look,
// a relation makes its other side, an option without an id gets one.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { type DataModel } from '../../files/twenty/overlay/packages/twenty-server/src/data-model/pure/data-model';
import {
  type CreateField,
  type CreateObject,
  type FieldChanges,
  type FirstView,
  type MetadataField,
  type MetadataObject,
  type MetadataPort,
  type ObjectChanges,
} from '../../files/twenty/overlay/packages/twenty-server/src/data-model/pure/workspace-metadata';

export const model = (): DataModel => JSON.parse(readFileSync(process.env.TWENTYOPS_DATA_MODEL as string, 'utf8'));

const camel = (label: string) =>
  label
    .split(/[^A-Za-z0-9]+/)
    .filter(Boolean)
    .map((word, place) => (place === 0 ? word.toLowerCase() : word[0].toUpperCase() + word.slice(1)))
    .join('');

export const field = (name: string, type: string, more: Partial<MetadataField> = {}): MetadataField => ({
  id: randomUUID(),
  name,
  type,
  label: name,
  icon: null,
  description: null,
  isCustom: false,
  isActive: true,
  isUnique: false,
  defaultValue: null,
  options: null,
  settings: null,
  relation: null,
  ...more,
});

const standard = (nameSingular: string, namePlural: string): MetadataObject => ({
  id: randomUUID(),
  nameSingular,
  namePlural,
  labelSingular: nameSingular,
  labelPlural: namePlural,
  icon: null,
  description: null,
  isCustom: false,
  isActive: true,
  fields: [field('name', 'TEXT')],
});

export class Workspace implements MetadataPort {
  objects = [standard('person', 'people'), standard('opportunity', 'opportunities'), standard('workflow', 'workflows')];
  noted: string[] = [];
  views = new Map<string, FirstView>();
  writes = 0;
  // Called before each single write; what it throws ends the call there, as a kill or an error would.
  before: (write: number) => void = () => undefined;

  object = (name: string) => this.objects.find(({ nameSingular }) => nameSingular === name) as MetadataObject;
  field = (object: string, name: string) => this.object(object).fields.find((item) => item.name === name) as MetadataField;
  read = async () => structuredClone(this.objects);

  private count() {
    this.before(this.writes);
    this.writes += 1;
  }

  async createObject(wanted: CreateObject) {
    this.count();
    if (this.object(wanted.nameSingular)) throw new Error('OBJECT_ALREADY_EXISTS');
    this.objects.push({ ...standard('', ''), ...wanted, isCustom: true, fields: [field('name', 'TEXT', { label: 'Name', defaultValue: "'Untitled'" })] });
  }

  async createFields(fields: CreateField[]) {
    for (const { objectName, objectMetadataId: _, relationCreationPayload, isNullable: __, ...wanted } of fields) {
      this.count();
      const object = this.object(objectName);
      if (object.fields.some(({ name }) => name === wanted.name)) throw new Error(`NOT_AVAILABLE: ${wanted.name}`);
      const made = field(wanted.name, wanted.type, {
        isCustom: true,
        defaultValue: wanted.type === 'TEXT' ? "''" : null,
        ...structuredClone(wanted),
        options: wanted.options?.map((option) => ({ id: randomUUID(), ...option })) ?? null,
      });
      object.fields.push(made);
      if (relationCreationPayload) {
        const target = this.objects.find(({ id }) => id === relationCreationPayload.targetObjectMetadataId) as MetadataObject;
        const name = camel(relationCreationPayload.targetFieldLabel);
        made.settings = { joinColumnName: `${made.name}Id` };
        made.relation = { type: 'MANY_TO_ONE', targetObject: target.nameSingular, targetField: name };
        target.fields.push(
          field(name, 'RELATION', {
            isCustom: true,
            label: relationCreationPayload.targetFieldLabel,
            icon: relationCreationPayload.targetFieldIcon,
            relation: { type: 'ONE_TO_MANY', targetObject: objectName, targetField: made.name },
          }),
        );
      }
    }
  }

  async updateObject(id: string, changes: ObjectChanges) {
    this.count();
    Object.assign(this.objects.find((object) => object.id === id) as MetadataObject, structuredClone(changes));
  }

  async updateField(id: string, changes: FieldChanges) {
    this.count();
    const there = this.objects.flatMap(({ fields }) => fields).find((item) => item.id === id) as MetadataField;
    Object.assign(there, structuredClone(changes));
    there.options = there.options?.map((option) => ({ id: randomUUID(), ...option })) ?? null;
  }

  notedFirstViews = async () => [...this.noted];

  async noteFirstViews(objectNames: string[]) {
    this.count();
    this.noted = [...new Set([...this.noted, ...objectNames])];
  }

  async writeFirstViews(views: FirstView[]) {
    this.count();
    for (const view of views) this.views.set(view.objectName, structuredClone(view));
    this.noted = [];
  }
}

// Deterministic, so that a failure can be seen again: the seed is in its message.
export const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let value = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
  return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
};
