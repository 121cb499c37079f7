import type { PoolClient } from 'pg';

import { database, inTransaction, quoteName, type Queryable } from '../core-modules/database';
import { apiError } from '../errors';
import { columnsOf, COMPOSITES, partColumn, type Scalar } from '../metadata-modules/columns';
import { type Field, type Model, type ObjectWithFields, relationTypeOf, tableName } from '../metadata-modules/model';

// Records of one workspace: rows in, rows out. Names of columns come from the model only, values are parameters.

export type Row = Record<string, unknown>;
export type Filter = { [key: string]: unknown };
export type OrderBy = Record<string, unknown>[];

type ColumnInfo = { column: string; scalar: Scalar };

const tableOf = (model: Model, object: ObjectWithFields): string =>
  `${quoteName(model.schema)}.${quoteName(tableName(object))}`;

const activeFields = (object: ObjectWithFields): Field[] => object.fields.filter(({ isActive }) => isActive);

// By the name that a client uses: a field, a relation's join column, or a part of a composite field.
const plainColumns = (object: ObjectWithFields): Map<string, ColumnInfo> =>
  new Map(
    activeFields(object)
      .filter(({ type }) => !COMPOSITES[type])
      .flatMap((field) => columnsOf(field).map(({ column, scalar }) => [column, { column, scalar }])),
  );

class Parameters {
  readonly values: unknown[] = [];

  add(value: unknown): string {
    this.values.push(value);
    return `$${this.values.length}`;
  }
}

const comparison = ({ column, scalar }: ColumnInfo, operators: Filter, parameters: Parameters): string => {
  const name = quoteName(column);
  const asText = `${name}::text`;
  const comparable = scalar === 'enum' || scalar === 'json' ? asText : name;
  const conditions = Object.entries(operators).map(([operator, value]) => {
    switch (operator) {
      case 'eq':
        return value === null ? `${name} IS NULL` : `${comparable} = ${parameters.add(value)}`;
      case 'neq':
        return `${comparable} IS DISTINCT FROM ${parameters.add(value)}`;
      case 'gt':
        return `${name} > ${parameters.add(value)}`;
      case 'gte':
        return `${name} >= ${parameters.add(value)}`;
      case 'lt':
        return `${name} < ${parameters.add(value)}`;
      case 'lte':
        return `${name} <= ${parameters.add(value)}`;
      case 'in':
        return `${asText} = ANY(${parameters.add((value as unknown[]).map(String))}::text[])`;
      case 'is':
        return value === 'NULL' ? `${name} IS NULL` : `${name} IS NOT NULL`;
      case 'like':
        return `${asText} LIKE ${parameters.add(value)}`;
      case 'ilike':
        return `${asText} ILIKE ${parameters.add(value)}`;
      case 'startsWith':
        return `${asText} LIKE ${parameters.add(`${String(value)}%`)}`;
      case 'endsWith':
        return `${asText} LIKE ${parameters.add(`%${String(value)}`)}`;
      case 'containsAny':
        return `${name}::text[] && ${parameters.add(value)}::text[]`;
      case 'containsIlike':
        return `${asText} ILIKE ${parameters.add(String(value))}`;
      case 'isEmptyArray':
        return `cardinality(${name}) = 0`;
      default:
        throw apiError('BAD_USER_INPUT', `Operator "${operator}" is not supported`);
    }
  });
  return conditions.length > 0 ? `(${conditions.join(' AND ')})` : 'TRUE';
};

const condition = (object: ObjectWithFields, filter: Filter, parameters: Parameters): string => {
  const plain = plainColumns(object);
  const conditions = Object.entries(filter).map(([key, value]) => {
    if (value === undefined || value === null) return 'TRUE';
    if (key === 'and' || key === 'or') {
      const parts = (value as Filter[]).map((part) => condition(object, part, parameters));
      if (parts.length === 0) return 'TRUE';
      return `(${parts.join(key === 'and' ? ' AND ' : ' OR ')})`;
    }
    if (key === 'not') return `NOT ${condition(object, value as Filter, parameters)}`;
    const info = plain.get(key);
    if (info) return comparison(info, value as Filter, parameters);
    const field = activeFields(object).find(({ name }) => name === key);
    const parts = field && COMPOSITES[field.type];
    if (!field || !parts) throw apiError('BAD_USER_INPUT', `Field "${key}" cannot be filtered on`);
    return Object.entries(value as Record<string, Filter>)
      .map(([partName, operators]) => {
        const part = parts.find(({ name }) => name === partName);
        if (!part) throw apiError('BAD_USER_INPUT', `Field "${key}" has no part "${partName}"`);
        return comparison({ column: partColumn(field, part), scalar: part.scalar }, operators, parameters);
      })
      .join(' AND ');
  });
  return conditions.length > 0 ? `(${conditions.join(' AND ')})` : 'TRUE';
};

const mentionsDeletedAt = (filter: Filter): boolean =>
  Object.entries(filter).some(
    ([key, value]) =>
      key === 'deletedAt' ||
      (['and', 'or'].includes(key) && (value as Filter[]).some(mentionsDeletedAt)) ||
      (key === 'not' && mentionsDeletedAt(value as Filter)),
  );

// Soft-deleted rows stay out of sight unless a filter asks about them.
const where = (object: ObjectWithFields, filter: Filter, parameters: Parameters): string =>
  condition(object, filter, parameters) + (mentionsDeletedAt(filter) ? '' : ' AND "deletedAt" IS NULL');

const DIRECTIONS: Record<string, string> = {
  AscNullsFirst: 'ASC NULLS FIRST',
  AscNullsLast: 'ASC NULLS LAST',
  DescNullsFirst: 'DESC NULLS FIRST',
  DescNullsLast: 'DESC NULLS LAST',
};

const ordering = (object: ObjectWithFields, orderBy: OrderBy): string => {
  const plain = plainColumns(object);
  const terms = orderBy.flatMap((entry) =>
    Object.entries(entry).flatMap(([key, direction]) => {
      const info = plain.get(key);
      if (info) return [`${quoteName(info.column)} ${DIRECTIONS[String(direction)]}`];
      const field = activeFields(object).find(({ name }) => name === key);
      const parts = (field && COMPOSITES[field.type]) ?? [];
      return Object.entries(direction as Record<string, string>).map(([partName, partDirection]) => {
        const part = parts.find(({ name }) => name === partName);
        if (!field || !part) throw apiError('BAD_USER_INPUT', `Cannot order by "${key}.${partName}"`);
        return `${quoteName(partColumn(field, part))} ${DIRECTIONS[partDirection]}`;
      });
    }),
  );
  return [...terms, ...(terms.length === 0 ? ['"position" ASC NULLS FIRST'] : []), '"id" ASC'].join(', ');
};

export type PageArguments = {
  filter?: Filter | null;
  orderBy?: OrderBy | null;
  first?: number | null;
  last?: number | null;
  after?: string | null;
  before?: string | null;
  offset?: number | null;
};

export type Page = { rows: Row[]; start: number; totalCount: number };

const DEFAULT_PAGE = 60;

export const encodeCursor = (place: number): string => Buffer.from(JSON.stringify({ place })).toString('base64');

const decodeCursor = (cursor: string): number => {
  try {
    const { place } = JSON.parse(Buffer.from(cursor, 'base64').toString('utf8')) as { place: unknown };
    if (typeof place === 'number' && Number.isInteger(place) && place >= 0) return place;
  } catch {
    // Falls through to the one refusal below.
  }
  throw apiError('BAD_USER_INPUT', `Invalid cursor: ${cursor}`);
};

export const findMany = async (model: Model, object: ObjectWithFields, args: PageArguments): Promise<Page> => {
  const parameters = new Parameters();
  const conditions = where(object, args.filter ?? {}, parameters);
  const table = tableOf(model, object);
  const counted = await database().query<{ count: number }>(
    `SELECT count(*)::int AS count FROM ${table} WHERE ${conditions}`,
    parameters.values,
  );
  const totalCount = counted.rows[0]?.count ?? 0;
  const size = args.first ?? args.last ?? DEFAULT_PAGE;
  if (size < 0) throw apiError('BAD_USER_INPUT', 'A page cannot have fewer than 0 records');
  const lower = args.after ? decodeCursor(args.after) + 1 : (args.offset ?? 0);
  const upper = args.before ? decodeCursor(args.before) : totalCount;
  const start = args.last && !args.first ? Math.max(lower, upper - size) : lower;
  const limit = Math.max(0, Math.min(size, upper - start));
  const { rows } = await database().query<Row>(
    `SELECT * FROM ${table} WHERE ${conditions} ORDER BY ${ordering(object, args.orderBy ?? [])}
     LIMIT ${limit} OFFSET ${start}`,
    parameters.values,
  );
  return { rows, start, totalCount };
};

export const findOne = async (
  model: Model,
  object: ObjectWithFields,
  filter: Filter,
  { withDeleted = false, client = database() as Queryable } = {},
): Promise<Row | undefined> => {
  const parameters = new Parameters();
  const conditions = withDeleted ? condition(object, filter, parameters) : where(object, filter, parameters);
  const { rows } = await (client as PoolClient).query<Row>(
    `SELECT * FROM ${tableOf(model, object)} WHERE ${conditions} ORDER BY "id" LIMIT 1`,
    parameters.values,
  );
  return rows[0];
};

type Value = { column: string; scalar: Scalar; value: unknown };

const valuesOf = (object: ObjectWithFields, data: Row): Value[] => {
  const plain = plainColumns(object);
  return Object.entries(data).flatMap(([key, value]): Value[] => {
    if (value === undefined) return [];
    const info = plain.get(key);
    if (info) return [{ ...info, value }];
    const field = activeFields(object).find(({ name }) => name === key);
    const parts = field && COMPOSITES[field.type];
    if (!field || !parts) throw apiError('BAD_USER_INPUT', `Object ${object.nameSingular} has no field "${key}"`);
    const given = (value ?? {}) as Row;
    return parts
      .filter(({ name }) => value === null || name in given)
      .map((part) => ({ column: partColumn(field, part), scalar: part.scalar, value: given[part.name] ?? null }));
  });
};

const bind = ({ scalar, value }: Value, parameters: Parameters): string => {
  if (value === null) return 'NULL';
  return parameters.add(scalar === 'json' ? JSON.stringify(value) : value);
};

type DatabaseError = Error & { code?: string; detail?: string; column?: string };

const UNIQUE_VIOLATION = '23505';
const BAD_VALUES = new Set(['23502', '23503', '22P02', '22003', '22007', '22008']);

const refused = (error: unknown): unknown => {
  const { code, detail, message } = error as DatabaseError;
  if (code === UNIQUE_VIOLATION) {
    return apiError('BAD_USER_INPUT', `A duplicate entry was detected: ${detail ?? message}`, { isExpected: true });
  }
  if (code && BAD_VALUES.has(code)) return apiError('BAD_USER_INPUT', message);
  return error;
};

const place = async (client: PoolClient, table: string, position: unknown): Promise<unknown> => {
  if (position !== 'first' && position !== 'last' && position !== undefined) return position;
  const edge = position === 'last' ? 'max("position") + 1' : 'min("position") - 1';
  const { rows } = await client.query(`SELECT coalesce(${edge}, 0) AS place FROM ${table}`);
  return rows[0].place;
};

const insert = async (client: PoolClient, model: Model, object: ObjectWithFields, data: Row): Promise<Row> => {
  const parameters = new Parameters();
  const table = tableOf(model, object);
  const values = valuesOf(object, { ...data, position: await place(client, table, data.position) });
  const columns = values.map(({ column }) => quoteName(column)).join(', ');
  const { rows } = await client.query<Row>(
    `INSERT INTO ${table} (${columns}) VALUES (${values.map((value) => bind(value, parameters)).join(', ')}) RETURNING *`,
    parameters.values,
  );
  return rows[0] as Row;
};

const change = async (
  client: PoolClient,
  model: Model,
  object: ObjectWithFields,
  id: unknown,
  data: Row,
): Promise<Row | undefined> => {
  const parameters = new Parameters();
  const values = valuesOf(object, data);
  const sets = values.map((value) => `${quoteName(value.column)} = ${bind(value, parameters)}`);
  if (!values.some(({ column }) => column === 'updatedAt')) sets.push('"updatedAt" = now()');
  const { rows } = await client.query<Row>(
    `UPDATE ${tableOf(model, object)} SET ${sets.join(', ')} WHERE "id" = ${parameters.add(id)} RETURNING *`,
    parameters.values,
  );
  return rows[0];
};

// Told apart by id or, where given, by the value of a unique field: what `upsert` looks for.
const twinOf = async (client: PoolClient, model: Model, object: ObjectWithFields, data: Row): Promise<Row | undefined> => {
  for (const field of activeFields(object)) {
    if (!field.isUnique && field.name !== 'id') continue;
    const value = data[field.name];
    if (value === undefined || value === null) continue;
    const part = COMPOSITES[field.type]?.find(({ scalar }) => scalar === 'string');
    const sought = part ? (value as Row)[part.name] : value;
    if (sought === undefined || sought === null) continue;
    const filter = { [field.name]: part ? { [part.name]: { eq: sought } } : { eq: sought } };
    const twin = await findOne(model, object, filter, { withDeleted: true, client });
    if (twin) return twin;
  }
  return undefined;
};

export const createRecords = async (
  model: Model,
  object: ObjectWithFields,
  records: Row[],
  { upsert, actor }: { upsert: boolean; actor: Row },
): Promise<Row[]> => {
  const hasActor = activeFields(object).some(({ name, type }) => name === 'createdBy' && type === 'ACTOR');
  try {
    return await inTransaction(async (client) => {
      const rows: Row[] = [];
      for (const data of records) {
        const twin = upsert ? await twinOf(client, model, object, data) : undefined;
        if (twin) {
          rows.push((await change(client, model, object, twin.id, { ...data, deletedAt: null })) as Row);
          continue;
        }
        const createdBy = hasActor ? { createdBy: { ...actor, ...((data.createdBy as Row | undefined) ?? {}) } } : {};
        rows.push(await insert(client, model, object, { ...data, ...createdBy }));
      }
      return rows;
    });
  } catch (error) {
    throw refused(error);
  }
};

const ids = async (model: Model, object: ObjectWithFields, filter: Filter): Promise<string[]> => {
  const parameters = new Parameters();
  const { rows } = await database().query<{ id: string }>(
    `SELECT "id" FROM ${tableOf(model, object)} WHERE ${where(object, filter, parameters)} ORDER BY "id"`,
    parameters.values,
  );
  return rows.map(({ id }) => id);
};

export const updateRecords = async (
  model: Model,
  object: ObjectWithFields,
  filter: Filter,
  data: Row,
): Promise<Row[]> => {
  const found = await ids(model, object, filter);
  try {
    return await inTransaction(async (client) => {
      const rows: Row[] = [];
      for (const id of found) {
        const row = await change(client, model, object, id, data);
        if (row) rows.push(row);
      }
      return rows;
    });
  } catch (error) {
    throw refused(error);
  }
};

// For good. A soft delete is an update of `deletedAt`.
export const destroyRecords = async (model: Model, object: ObjectWithFields, filter: Filter): Promise<Row[]> => {
  const parameters = new Parameters();
  const { rows } = await database().query<Row>(
    `DELETE FROM ${tableOf(model, object)} WHERE ${condition(object, filter, parameters)} RETURNING *`,
    parameters.values,
  );
  return rows;
};

export const relatedFilter = (model: Model, field: Field, row: Row): Filter | undefined => {
  if (relationTypeOf(field) === 'MANY_TO_ONE') {
    const id = row[field.settings?.joinColumnName ?? ''];
    return id ? { id: { eq: id } } : undefined;
  }
  const opposite = model.fieldById.get(field.relationTargetFieldMetadataId ?? '');
  const column = opposite?.settings?.joinColumnName;
  return column ? { [column]: { eq: row.id } } : undefined;
};
