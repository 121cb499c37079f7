import {
  GraphQLBoolean,
  GraphQLEnumType,
  type GraphQLFieldConfig,
  type GraphQLFieldConfigArgumentMap,
  type GraphQLFieldConfigMap,
  GraphQLFloat,
  GraphQLID,
  type GraphQLInputFieldConfigMap,
  GraphQLInputObjectType,
  type GraphQLInputType,
  GraphQLInt,
  GraphQLList,
  GraphQLNonNull,
  GraphQLObjectType,
  type GraphQLOutputType,
  GraphQLSchema,
  GraphQLString,
} from 'graphql';

import { type AuthContext, type Role, roleOf } from '../core-modules/auth/context';
import { apiError, permissionDenied } from '../errors';
import { capitalise, COMPOSITES, type Part, partColumn, scalarOf } from '../metadata-modules/columns';
import { type Field, type Model, type ObjectWithFields, relationTypeOf } from '../metadata-modules/model';
import {
  createRecords,
  destroyRecords,
  encodeCursor,
  type Filter,
  findMany,
  findOne,
  type Page,
  type PageArguments,
  relatedFilter,
  type Row,
  updateRecords,
} from './record-store';
import { BigFloatScalar, BigIntScalar, DateScalar, DateTimeScalar, JSONScalar, PositionScalar, UUIDScalar } from './scalars';

// The records API of one workspace at one metadata version: types, filters and resolvers built from its model.

type Context = { auth: AuthContext };

const SCALARS = {
  string: GraphQLString,
  uuid: UUIDScalar,
  float: GraphQLFloat,
  int: GraphQLInt,
  bigint: BigIntScalar,
  numeric: BigFloatScalar,
  boolean: GraphQLBoolean,
  datetime: DateTimeScalar,
  date: DateScalar,
  json: JSONScalar,
  position: PositionScalar,
  strings: new GraphQLList(GraphQLString),
  tsvector: GraphQLString,
};

const FilterIs = new GraphQLEnumType({ name: 'FilterIs', values: { NULL: {}, NOT_NULL: {} } });

const filterInput = (name: string, type: GraphQLInputType, operators: string[]): GraphQLInputObjectType =>
  new GraphQLInputObjectType({
    name,
    fields: {
      ...Object.fromEntries(operators.map((operator) => [operator, { type }])),
      in: { type: new GraphQLList(new GraphQLNonNull(type)) },
      is: { type: FilterIs },
    },
  });

const EQUAL = ['eq', 'neq'];
const ORDERED = [...EQUAL, 'gt', 'gte', 'lt', 'lte'];

const FILTERS = {
  string: filterInput('StringFilter', GraphQLString, [...ORDERED, 'like', 'ilike', 'startsWith', 'endsWith']),
  uuid: filterInput('UUIDFilter', UUIDScalar, EQUAL),
  float: filterInput('FloatFilter', GraphQLFloat, ORDERED),
  int: filterInput('IntFilter', GraphQLInt, ORDERED),
  bigint: filterInput('BigIntFilter', BigIntScalar, ORDERED),
  numeric: filterInput('BigFloatFilter', BigFloatScalar, ORDERED),
  boolean: new GraphQLInputObjectType({
    name: 'BooleanFilter',
    fields: { eq: { type: GraphQLBoolean }, is: { type: FilterIs } },
  }),
  datetime: filterInput('DateTimeFilter', DateTimeScalar, ORDERED),
  date: filterInput('DateFilter', DateScalar, ORDERED),
  json: new GraphQLInputObjectType({
    name: 'RawJsonFilter',
    fields: { like: { type: GraphQLString }, is: { type: FilterIs } },
  }),
  strings: new GraphQLInputObjectType({
    name: 'ArrayFilter',
    fields: {
      containsIlike: { type: GraphQLString },
      containsAny: { type: new GraphQLList(GraphQLString) },
      isEmptyArray: { type: GraphQLBoolean },
      is: { type: FilterIs },
    },
  }),
};

const FILTER_OF = { ...FILTERS, position: FILTERS.float, tsvector: FILTERS.string };

const OrderByDirection = new GraphQLEnumType({
  name: 'OrderByDirection',
  values: { AscNullsFirst: {}, AscNullsLast: {}, DescNullsFirst: {}, DescNullsLast: {} },
});

const PageInfo = new GraphQLObjectType({
  name: 'PageInfo',
  fields: {
    hasNextPage: { type: GraphQLBoolean },
    hasPreviousPage: { type: GraphQLBoolean },
    startCursor: { type: GraphQLString },
    endCursor: { type: GraphQLString },
  },
});

type CompositeTypes = {
  output: GraphQLObjectType;
  input: GraphQLInputObjectType;
  filter: GraphQLInputObjectType;
  order: GraphQLInputObjectType;
};

const pascal = (type: string): string =>
  type
    .toLowerCase()
    .split('_')
    .map((word) => capitalise(word))
    .join('');

const partTypes = <T>(parts: Part[], typeOf: (part: Part) => T): Record<string, { type: T }> =>
  Object.fromEntries(parts.map((part) => [part.name, { type: typeOf(part) }]));

const COMPOSITE_TYPES = new Map<string, CompositeTypes>(
  Object.entries(COMPOSITES).map(([type, parts]): [string, CompositeTypes] => {
    const name = pascal(type);
    const scalar = (part: Part) => SCALARS[part.scalar as keyof typeof SCALARS];
    return [
      type,
      {
        output: new GraphQLObjectType({ name, fields: partTypes(parts, scalar) }),
        input: new GraphQLInputObjectType({ name: `${name}Input`, fields: partTypes(parts, scalar) }),
        filter: new GraphQLInputObjectType({
          name: `${name}FilterInput`,
          fields: partTypes(parts, (part) => FILTER_OF[part.scalar as keyof typeof FILTER_OF]),
        }),
        order: new GraphQLInputObjectType({ name: `${name}OrderByInput`, fields: partTypes(parts, () => OrderByDirection) }),
      },
    ];
  }),
);

const PAGE_ARGS = {
  first: { type: GraphQLInt },
  last: { type: GraphQLInt },
  offset: { type: GraphQLInt },
  before: { type: GraphQLString },
  after: { type: GraphQLString },
};

type ObjectTypes = {
  record: GraphQLObjectType;
  connection: GraphQLObjectType;
  filter: GraphQLInputObjectType;
  order: GraphQLInputObjectType;
  create: GraphQLInputObjectType;
  update: GraphQLInputObjectType;
};

const allowed = async (context: Context, right: keyof Role): Promise<void> => {
  if (!(await roleOf(context.auth))?.[right]) throw permissionDenied();
};

// Whom a record says it was created by, when the caller does not say.
const actorOf = ({ apiKey, user, workspaceMemberId }: AuthContext): Row =>
  apiKey
    ? { source: 'API', name: apiKey.name, workspaceMemberId: null, context: {} }
    : {
        source: 'MANUAL',
        name: `${user?.firstName ?? ''} ${user?.lastName ?? ''}`.trim(),
        workspaceMemberId: workspaceMemberId ?? null,
        context: {},
      };

const connectionOf = ({ rows, start, totalCount }: Page) => ({
  totalCount,
  edges: rows.map((node, index) => ({ node, cursor: encodeCursor(start + index) })),
  pageInfo: {
    hasNextPage: start + rows.length < totalCount,
    hasPreviousPage: start > 0 && rows.length > 0,
    startCursor: rows.length > 0 ? encodeCursor(start) : null,
    endCursor: rows.length > 0 ? encodeCursor(start + rows.length - 1) : null,
  },
});

const notFound = () => apiError('NOT_FOUND', 'Record not found');

export const buildRecordSchema = (model: Model): GraphQLSchema => {
  const objects = model.objects.filter(({ isActive }) => isActive);
  const types = new Map<string, ObjectTypes>();
  const enums = new Map<string, GraphQLEnumType>();

  const fieldsOf = (object: ObjectWithFields): Field[] => object.fields.filter(({ isActive }) => isActive);

  const enumOf = (object: ObjectWithFields, field: Field): GraphQLEnumType => {
    const name = `${capitalise(object.nameSingular)}${capitalise(field.name)}Enum`;
    const known = enums.get(name);
    if (known) return known;
    const created = new GraphQLEnumType({
      name,
      values: Object.fromEntries((field.options ?? []).map(({ value, label }) => [value, { value, description: label }])),
    });
    enums.set(name, created);
    return created;
  };

  const valueType = (object: ObjectWithFields, field: Field) => {
    const scalar = scalarOf(field);
    if (scalar === 'enum') return enumOf(object, field);
    if (scalar === 'enums') return new GraphQLList(enumOf(object, field));
    return SCALARS[scalar];
  };

  const filterType = (object: ObjectWithFields, field: Field): GraphQLInputObjectType => {
    const scalar = scalarOf(field);
    if (scalar !== 'enum' && scalar !== 'enums') return FILTER_OF[scalar];
    const type = enumOf(object, field);
    return new GraphQLInputObjectType({
      name: `${type.name}Filter`,
      fields:
        scalar === 'enum'
          ? { eq: { type }, neq: { type }, in: { type: new GraphQLList(type) }, is: { type: FilterIs } }
          : { containsAny: { type: new GraphQLList(type) }, isEmptyArray: { type: GraphQLBoolean }, is: { type: FilterIs } },
    });
  };

  const targetOf = (field: Field): ObjectWithFields | undefined => {
    const target = model.objectById.get(field.relationTargetObjectMetadataId ?? '');
    return target?.isActive ? target : undefined;
  };

  const typesOf = (object: ObjectWithFields): ObjectTypes => types.get(object.id) as ObjectTypes;

  const relationFields = (field: Field): GraphQLFieldConfigMap<Row, Context> => {
    const target = targetOf(field);
    if (!target) return {};
    const column = field.settings?.joinColumnName;
    if (relationTypeOf(field) === 'MANY_TO_ONE' && column) {
      return {
        [column]: { type: UUIDScalar },
        [field.name]: {
          type: typesOf(target).record,
          resolve: (row) => {
            const filter = relatedFilter(model, field, row);
            return filter ? findOne(model, target, filter) : null;
          },
        },
      };
    }
    return {
      [field.name]: {
        type: typesOf(target).connection,
        args: {
          ...PAGE_ARGS,
          filter: { type: typesOf(target).filter },
          orderBy: { type: new GraphQLList(typesOf(target).order) },
        },
        resolve: async (row, args: PageArguments) => {
          const related = relatedFilter(model, field, row);
          if (!related) return null;
          const filter: Filter = args.filter ? { and: [related, args.filter] } : related;
          return connectionOf(await findMany(model, target, { ...args, filter }));
        },
      } satisfies GraphQLFieldConfig<Row, Context>,
    };
  };

  const outputFields = (object: ObjectWithFields): GraphQLFieldConfigMap<Row, Context> =>
    Object.assign(
      {},
      ...fieldsOf(object).map((field): GraphQLFieldConfigMap<Row, Context> => {
        if (relationTypeOf(field)) return relationFields(field);
        const parts = COMPOSITES[field.type];
        if (parts) {
          return {
            [field.name]: {
              type: COMPOSITE_TYPES.get(field.type)?.output as GraphQLOutputType,
              resolve: (row) => Object.fromEntries(parts.map((part) => [part.name, row[partColumn(field, part)]])),
            },
          };
        }
        const type = valueType(object, field);
        if (scalarOf(field) === 'enums') {
          // The driver knows no array of a type of ours: it comes as {ONE,TWO}; values are upper snake case, never quoted.
          return {
            [field.name]: {
              type,
              resolve: (row) => {
                const value: unknown = row[field.name];
                return typeof value === 'string' ? value.slice(1, -1).split(',').filter(Boolean) : value;
              },
            },
          };
        }
        return { [field.name]: { type: field.name === 'id' ? new GraphQLNonNull(type) : type } };
      }),
    );

  const inputFields = (object: ObjectWithFields): GraphQLInputFieldConfigMap =>
    Object.assign(
      {},
      ...fieldsOf(object).map((field): GraphQLInputFieldConfigMap => {
        if (field.type === 'TS_VECTOR') return {};
        if (relationTypeOf(field)) {
          const column = field.settings?.joinColumnName;
          return column ? { [column]: { type: field.settings?.joinColumnName ? UUIDScalar : GraphQLID } } : {};
        }
        const composite = COMPOSITE_TYPES.get(field.type);
        return { [field.name]: { type: composite?.input ?? valueType(object, field) } };
      }),
    );

  const comparable = (
    object: ObjectWithFields,
    plain: (field: Field) => GraphQLInputType,
    composite: (type: CompositeTypes) => GraphQLInputType,
    joined: GraphQLInputType,
  ): GraphQLInputFieldConfigMap =>
    Object.assign(
      {},
      ...fieldsOf(object).map((field): GraphQLInputFieldConfigMap => {
        if (relationTypeOf(field)) {
          const column = field.settings?.joinColumnName;
          return column ? { [column]: { type: joined } } : {};
        }
        const parts = COMPOSITE_TYPES.get(field.type);
        return { [field.name]: { type: parts ? composite(parts) : plain(field) } };
      }),
    );

  for (const object of objects) {
    const name = capitalise(object.nameSingular);
    const record = new GraphQLObjectType<Row, Context>({ name, fields: () => outputFields(object) });
    const edge = new GraphQLObjectType({
      name: `${name}Edge`,
      fields: { node: { type: record }, cursor: { type: GraphQLString } },
    });
    const filter: GraphQLInputObjectType = new GraphQLInputObjectType({
      name: `${name}FilterInput`,
      fields: () => ({
        ...comparable(object, (field) => filterType(object, field), (type) => type.filter, FILTERS.uuid),
        and: { type: new GraphQLList(filter) },
        or: { type: new GraphQLList(filter) },
        not: { type: filter },
      }),
    });
    types.set(object.id, {
      record,
      filter,
      connection: new GraphQLObjectType({
        name: `${name}Connection`,
        fields: {
          totalCount: { type: GraphQLInt },
          pageInfo: { type: new GraphQLNonNull(PageInfo) },
          edges: { type: new GraphQLNonNull(new GraphQLList(new GraphQLNonNull(edge))) },
        },
      }),
      order: new GraphQLInputObjectType({
        name: `${name}OrderByInput`,
        fields: () => comparable(object, () => OrderByDirection, (type) => type.order, OrderByDirection),
      }),
      create: new GraphQLInputObjectType({ name: `${name}CreateInput`, fields: () => inputFields(object) }),
      update: new GraphQLInputObjectType({ name: `${name}UpdateInput`, fields: () => inputFields(object) }),
    });
  }

  const query: GraphQLFieldConfigMap<unknown, Context> = {};
  const mutation: GraphQLFieldConfigMap<unknown, Context> = {};
  const byId = { id: { type: new GraphQLNonNull(UUIDScalar) } };

  for (const object of objects) {
    const { record, connection, filter, order, create, update } = typesOf(object);
    const one = capitalise(object.nameSingular);
    const many = capitalise(object.namePlural);
    const required = { filter: { type: new GraphQLNonNull(filter) } };

    query[object.namePlural] = {
      type: connection,
      args: { ...PAGE_ARGS, filter: { type: filter }, orderBy: { type: new GraphQLList(order) } },
      resolve: async (_parent, args: PageArguments, context) => {
        await allowed(context, 'canReadAllObjectRecords');
        return connectionOf(await findMany(model, object, args));
      },
    };
    query[object.nameSingular] = {
      type: record,
      args: required,
      resolve: async (_parent, args: { filter: Filter }, context) => {
        await allowed(context, 'canReadAllObjectRecords');
        const row = await findOne(model, object, args.filter);
        if (!row) throw notFound();
        return row;
      },
    };

    const first = (rows: Row[]): Row => {
      if (!rows[0]) throw notFound();
      return rows[0];
    };
    const createArgs = (type: GraphQLInputType) => ({
      data: { type: new GraphQLNonNull(type) },
      upsert: { type: GraphQLBoolean },
    });
    mutation[`create${one}`] = {
      type: record,
      args: createArgs(create),
      resolve: async (_parent, args: { data: Row; upsert?: boolean }, context) => {
        await allowed(context, 'canUpdateAllObjectRecords');
        const options = { upsert: args.upsert ?? false, actor: actorOf(context.auth) };
        return first(await createRecords(model, object, [args.data], options));
      },
    };
    mutation[`create${many}`] = {
      type: new GraphQLList(record),
      args: createArgs(new GraphQLList(new GraphQLNonNull(create))),
      resolve: async (_parent, args: { data: Row[]; upsert?: boolean }, context) => {
        await allowed(context, 'canUpdateAllObjectRecords');
        return createRecords(model, object, args.data, { upsert: args.upsert ?? false, actor: actorOf(context.auth) });
      },
    };
    const changes: [verb: string, right: keyof Role, run: (filter: Filter, data: Row) => Promise<Row[]>, takesData: boolean][] = [
      ['update', 'canUpdateAllObjectRecords', (chosen, data) => updateRecords(model, object, chosen, data), true],
      [
        'delete',
        'canSoftDeleteAllObjectRecords',
        (chosen) => updateRecords(model, object, chosen, { deletedAt: new Date().toISOString() }),
        false,
      ],
      [
        'restore',
        'canSoftDeleteAllObjectRecords',
        (chosen) =>
          updateRecords(model, object, { and: [chosen, { deletedAt: { is: 'NOT_NULL' } }] }, { deletedAt: null }),
        false,
      ],
      ['destroy', 'canDestroyAllObjectRecords', (chosen) => destroyRecords(model, object, chosen), false],
    ];
    for (const [verb, right, run, takesData] of changes) {
      const data: GraphQLFieldConfigArgumentMap = takesData ? { data: { type: new GraphQLNonNull(update) } } : {};
      mutation[`${verb}${one}`] = {
        type: record,
        args: { ...byId, ...data },
        resolve: async (_parent, args: { id: string; data?: Row }, context) => {
          await allowed(context, right);
          return first(await run({ id: { eq: args.id } }, args.data ?? {}));
        },
      };
      mutation[`${verb}${many}`] = {
        type: new GraphQLList(record),
        args: { ...required, ...data },
        resolve: async (_parent, args: { filter: Filter; data?: Row }, context) => {
          await allowed(context, right);
          return run(args.filter, args.data ?? {});
        },
      };
    }
  }

  return new GraphQLSchema({
    query: new GraphQLObjectType({ name: 'Query', fields: query }),
    mutation: new GraphQLObjectType({ name: 'Mutation', fields: mutation }),
  });
};
