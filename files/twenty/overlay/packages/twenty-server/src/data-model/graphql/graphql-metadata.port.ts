// SPDX-License-Identifier: AGPL-3.0-only

import {
  type CreateField,
  type CreateObject,
  type FieldChanges,
  type MetadataField,
  type MetadataObject,
  type MetadataPort,
  type ObjectChanges,
} from '../pure/workspace-metadata';

// Through the metadata API, one mutation a field: slower (no batches there), and the same on any server that speaks it.

const REQUEST_TIMEOUT_MS = 60_000;

const READ = `query { objects(paging: { first: 1000 }) { edges { node {
  id nameSingular namePlural labelSingular labelPlural icon description isCustom isActive
  fieldsList { id name type label icon description isCustom isActive isUnique defaultValue options settings
    relation { type targetObjectMetadata { nameSingular } targetFieldMetadata { name } } }
} } } }`;

type RelationAnswer = {
  type: string;
  targetObjectMetadata: { nameSingular: string };
  targetFieldMetadata: { name: string };
} | null;

type ReadAnswer = {
  objects: {
    edges: {
      node: Omit<MetadataObject, 'fields'> & {
        fieldsList: (Omit<MetadataField, 'relation'> & {
          relation: RelationAnswer;
        })[];
      };
    }[];
  };
};

type GraphqlError = {
  message: string;
  extensions?: { code?: string; errors?: unknown };
};

// Nested validation errors say more than the message: "Multiple validation errors occurred".
const wordsOf = ({ message, extensions }: GraphqlError): string => {
  const found: string[] = [];
  const walk = (value: unknown) => {
    if (Array.isArray(value)) {
      value.forEach(walk);
    } else if (value !== null && typeof value === 'object') {
      const { code, message: inner } = value as Record<string, unknown>;

      if (typeof code === 'string' && typeof inner === 'string') {
        found.push(`${code}: ${inner}`);
      }
      Object.values(value).forEach(walk);
    }
  };

  walk(extensions?.errors);

  return [message, ...found.slice(0, 3)].join('; ');
};

export class GraphqlMetadataPort implements MetadataPort {
  constructor(
    private readonly baseUrl: string,
    private readonly token: () => Promise<string>,
  ) {}

  async read(): Promise<MetadataObject[]> {
    const { objects } = await this.ask<ReadAnswer>(READ, {});

    return objects.edges.map(({ node: { fieldsList, ...object } }) => ({
      ...object,
      fields: fieldsList.map(({ relation, ...field }) => ({
        ...field,
        isUnique: field.isUnique ?? false,
        relation:
          relation === null
            ? null
            : {
                type: relation.type,
                targetObject: relation.targetObjectMetadata.nameSingular,
                targetField: relation.targetFieldMetadata.name,
              },
      })),
    }));
  }

  async createObject(object: CreateObject): Promise<void> {
    await this.ask(
      'mutation ($input: CreateOneObjectInput!) { createOneObject(input: $input) { id } }',
      { input: { object: { ...object, isLabelSyncedWithName: false } } },
    );
  }

  async createFields(fields: CreateField[]): Promise<void> {
    for (const { objectName: _, ...field } of fields) {
      await this.ask(
        'mutation ($input: CreateOneFieldMetadataInput!) { createOneField(input: $input) { id } }',
        { input: { field: { ...field, isLabelSyncedWithName: false } } },
      );
    }
  }

  async updateObject(id: string, changes: ObjectChanges): Promise<void> {
    await this.ask(
      'mutation ($input: UpdateOneObjectInput!) { updateOneObject(input: $input) { id } }',
      { input: { id, update: changes } },
    );
  }

  async updateField(id: string, changes: FieldChanges): Promise<void> {
    await this.ask(
      'mutation ($input: UpdateOneFieldMetadataInput!) { updateOneField(input: $input) { id } }',
      { input: { id, update: changes } },
    );
  }

  private async ask<Data>(
    query: string,
    variables: Record<string, unknown>,
  ): Promise<Data> {
    const response = await fetch(`${this.baseUrl}/metadata`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await this.token()}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ query, variables }),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    const text = await response.text();
    let answer: { data?: Data | null; errors?: GraphqlError[] } = {};

    try {
      answer = JSON.parse(text) as typeof answer;
    } catch {
      // Said below, with the status.
    }
    if (answer.errors?.length) {
      throw Object.assign(new Error(answer.errors.map(wordsOf).join(' | ')), {
        code: answer.errors[0].extensions?.code,
      });
    }
    if (!response.ok || !answer.data) {
      const seconds = Number(response.headers.get('retry-after'));

      throw Object.assign(
        new Error(
          `the metadata API answered ${response.status}: ${text.slice(0, 200)}`,
        ),
        {
          code: `HTTP_${response.status}`,
          retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : 0,
        },
      );
    }

    return answer.data;
  }
}
