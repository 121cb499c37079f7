import { GraphQLError, GraphQLScalarType, Kind, type ValueNode, valueFromASTUntyped } from 'graphql';

const UUID_SHAPE = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const scalar = (name: string, description: string, check: (value: unknown) => unknown, serialize?: (value: unknown) => unknown) =>
  new GraphQLScalarType({
    name,
    description,
    serialize: serialize ?? ((value) => value),
    parseValue: check,
    parseLiteral: (node: ValueNode, variables) => check(valueFromASTUntyped(node, variables)),
  });

const invalid = (name: string, value: unknown): GraphQLError =>
  new GraphQLError(`${JSON.stringify(value)} is no ${name}`, { extensions: { code: 'BAD_USER_INPUT' } });

const isDate = (value: unknown): value is string | number =>
  (typeof value === 'string' || typeof value === 'number') && !Number.isNaN(new Date(value).getTime());

const toIso = (value: unknown): unknown => (value instanceof Date ? value.toISOString() : value);

export const UUIDScalar = scalar('UUID', 'A UUID', (value) => {
  if (typeof value !== 'string' || !UUID_SHAPE.test(value)) throw invalid('UUID', value);
  return value;
});

export const DateTimeScalar = scalar(
  'DateTime',
  'A point in time, ISO 8601',
  (value) => {
    if (!isDate(value)) throw invalid('DateTime', value);
    return new Date(value).toISOString();
  },
  toIso,
);

export const DateScalar = scalar('Date', 'A day, YYYY-MM-DD', (value) => {
  if (!isDate(value)) throw invalid('Date', value);
  return new Date(value).toISOString().slice(0, 10);
});

export const JSONScalar = scalar('JSON', 'Any JSON value', (value) => value);

export const BigFloatScalar = scalar(
  'BigFloat',
  'A number that may be large',
  (value) => {
    if (!['string', 'number'].includes(typeof value) || !Number.isFinite(Number(value)) || value === '') {
      throw invalid('BigFloat', value);
    }
    return String(value);
  },
  Number,
);

export const BigIntScalar = scalar(
  'BigInt',
  'A whole number that may be large',
  (value) => {
    if (!/^-?\d+$/.test(String(value))) throw invalid('BigInt', value);
    return String(value);
  },
  Number,
);

// A number, or where to put a new record among the others.
export const PositionScalar = new GraphQLScalarType({
  name: 'Position',
  description: 'A number, "first" or "last"',
  parseValue: (value) => {
    if (typeof value !== 'number' && value !== 'first' && value !== 'last') throw invalid('Position', value);
    return value;
  },
  parseLiteral: (node) => {
    if (node.kind === Kind.INT || node.kind === Kind.FLOAT) return Number(node.value);
    if (node.kind === Kind.STRING && (node.value === 'first' || node.value === 'last')) return node.value;
    throw invalid('Position', valueFromASTUntyped(node));
  },
});
