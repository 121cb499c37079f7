// SPDX-License-Identifier: AGPL-3.0-only

// As much of a GraphQL document as its cost depends on; graphql's DocumentNode is one.
type Named = { readonly value: string };
type Selection = {
  readonly kind: string;
  readonly name?: Named;
  readonly alias?: Named;
  readonly selectionSet?: SelectionSet;
};
type SelectionSet = { readonly selections: readonly Selection[] };
type Definition = {
  readonly kind: string;
  readonly name?: Named;
  readonly selectionSet?: SelectionSet;
};
export type Document = { readonly definitions: readonly Definition[] };

// The page's own documents have at most 150 fields (more for records: all fields of an object and of its relations), no alias, one
// operation. The usual introspection query has 15 levels.
export const DOCUMENT_LIMITS = {
  characters: 200_000,
  tokens: 20_000,
  operations: 20,
  fragments: 100,
  // Selections after each spread is replaced by its fragment.
  selections: 15_000,
  selectionsOfAllDefinitions: 30_000,
  depth: 15,
  // Selection sets inside each other, with those of inline fragments.
  nesting: 40,
  rootFields: 100,
  aliases: 200,
  // The same response name in the same place: validation compares each pair of them.
  sameName: 50,
  introspections: 10,
} as const;

const LISTS_OF_TYPES = new Set([
  'fields',
  'inputFields',
  'interfaces',
  'possibleTypes',
]);

/** The limit that a document exceeds; the message says what to do about it. */
export class DocumentTooLarge extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'DocumentTooLarge';
  }
}

const refuse = (what: string, most: number, advice: string): never => {
  throw new DocumentTooLarge(
    `This GraphQL document has ${what}; at most ${most} are allowed. ${advice}`,
  );
};

const SPLIT = 'Split it into several requests.';

export const checkSource = (source: string): void => {
  if (source.length > DOCUMENT_LIMITS.characters) {
    refuse(
      `${source.length} characters`,
      DOCUMENT_LIMITS.characters,
      'Pass values as variables, or split it into several requests.',
    );
  }
};

// The parser's own errors about size, in the same words. Null: it is another error.
export const describeParserLimit = (error: unknown): DocumentTooLarge | null => {
  if (error instanceof RangeError) {
    return new DocumentTooLarge(
      'This GraphQL document is nested too deeply to be read. Use fewer levels.',
    );
  }
  if (error instanceof Error && /tokens\. Parsing aborted/.test(error.message)) {
    return new DocumentTooLarge(
      `This GraphQL document has more than ${DOCUMENT_LIMITS.tokens} tokens, which is the limit. Pass values as variables, or split it into several requests.`,
    );
  }

  return null;
};

type Size = { selections: number; depth: number };

// Sizes with all spreads replaced. Each fragment is measured once, so the time is linear in the document, however much it expands to.
class Measure {
  private readonly fragments: ReadonlyMap<string, Definition>;
  private readonly known = new Map<string, Size | 'in progress'>();

  constructor(fragments: ReadonlyMap<string, Definition>) {
    this.fragments = fragments;
  }

  of({ selectionSet }: Definition): Size {
    return this.ofSet(selectionSet, 0);
  }

  private ofSet(set: SelectionSet | undefined, level: number): Size {
    if (level > DOCUMENT_LIMITS.nesting) {
      refuse(
        `selection sets that are nested more than ${DOCUMENT_LIMITS.nesting} times`,
        DOCUMENT_LIMITS.nesting,
        'Use fewer levels.',
      );
    }
    const total = { selections: 0, depth: 0 };

    for (const selection of set?.selections ?? []) {
      const inner =
        selection.kind === 'FragmentSpread'
          ? this.ofFragment(selection.name?.value ?? '')
          : this.ofSet(selection.selectionSet, level + 1);
      const own = selection.kind === 'Field' ? 1 : 0;

      total.selections += 1 + inner.selections;
      total.depth = Math.max(total.depth, own + inner.depth);
    }

    return total;
  }

  private ofFragment(name: string): Size {
    const known = this.known.get(name);

    if (known === 'in progress') {
      throw new DocumentTooLarge(
        `This GraphQL document has a fragment that contains itself ("${name}"). Remove the spread.`,
      );
    }
    if (known !== undefined) {
      return known;
    }
    const fragment = this.fragments.get(name);

    // a fragment that is missing is a matter of validation
    if (fragment === undefined) {
      return { selections: 0, depth: 0 };
    }
    this.known.set(name, 'in progress');
    const size = this.of(fragment);

    this.known.set(name, size);

    return size;
  }
}

// Fields of the same response name, which validation compares with each other and execution merges.
type Merged = { names: Set<string>; sets: SelectionSet[]; count: number };

// The document as it would be executed. Only called where the number of selections is known to be small.
class Walk {
  private readonly fragments: ReadonlyMap<string, Definition>;
  private aliases = 0;
  private introspections = 0;

  constructor(fragments: ReadonlyMap<string, Definition>) {
    this.fragments = fragments;
  }

  check({ kind, selectionSet }: Definition) {
    const root = this.merge(selectionSet === undefined ? [] : [selectionSet]);

    if (kind === 'OperationDefinition') {
      if (root.size > DOCUMENT_LIMITS.rootFields) {
        refuse(`${root.size} root fields`, DOCUMENT_LIMITS.rootFields, SPLIT);
      }
      for (const merged of root.values()) {
        this.checkIntrospection(merged);
      }
    }
    this.checkBelow(root);
  }

  private merge(sets: readonly SelectionSet[]): Map<string, Merged> {
    const found = new Map<string, Merged>();
    const add = ({ selections }: SelectionSet) => {
      for (const selection of selections) {
        if (selection.kind === 'Field') {
          this.add(found, selection);
          continue;
        }
        const set =
          selection.kind === 'FragmentSpread'
            ? this.fragments.get(selection.name?.value ?? '')?.selectionSet
            : selection.selectionSet;

        if (set !== undefined) {
          add(set);
        }
      }
    };

    sets.forEach(add);

    return found;
  }

  private add(found: Map<string, Merged>, field: Selection) {
    const name = field.name?.value ?? '';
    const responseName = field.alias?.value ?? name;
    const merged = found.get(responseName) ?? {
      names: new Set<string>(),
      sets: [],
      count: 0,
    };

    merged.names.add(name);
    merged.count += 1;
    if (field.selectionSet !== undefined) {
      merged.sets.push(field.selectionSet);
    }
    found.set(responseName, merged);
    if (merged.count > DOCUMENT_LIMITS.sameName) {
      refuse(
        `the field "${responseName}" more than ${DOCUMENT_LIMITS.sameName} times in one place`,
        DOCUMENT_LIMITS.sameName,
        'Remove the repetitions.',
      );
    }
    if (responseName !== name) {
      this.aliases += 1;
      if (this.aliases > DOCUMENT_LIMITS.aliases) {
        refuse(
          `more than ${DOCUMENT_LIMITS.aliases} aliases`,
          DOCUMENT_LIMITS.aliases,
          SPLIT,
        );
      }
    }
  }

  private checkBelow(level: ReadonlyMap<string, Merged>) {
    for (const { sets } of level.values()) {
      if (sets.length > 0) {
        this.checkBelow(this.merge(sets));
      }
    }
  }

  // Types have fields that have types: each further list multiplies the answer, and so does each alias.
  private checkIntrospection({ names, sets }: Merged) {
    const isSchema = names.has('__schema');

    if (!isSchema && !names.has('__type')) {
      return;
    }
    this.introspections += isSchema ? DOCUMENT_LIMITS.introspections : 1;
    if (this.introspections > DOCUMENT_LIMITS.introspections) {
      refuse(
        `"__schema" beside other introspection, or "__type" more than ${DOCUMENT_LIMITS.introspections} times`,
        DOCUMENT_LIMITS.introspections,
        SPLIT,
      );
    }
    this.checkTypes(sets, isSchema ? 1 : 2);
  }

  private checkTypes(sets: readonly SelectionSet[], listsLeft: number) {
    for (const [responseName, merged] of this.merge(sets)) {
      if (!merged.names.has(responseName) || merged.names.size > 1) {
        throw new DocumentTooLarge(
          `This GraphQL document has an alias inside introspection ("${responseName}"). Remove it.`,
        );
      }
      const left = LISTS_OF_TYPES.has(responseName) ? listsLeft - 1 : listsLeft;

      if (left < 0) {
        throw new DocumentTooLarge(
          `This GraphQL document asks for the fields of the types of fields ("${responseName}"). Ask for one type at a time by "__type".`,
        );
      }
      this.checkTypes(merged.sets, left);
    }
  }
}

/**
 * Refuses what would cost validation or execution more than the page's own documents do. Throws `DocumentTooLarge`.
 * Its own time is bounded by the document, not by what the document expands to.
 */
export const checkDocument = ({ definitions }: Document): void => {
  const fragments = new Map(
    definitions
      .filter(({ kind }) => kind === 'FragmentDefinition')
      .map((fragment) => [fragment.name?.value ?? '', fragment]),
  );
  const executable = definitions.filter(
    ({ selectionSet }) => selectionSet !== undefined,
  );
  const operations = executable.filter(
    ({ kind }) => kind === 'OperationDefinition',
  ).length;

  if (operations > DOCUMENT_LIMITS.operations) {
    refuse(`${operations} operations`, DOCUMENT_LIMITS.operations, SPLIT);
  }
  if (executable.length - operations > DOCUMENT_LIMITS.fragments) {
    refuse(
      `${executable.length - operations} fragments`,
      DOCUMENT_LIMITS.fragments,
      SPLIT,
    );
  }
  const measure = new Measure(fragments);
  let ofAll = 0;

  for (const definition of executable) {
    const { selections, depth } = measure.of(definition);

    ofAll += selections;
    if (depth > DOCUMENT_LIMITS.depth) {
      refuse(`${depth} levels`, DOCUMENT_LIMITS.depth, 'Ask for fewer levels.');
    }
    if (
      selections > DOCUMENT_LIMITS.selections ||
      ofAll > DOCUMENT_LIMITS.selectionsOfAllDefinitions
    ) {
      refuse(
        'too many fields after its fragments are expanded',
        DOCUMENT_LIMITS.selections,
        SPLIT,
      );
    }
  }
  for (const definition of executable) {
    new Walk(fragments).check(definition);
  }
};
