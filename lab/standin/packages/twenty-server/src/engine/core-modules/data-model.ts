// The data model, applied by the patchset's own planning to what the stand-in keeps of a workspace.
import { runOnWorkspace, type Mode, type WorkspaceReport } from '../../data-model/pure/apply';
import { lockKeyOf, readDataModel } from '../../data-model/pure/data-model';
import { type MetadataObject, type MetadataOption, type MetadataPort } from '../../data-model/pure/workspace-metadata';
import { createField, createObject, updateField, updateObject, type CreateFieldInput } from '../metadata-modules/metadata.service';
import { type Field, loadModel, type ObjectWithFields, relationTypeOf } from '../metadata-modules/model';
import { endWaitForDataModel, locked } from './clerk-store';
import { database } from './database';

export const listWorkspaceIds = async (): Promise<string[]> => {
  const { rows } = await database().query<{ id: string }>(
    `SELECT id FROM core.workspace WHERE "activationStatus" IN ('ACTIVE', 'SUSPENDED') ORDER BY id`,
  );
  return rows.map(({ id }) => id);
};

// It keeps no views: there is nothing to arrange, and nothing is noted.
const portOf = (workspaceId: string): MetadataPort => ({
  read: async () => {
    const { objects, objectById, fieldById } = await loadModel(workspaceId);
    const relationOf = (field: Field) => {
      const type = relationTypeOf(field);
      return type
        ? {
            type,
            targetObject: objectById.get(field.relationTargetObjectMetadataId ?? '')?.nameSingular ?? '',
            targetField: fieldById.get(field.relationTargetFieldMetadataId ?? '')?.name ?? '',
          }
        : null;
    };
    return objects.map(
      ({ fields, ...object }: ObjectWithFields): MetadataObject => ({
        ...object,
        fields: fields.map((field) => ({
          ...field,
          isUnique: field.isUnique ?? false,
          options: field.options as MetadataOption[] | null,
          relation: relationOf(field),
        })),
      }),
    );
  },
  createObject: async (object) => void (await createObject(workspaceId, object)),
  createFields: async (fields) => {
    for (const field of fields) await createField(workspaceId, field as CreateFieldInput);
  },
  updateObject: async (id, changes) => void (await updateObject(workspaceId, id, changes)),
  updateField: async (id, changes) => void (await updateField(workspaceId, id, changes as Partial<Field>)),
  notedFirstViews: async () => [],
  noteFirstViews: async () => undefined,
  writeFirstViews: async () => undefined,
});

export const runDataModel = async (workspaceId: string, mode: Mode): Promise<WorkspaceReport> => {
  const work = () => runOnWorkspace(portOf(workspaceId), readDataModel().model, workspaceId, mode);
  const report = await (mode === 'apply' ? locked([lockKeyOf(workspaceId)], work) : work());
  if (report.status === 'matched') await endWaitForDataModel(workspaceId);
  return report;
};

export const describeDataModel = async () => ({ model: readDataModel().hash, workspaces: await listWorkspaceIds() });
