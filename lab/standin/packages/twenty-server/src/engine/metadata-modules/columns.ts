import { quoteName } from '../core-modules/database';
import { type Field, type FieldType, type ModelObject, relationTypeOf, tableName } from './model';

// How a field lies in Postgres. A composite field is several columns, a relation one join column or none.

export type Scalar = 'string' | 'uuid' | 'float' | 'int' | 'bigint' | 'numeric' | 'boolean' | 'datetime' | 'date' | 'json' | 'position' | 'enum' | 'strings' | 'enums' | 'tsvector';

export type Part = { name: string; scalar: Scalar; isRequired?: boolean };

const text = (name: string, isRequired = false): Part => ({ name, scalar: 'string', isRequired });
const json = (name: string): Part => ({ name, scalar: 'json' });

export const COMPOSITES: Partial<Record<FieldType, Part[]>> = {
  ACTOR: [text('source', true), { name: 'workspaceMemberId', scalar: 'uuid' }, text('name', true), json('context')],
  ADDRESS: [
    ...['addressStreet1', 'addressStreet2', 'addressCity', 'addressPostcode', 'addressState', 'addressCountry'].map(
      (name) => text(name),
    ),
    { name: 'addressLat', scalar: 'numeric' },
    { name: 'addressLng', scalar: 'numeric' },
  ],
  CURRENCY: [{ name: 'amountMicros', scalar: 'numeric' }, text('currencyCode')],
  EMAILS: [text('primaryEmail'), json('additionalEmails')],
  FULL_NAME: [text('firstName'), text('lastName')],
  LINKS: [text('primaryLinkLabel'), text('primaryLinkUrl'), json('secondaryLinks')],
  PHONES: [
    text('primaryPhoneNumber'),
    text('primaryPhoneCountryCode'),
    text('primaryPhoneCallingCode'),
    json('additionalPhones'),
  ],
  RICH_TEXT_V2: [text('blocknote'), text('markdown')],
};

const SQL_TYPES: Record<Exclude<Scalar, 'enum' | 'enums'>, string> = {
  string: 'text',
  uuid: 'uuid',
  float: 'float',
  int: 'float',
  bigint: 'float',
  numeric: 'numeric',
  boolean: 'boolean',
  datetime: 'timestamptz',
  date: 'date',
  json: 'jsonb',
  position: 'float',
  strings: 'text[]',
  tsvector: 'tsvector',
};

export const scalarOf = (field: Field): Scalar => {
  switch (field.type) {
    case 'UUID':
      return 'uuid';
    case 'NUMBER':
      if (field.settings?.dataType === 'int') return 'int';
      return field.settings?.dataType === 'bigint' ? 'bigint' : 'float';
    case 'NUMERIC':
      return 'numeric';
    case 'POSITION':
      return 'position';
    case 'BOOLEAN':
      return 'boolean';
    case 'DATE_TIME':
      return 'datetime';
    case 'DATE':
      return 'date';
    case 'RAW_JSON':
      return 'json';
    case 'ARRAY':
      return 'strings';
    case 'SELECT':
    case 'RATING':
      return 'enum';
    case 'MULTI_SELECT':
      return 'enums';
    case 'TS_VECTOR':
      return 'tsvector';
    case 'TEXT':
    case 'RICH_TEXT':
      return 'string';
    default:
      throw new Error(`${field.name}: a ${field.type} is no single column`);
  }
};

export const capitalise = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);

export const partColumn = (field: Pick<Field, 'name'>, part: Pick<Part, 'name'>): string =>
  `${field.name}${capitalise(part.name)}`;

// The columns of a field with how each is read; a relation's is its join column.
export const columnsOf = (field: Field): { column: string; scalar: Scalar; part?: Part }[] => {
  const parts = COMPOSITES[field.type];
  if (parts) return parts.map((part) => ({ column: partColumn(field, part), scalar: part.scalar, part }));
  if (field.type === 'RELATION' || field.type === 'MORPH_RELATION') {
    return field.settings?.joinColumnName ? [{ column: field.settings.joinColumnName, scalar: 'uuid' }] : [];
  }
  return [{ column: field.name, scalar: scalarOf(field) }];
};

const enumName = (table: string, column: string): string => `${table}_${column}_enum`;

// A default keeps letters, digits and the underscore only: upstream's own guard, and its trap.
const bare = (value: unknown): string => String(value).replaceAll(/[^A-Za-z0-9_]/g, '');

export class InvalidDefault extends Error {}

const defaultSql = (value: unknown, sqlType: string): string => {
  if (value === null || value === undefined) return 'NULL';
  if (value === 'uuid') return 'public.uuid_generate_v4()';
  if (value === 'now') return 'now()';
  if (typeof value === 'string') {
    if (!/^'.*'$/s.test(value)) throw new InvalidDefault(`Invalid default value ${JSON.stringify(value)}: not quoted`);
    return `'${bare(value)}'::${sqlType}`;
  }
  if (typeof value === 'number' || typeof value === 'boolean') return `'${bare(value)}'::${sqlType}`;
  if (Array.isArray(value)) return `ARRAY[${value.map((item) => `'${bare(item)}'`).join(', ')}]::${sqlType}`;
  return `'${bare(JSON.stringify(value))}'::${sqlType}`;
};

type Statements = { before: string[]; columns: string[]; foreignKeys: string[] };

const columnSql = (schema: string, object: ModelObject, field: Field): Statements => {
  const result: Statements = { before: [], columns: [], foreignKeys: [] };
  const table = tableName(object);
  const parts = COMPOSITES[field.type];
  if (parts) {
    const defaults = (field.defaultValue ?? {}) as Record<string, unknown>;
    for (const part of parts) {
      const sqlType = SQL_TYPES[part.scalar as keyof typeof SQL_TYPES];
      const notNull = part.isRequired && field.isNullable === false ? ' NOT NULL' : '';
      const unique = field.isUnique && part === parts.find(({ scalar }) => scalar === 'string') ? ' UNIQUE' : '';
      result.columns.push(
        `${quoteName(partColumn(field, part))} ${sqlType}${notNull} DEFAULT ${defaultSql(defaults[part.name], sqlType)}${unique}`,
      );
    }
    return result;
  }
  for (const { column, scalar } of columnsOf(field)) {
    if (scalar === 'tsvector') {
      const source = typeof field.settings?.asExpression === 'string' ? field.settings.asExpression : "''";
      result.columns.push(
        `${quoteName(column)} tsvector GENERATED ALWAYS AS (to_tsvector('simple', ${source})) STORED`,
      );
      continue;
    }
    let sqlType: string;
    if (scalar === 'enum' || scalar === 'enums') {
      const type = `${quoteName(schema)}.${quoteName(enumName(table, column))}`;
      const values = (field.options ?? []).map(({ value }) => `'${value.replaceAll("'", "''")}'`);
      result.before.push(`CREATE TYPE ${type} AS ENUM (${values.join(', ')})`);
      sqlType = scalar === 'enums' ? `${type}[]` : type;
    } else {
      sqlType = SQL_TYPES[scalar];
    }
    const isRelation = relationTypeOf(field) !== undefined;
    const nullability = !isRelation && field.isNullable === false ? ' NOT NULL' : '';
    const unique = field.isUnique && field.name !== 'id' ? ' UNIQUE' : '';
    const primary = field.name === 'id' ? ' PRIMARY KEY' : '';
    const fallback = isRelation ? 'NULL' : defaultSql(field.defaultValue, sqlType);
    result.columns.push(`${quoteName(column)} ${sqlType}${nullability} DEFAULT ${fallback}${unique}${primary}`);
  }
  return result;
};

// Statements in the order in which they must run: types and tables first, then what points at other tables.
export const createTables = (
  schema: string,
  objects: ModelObject[],
  fieldsOf: (object: ModelObject) => Field[],
  objectById: (id: string) => ModelObject,
): string[] => {
  const tables: string[] = [];
  const links: string[] = [];
  for (const object of objects) {
    const parts = fieldsOf(object).map((field) => columnSql(schema, object, field));
    tables.push(...parts.flatMap(({ before }) => before));
    tables.push(
      `CREATE TABLE ${quoteName(schema)}.${quoteName(tableName(object))} (${parts.flatMap(({ columns }) => columns).join(', ')})`,
    );
    links.push(...fieldsOf(object).flatMap((field) => foreignKey(schema, object, field, objectById)));
  }
  return [...tables, ...links];
};

const foreignKey = (
  schema: string,
  object: ModelObject,
  field: Field,
  objectById: (id: string) => ModelObject,
): string[] => {
  const column = field.settings?.joinColumnName;
  if (relationTypeOf(field) !== 'MANY_TO_ONE' || !column || !field.relationTargetObjectMetadataId) return [];
  const own = `${quoteName(schema)}.${quoteName(tableName(object))}`;
  const other = `${quoteName(schema)}.${quoteName(tableName(objectById(field.relationTargetObjectMetadataId)))}`;
  const action = field.settings?.onDelete === 'CASCADE' ? 'CASCADE' : 'SET NULL';
  return [
    `ALTER TABLE ${own} ADD FOREIGN KEY (${quoteName(column)}) REFERENCES ${other} ("id") ON DELETE ${action}`,
    `CREATE INDEX ON ${own} (${quoteName(column)})`,
  ];
};

export const addField = (
  schema: string,
  object: ModelObject,
  field: Field,
  objectById: (id: string) => ModelObject,
): string[] => {
  const { before, columns } = columnSql(schema, object, field);
  const table = `${quoteName(schema)}.${quoteName(tableName(object))}`;
  return [
    ...before,
    ...columns.map((column) => `ALTER TABLE ${table} ADD COLUMN ${column}`),
    ...foreignKey(schema, object, field, objectById),
  ];
};

export const dropField = (schema: string, object: ModelObject, field: Field): string[] => {
  const table = tableName(object);
  const own = `${quoteName(schema)}.${quoteName(table)}`;
  return columnsOf(field).flatMap(({ column, scalar }) => [
    `ALTER TABLE ${own} DROP COLUMN ${quoteName(column)}`,
    ...(scalar === 'enum' || scalar === 'enums'
      ? [`DROP TYPE ${quoteName(schema)}.${quoteName(enumName(table, column))}`]
      : []),
  ]);
};

const enumColumns = (fields: Field[]): string[] =>
  fields
    .filter(({ type }) => type === 'SELECT' || type === 'MULTI_SELECT' || type === 'RATING')
    .map(({ name }) => name);

export const dropTable = (schema: string, object: ModelObject & { fields: Field[] }): string[] => [
  `DROP TABLE ${quoteName(schema)}.${quoteName(tableName(object))} CASCADE`,
  ...enumColumns(object.fields).map(
    (column) => `DROP TYPE ${quoteName(schema)}.${quoteName(enumName(tableName(object), column))}`,
  ),
];

// Enum types are named after table and column: they follow when the table is renamed.
export const renameTypes = (schema: string, from: ModelObject & { fields: Field[] }, table: string): string[] =>
  enumColumns(from.fields).map(
    (column) =>
      `ALTER TYPE ${quoteName(schema)}.${quoteName(enumName(tableName(from), column))} RENAME TO ${quoteName(enumName(table, column))}`,
  );

// From one definition of a field to the next: name, default, uniqueness, options.
export const alterField = (schema: string, object: ModelObject, from: Field, to: Field): string[] => {
  const table = tableName(object);
  const own = `${quoteName(schema)}.${quoteName(table)}`;
  const statements: string[] = [];
  const before = columnsOf(from);
  for (const [place, { column, scalar, part }] of columnsOf(to).entries()) {
    const old = before[place]?.column ?? column;
    if (old !== column) {
      statements.push(`ALTER TABLE ${own} RENAME COLUMN ${quoteName(old)} TO ${quoteName(column)}`);
      if (scalar === 'enum' || scalar === 'enums') {
        statements.push(
          `ALTER TYPE ${quoteName(schema)}.${quoteName(enumName(table, old))} RENAME TO ${quoteName(enumName(table, column))}`,
        );
      }
    }
    if (part || to.type === 'RELATION' || scalar === 'tsvector') continue;
    if (scalar === 'enum' || scalar === 'enums') {
      if (JSON.stringify(from.options) !== JSON.stringify(to.options)) {
        statements.push(...replaceEnum(schema, table, column, from, to, scalar === 'enums'));
        continue;
      }
    }
    const type =
      scalar === 'enum' || scalar === 'enums'
        ? `${quoteName(schema)}.${quoteName(enumName(table, column))}${scalar === 'enums' ? '[]' : ''}`
        : SQL_TYPES[scalar];
    if (JSON.stringify(from.defaultValue) !== JSON.stringify(to.defaultValue)) {
      statements.push(
        `ALTER TABLE ${own} ALTER COLUMN ${quoteName(column)} SET DEFAULT ${defaultSql(to.defaultValue, type)}`,
      );
    }
    if (Boolean(from.isUnique) !== Boolean(to.isUnique)) {
      const constraint = quoteName(`${table}_${column}_key`);
      statements.push(
        to.isUnique
          ? `ALTER TABLE ${own} ADD CONSTRAINT ${constraint} UNIQUE (${quoteName(column)})`
          : `ALTER TABLE ${own} DROP CONSTRAINT ${constraint}`,
      );
    }
  }
  return statements;
};

// An option keeps its records by its id: a renamed value moves with them, a removed one leaves the default behind.
const replaceEnum = (
  schema: string,
  table: string,
  column: string,
  from: Field,
  to: Field,
  isArray: boolean,
): string[] => {
  const own = `${quoteName(schema)}.${quoteName(table)}`;
  const name = enumName(table, column);
  const type = `${quoteName(schema)}.${quoteName(name)}`;
  const literal = (value: string): string => `'${value.replaceAll("'", "''")}'`;
  const cases = (from.options ?? []).map((option) => {
    const kept =
      to.options?.find(({ id }) => id === option.id) ?? to.options?.find(({ value }) => value === option.value);
    return `WHEN ${literal(option.value)} THEN ${kept ? literal(kept.value) : 'NULL'}`;
  });
  const mapped = (value: string): string => `CASE ${value}::text ${cases.join(' ')} END`;
  const fallback = defaultSql(to.defaultValue, isArray ? `${type}[]` : type);
  const using = isArray ? `${quoteName(column)}::text[]::${type}[]` : `(${mapped(quoteName(column))})::${type}`;
  return [
    `ALTER TYPE ${type} RENAME TO ${quoteName(`${name}_old`)}`,
    `CREATE TYPE ${type} AS ENUM (${(to.options ?? []).map(({ value }) => literal(value)).join(', ')})`,
    `ALTER TABLE ${own} ALTER COLUMN ${quoteName(column)} DROP DEFAULT`,
    `ALTER TABLE ${own} ALTER COLUMN ${quoteName(column)} TYPE ${isArray ? `${type}[]` : type} USING ${using}`,
    `ALTER TABLE ${own} ALTER COLUMN ${quoteName(column)} SET DEFAULT ${fallback}`,
    `DROP TYPE ${quoteName(schema)}.${quoteName(`${name}_old`)}`,
  ];
};
