// SPDX-License-Identifier: AGPL-3.0-only

import { createHash } from 'crypto';
import { readFileSync } from 'fs';

// The data model as the image carries it: written and checked by twentyops/data_model.py, so its content is only trusted, not
// checked again. Nothing in this folder imports Twenty: it runs in the server, in a command and in tests alike.

export type ModelOption = { value: string; label: string; color: string };

export type ModelField = {
  name: string;
  type: string;
  label: string;
  description?: string;
  icon?: string;
  builtIn: boolean;
  required: boolean;
  unique: boolean;
  decimals?: number;
  default?: boolean | number | string | string[];
  options?: ModelOption[];
};

// Columns after the record's own name; a board has a column for each option of a SELECT field.
export type ModelView = {
  columns: string[];
  sort?: { field: string; direction: 'ascending' | 'descending' };
  board?: string;
};

export type ModelObject = {
  nameSingular: string;
  namePlural: string;
  labelSingular: string;
  labelPlural: string;
  icon: string;
  description: string;
  firstView?: ModelView;
  fields: ModelField[];
};

export type ModelRelation = {
  object: string;
  name: string;
  label: string;
  icon: string;
  target: string;
  inverse: { name: string; label: string; icon: string };
};

export type DataModel = {
  version: 1;
  objects: ModelObject[];
  extends: { object: string; firstView?: ModelView; fields: ModelField[] }[];
  relations: ModelRelation[];
};

export const DATA_MODEL_FILE = 'scripts/twentyops-data-model.json';

// Server, worker and commands run in packages/twenty-server; a test may name another file.
export const readDataModel = (
  path: string = process.env.TWENTYOPS_DATA_MODEL || DATA_MODEL_FILE,
): { model: DataModel; hash: string } => {
  let text: string;

  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(
      `the data model cannot be read: ${error instanceof Error ? error.message : String(error)}; it belongs to the image`,
    );
  }
  const model = JSON.parse(text) as DataModel;

  if (model.version !== 1) {
    throw new Error(
      `the data model in ${path} is of version ${String(model.version)}; this program knows version 1`,
    );
  }

  return {
    model,
    hash: createHash('sha256').update(text).digest('hex').slice(0, 12),
  };
};

// One run at a time on a workspace, across processes.
export const lockKeyOf = (workspaceId: string) =>
  `twentyops-data-model:${workspaceId}`;
