import { type Document } from '../../files/twenty/overlay/packages/twenty-server/src/api-limits/pure/document-limits';

type Node = { kind: string; name?: { value: string }; alias?: { value: string }; selectionSet?: { selections: Node[] } };

// Documents as graphql parses them, as far as their size goes: names, aliases, spreads, inline fragments, braces.
export const read = (text: string): Document => {
  const tokens = text.match(/\.\.\.|[\w]+|[{}:]/g) ?? [];
  let at = 0;
  const set = () => {
    const selections: Node[] = [];
    at += 1;
    while (tokens[at] !== '}') {
      selections.push(selection());
    }
    at += 1;

    return { selections };
  };
  const selection = (): Node => {
    if (tokens[at] === '...') {
      at += 1;
      if (tokens[at] === 'on') {
        at += 2;

        return { kind: 'InlineFragment', selectionSet: set() };
      }

      return { kind: 'FragmentSpread', name: { value: tokens[at++] } };
    }
    const first = { value: tokens[at++] };
    const isAlias = tokens[at] === ':';
    const name = isAlias ? { value: tokens[at + 1] } : first;
    at += isAlias ? 2 : 0;

    return { kind: 'Field', name, ...(isAlias ? { alias: first } : {}), ...(tokens[at] === '{' ? { selectionSet: set() } : {}) };
  };
  const definitions: (Node & { selectionSet: { selections: Node[] } })[] = [];

  while (at < tokens.length) {
    if (tokens[at] === 'fragment') {
      const name = { value: tokens[at + 1] };
      at += 4;
      definitions.push({ kind: 'FragmentDefinition', name, selectionSet: set() });
    } else {
      at += tokens[at] === '{' ? 0 : 1;
      definitions.push({ kind: 'OperationDefinition', selectionSet: set() });
    }
  }

  return { definitions };
};
