// SPDX-License-Identifier: AGPL-3.0-only

export type JsonFields = Record<string, unknown>;

const DEEPEST = 8;
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]/g;

// Two parsers may take different values of a key that stands twice: such an object is none. The text is JSON already.
const hasDoubtfulStructure = (text: string): boolean => {
  const open: Array<Set<string> | null> = [];
  const tokens = text.match(TOKENS) ?? [];

  for (let index = 0; index < tokens.length; index += 1) {
    const token = tokens[index] ?? '';

    if (token === '{' || token === '[') {
      open.push(token === '{' ? new Set() : null);
      if (open.length > DEEPEST) {
        return true;
      }
    } else if (token === '}' || token === ']') {
      open.pop();
    } else if (token.startsWith('"') && tokens[index + 1] === ':') {
      const key = String(JSON.parse(token));
      const seen = open[open.length - 1];

      if (seen?.has(key)) {
        return true;
      }
      seen?.add(key);
    }
  }

  return false;
};

export const isFields = (value: unknown): value is JsonFields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

// One JSON object, no key twice, not nested deeper than 8. Undefined: anything else.
export const parseStrictObject = (text: string): JsonFields | undefined => {
  try {
    const value: unknown = JSON.parse(text);

    return isFields(value) && !hasDoubtfulStructure(text) ? value : undefined;
  } catch {
    return undefined;
  }
};

export const hasField = (fields: JsonFields, name: string): boolean =>
  Object.prototype.hasOwnProperty.call(fields, name);

// Own fields only: __proto__ and what an object inherits are never claims.
export const fieldOf = (fields: JsonFields, name: string): unknown =>
  hasField(fields, name) ? fields[name] : undefined;
