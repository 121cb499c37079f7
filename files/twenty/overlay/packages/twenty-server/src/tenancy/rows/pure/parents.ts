// SPDX-License-Identifier: AGPL-3.0-only
// A row that a tenant writes names other rows: a sort its view, a widget its tab. Upstream's services ask of none of them whose it is,
// and the foreign keys of the database ask only whether it exists.

/* Tables whose rows tenants write with ids of their choice. What upstream checks against the workspace's metadata (objects, fields,
   indexes) is left out: its rows are many when a workspace is made. */
const WRITTEN_BY_TENANTS = new Set([
  'view',
  'viewField',
  'viewFilter',
  'viewFilterGroup',
  'viewGroup',
  'viewSort',
  'pageLayout',
  'pageLayoutTab',
  'pageLayoutWidget',
  // Who has which role
  'roleTargets',
]);

export type Row = Record<string, unknown>;

type Column = {
  propertyName: string;
  // What TypeORM writes for this row, wherever the row has it: in the column or in the relation.
  getEntityValue(row: Row): unknown;
};

/* The part of TypeORM's EntityMetadata that is read here. */
export type Table = {
  schema?: string;
  tableName: string;
  columns: { propertyName: string }[];
  manyToOneRelations: {
    propertyName: string;
    joinColumns: Column[];
    inverseEntityMetadata: Table;
  }[];
};

export type Parent = {
  // What a message calls it: viewId
  name: string;
  // Quoted, with its schema
  table: string;
  id: string;
  // Of the row that names the parent
  workspaceId: string;
};

export type Query = (
  sql: string,
  parameters: unknown[],
) => Promise<{ id: string; workspaceId: string | null }[]>;

const hasWorkspace = ({ columns }: Table) =>
  columns.some(({ propertyName }) => propertyName === 'workspaceId');

const quote = (name: string) => `"${name.replace(/"/g, '""')}"`;

const nameOf = ({ schema, tableName }: Table) =>
  [schema, tableName]
    .filter((part) => part !== undefined)
    .map(quote)
    .join('.');

export const isWrittenByTenants = ({ tableName }: Table) =>
  WRITTEN_BY_TENANTS.has(tableName);

/* Whether these changes can name a row of another table at all; most change a title or a position. */
export const mayNameParents = (changes: object): boolean =>
  Object.entries(changes).some(
    ([key, value]) =>
      (key.length > 2 && key.endsWith('Id')) || typeof value === 'object',
  );

/* The rows of other tables that `row` names and `before` did not; before is the row as the database has it, where there is one.
   Throws a TypeError for an id that is no text. */
export const findParents = (
  table: Table,
  row: Row,
  before: Row | undefined,
  workspaceId: string,
): Parent[] =>
  table.manyToOneRelations.flatMap((relation) => {
    const [column, ...more] = relation.joinColumns;

    if (
      column === undefined ||
      more.length > 0 ||
      !hasWorkspace(relation.inverseEntityMetadata)
    ) {
      return [];
    }

    const related = row[relation.propertyName];
    const had = before && column.getEntityValue(before);
    const ids = [
      column.getEntityValue(row),
      // save() takes a relation that is an id
      typeof related === 'object' ? undefined : related,
    ].filter((id) => id !== undefined && id !== null && id !== had);

    return ids.map((id) => {
      if (typeof id !== 'string') {
        throw new TypeError(`${column.propertyName} is no id`);
      }

      return {
        name: column.propertyName,
        table: nameOf(relation.inverseEntityMetadata),
        id: id.toLowerCase(),
        workspaceId,
      };
    });
  });

/* The first parent that belongs to another workspace; undefined where none does. One query for each table, however many rows name
   it. A parent that is not there is left to the foreign key: it may be made by the same save(). */
export const findForeign = async (
  parents: Parent[],
  query: Query,
): Promise<Parent | undefined> => {
  for (const table of new Set(parents.map((parent) => parent.table))) {
    const named = parents.filter((parent) => parent.table === table);
    const rows = await query(
      `SELECT "id", "workspaceId" FROM ${table} WHERE "id" = ANY($1::uuid[])`,
      [[...new Set(named.map(({ id }) => id))]],
    );
    const owners = new Map(rows.map((row) => [row.id, row.workspaceId]));
    const foreign = named.find(({ id, workspaceId }) => {
      const owner = owners.get(id) ?? workspaceId;

      return owner !== workspaceId;
    });

    if (foreign !== undefined) {
      return foreign;
    }
  }

  return undefined;
};

/* Collects what is asked within one tick under the same key, so that a save() of many rows costs the queries of one. */
export const inOneGo = <Key extends object, Item>(
  run: (key: Key, items: Item[]) => Promise<void>,
) => {
  const open = new WeakMap<Key, { items: Item[]; done: Promise<void> }>();

  return (key: Key, items: Item[]): Promise<void> => {
    const found = open.get(key);

    if (found !== undefined) {
      found.items.push(...items);

      return found.done;
    }

    const all = [...items];
    const done = Promise.resolve().then(() => {
      open.delete(key);

      return run(key, all);
    });

    // Whoever asked hears of a failure; where nobody waits any more, it must not end the process.
    done.catch(() => undefined);
    open.set(key, { items: all, done });

    return done;
  };
};
