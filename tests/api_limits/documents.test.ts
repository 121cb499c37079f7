import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  checkDocument,
  checkSource,
  describeParserLimit,
  DOCUMENT_LIMITS,
  DocumentTooLarge,
} from '../../files/twenty/overlay/packages/twenty-server/src/api-limits/pure/document-limits';
import { read } from './documents';

const times = (count: number, part: (i: number) => string) => Array.from({ length: count }, (_, i) => part(i)).join(' ');
const nested = (levels: number, open: string) => `${times(levels, () => `${open} {`)} x ${'}'.repeat(levels)}`;
const refused = (text: string, words: RegExp) =>
  assert.throws(() => checkDocument(read(text)), (error) => error instanceof DocumentTooLarge && words.test(error.message), text.slice(0, 80));
const accepted = (text: string) => checkDocument(read(text));
// the usual introspection query: nine levels of wrapped types in the arguments of fields
const INTROSPECTION = `query { __schema { queryType { name } types { ...T } directives { name args { ...I } } } }
  fragment T on X { kind name fields { name args { ...I } type { ...R } } inputFields { ...I } interfaces { ...R } enumValues { name } possibleTypes { ...R } }
  fragment I on X { name type { ...R } defaultValue }
  fragment R on X { kind name ${times(9, () => 'ofType { kind name')} ${'}'.repeat(9)} }`;

test('what people and tools send is accepted', () => {
  accepted('query { currentUser { id workspace { id ...W ...W } } } fragment W on Workspace { id name ... on X { logo } }');
  accepted(`{ ${times(DOCUMENT_LIMITS.rootFields, (i) => `o${i} { totalCount }`)} }`);
  accepted(`{ people { edges { node { ${times(3_000, (i) => `f${i} { id }`)} } } } }`);
  accepted(INTROSPECTION);
  accepted(`{ ${times(10, (i) => `t${i}: __type { name fields { name type { name fields { name } } } }`)} }`);
  accepted('{ a ...missing }');
});

test('a source is refused by its length alone', () => {
  checkSource('x'.repeat(DOCUMENT_LIMITS.characters));
  assert.throws(() => checkSource('x'.repeat(DOCUMENT_LIMITS.characters + 1)), /200001 characters; at most 200000 are allowed\. Pass values/);
});

test("the parser's errors about size are told in the same words, others are not", () => {
  assert.match(describeParserLimit(new Error('Syntax Error: Document contains more that 20000 tokens. Parsing aborted.'))?.message ?? '', /20000 tokens/);
  assert.match(describeParserLimit(new RangeError('Maximum call stack size exceeded'))?.message ?? '', /nested too deeply/);
  assert.equal(describeParserLimit(new Error('Syntax Error: Expected Name')), null);
});

test('the same name again and again is refused, however it is written', () => {
  refused(`{ ${times(10_000, () => '__typename')} }`, /"__typename" more than 50 times/);
  refused(`{ a { ${times(51, () => 'x: y')} } }`, /"x" more than 50 times/);
  refused(`{ ${times(51, () => 'a { b }')} }`, /"a" more than 50 times/);
  refused(`{ ${times(51, () => '...F')} } fragment F on Q { x }`, /"x" more than 50 times/);
  refused(`{ a } fragment Unused on Q { ${times(51, () => 'x')} }`, /"x" more than 50 times/);
  // 2 of a name in each place, but 64 of it in the same place of the answer
  const twice = (levels: number): string => (levels === 0 ? '{ a a }' : `{ a ${twice(levels - 1)} a ${twice(levels - 1)} }`);
  refused(twice(5), /"a" more than 50 times/);
  accepted(twice(4));
});

test('many root fields, many aliases, many levels are refused', () => {
  refused(`{ ${times(101, (i) => `a${i}`)} }`, /101 root fields; at most 100/);
  refused(`mutation { ...F } fragment F on M { ${times(101, (i) => `a${i}`)} }`, /101 root fields/);
  refused(`{ people { ${times(201, (i) => `a${i}: company { id }`)} } }`, /more than 200 aliases/);
  accepted(nested(14, 'a').replace(/^/, '{').concat('}'));
  refused(`{ ${nested(15, 'a')} }`, /16 levels; at most 15/);
  refused(`{ a ${'{ ... on X '.repeat(41)} { x } ${'}'.repeat(41)} }`, /nested more than 40 times/);
});

test('fragments are counted expanded, in a time that does not grow with what they expand to', () => {
  const bomb = (levels: number, spreads: number) =>
    `query { people { ...f0 } } ${times(levels, (i) => `fragment f${i} on P { ${times(spreads, () => `...f${i + 1}`)} }`)} fragment f${levels} on P { id }`;
  const began = performance.now();

  refused(bomb(40, 2), /too many fields after its fragments are expanded/);
  refused(bomb(99, 90), /too many fields after its fragments are expanded/);
  assert.ok(performance.now() - began < 2_000);
  refused(`{ ${times(101, (i) => `...g${i}`)} } ${times(101, (i) => `fragment g${i} on Q { x }`)}`, /101 fragments; at most 100/);
  refused(`${times(21, () => 'query { x }')}`, /21 operations; at most 20/);
  refused(`{ p { ...F } } fragment F on P { ${times(15_000, (i) => `f${i}`)} }`, /too many fields/);
});

test('a fragment that contains itself is refused, and ends', () => {
  refused('{ ...A } fragment A on Q { a ...A }', /fragment that contains itself \("A"\)/);
  refused('{ x } fragment A on Q { a { ...B } } fragment B on Q { b { ... on X { ...A } } }', /contains itself/);
});

test('introspection is refused where each level multiplies the answer', () => {
  refused('{ __schema { types { fields { type { fields { name } } } } } }', /fields of the types of fields/);
  refused('{ __schema { types { a: fields { name } b: fields { name } } } }', /alias inside introspection \("a"\)/);
  refused('{ a: __schema { types { name } } b: __schema { types { name } } }', /"__schema" beside other introspection/);
  refused(`{ ${times(11, (i) => `t${i}: __type { name }`)} }`, /"__type" more than 10 times/);
  refused('{ ...F } fragment F on Q { __schema { ... on S { types { ...T } } } } fragment T on T { interfaces { possibleTypes { name } } }', /fields of the types/);
});
