// SPDX-License-Identifier: AGPL-3.0-only

import {
  type DocumentNode,
  GraphQLError,
  type GraphQLSchema,
  type parse,
  type validate,
} from 'graphql';
import { type Plugin, type YogaServerOptions } from 'graphql-yoga';
import { LRUCache } from 'lru-cache';

import {
  checkDocument,
  checkSource,
  describeParserLimit,
  DOCUMENT_LIMITS,
  DocumentTooLarge,
} from 'src/api-limits/pure/document-limits';

type ParserCache = Exclude<
  YogaServerOptions<object, object>['parserAndValidationCache'],
  boolean | undefined
>;
type Errors = ReturnType<typeof validate>;

// A token and what hangs on it take about 350 bytes: 20 MB for each of the two endpoints.
const KEPT_TOKENS = 60_000;
const KEPT_TOKENS_OF_ONE = 6_000;

const refusal = (error: unknown) =>
  error instanceof DocumentTooLarge
    ? new GraphQLError(error.message, {
        extensions: { code: 'BAD_USER_INPUT', http: { status: 400 } },
      })
    : error;

const orRefuse = <Result>(work: () => Result): Result => {
  try {
    return work();
  } catch (error) {
    throw refusal(error);
  }
};

const parseWithin =
  (parseFn: typeof parse): typeof parse =>
  (source, options) =>
    parseFn(source, { ...options, maxTokens: DOCUMENT_LIMITS.tokens });

/** Refuses documents that are too large: before they are parsed by their length, before they are validated by what they expand to. */
export const limitDocuments = (): Plugin => {
  const checked = new WeakSet<DocumentNode>();
  const validated = new WeakMap<GraphQLSchema, WeakMap<DocumentNode, Errors>>();

  // upstream's error handler validates each request anew, besides the validation whose result is kept
  const validateOnce =
    (validateFn: typeof validate): typeof validate =>
    (schema, document, rules, ...more) => {
      if (rules !== undefined) {
        return validateFn(schema, document, rules, ...more);
      }
      const ofSchema =
        validated.get(schema) ?? new WeakMap<DocumentNode, Errors>();
      const errors =
        ofSchema.get(document) ?? validateFn(schema, document, rules, ...more);

      validated.set(schema, ofSchema.set(document, errors));

      return errors;
    };

  const checkParsed = (result: DocumentNode | Error | null) => {
    if (result instanceof Error) {
      const limit = describeParserLimit(result);

      if (limit !== null) {
        throw limit;
      }
    } else if (result !== null && !checked.has(result)) {
      checkDocument(result);
      checked.add(result);
    }
  };

  return {
    onParse({ params, parseFn, setParseFn }) {
      orRefuse(() =>
        checkSource(
          typeof params.source === 'string' ? params.source : params.source.body,
        ),
      );
      setParseFn(parseWithin(parseFn));

      return ({ result }) => {
        // thrown here, for the library gives a parser's error the status 200
        orRefuse(() => checkParsed(result));
      };
    },

    onValidate({ validateFn, setValidationFn }) {
      setValidationFn(validateOnce(validateFn));
    },
  };
};

const tokensOf = (document: DocumentNode): number => {
  let tokens = 1;

  for (let token = document.loc?.startToken; token; token = token.next ?? undefined) {
    tokens += 1;
  }

  return tokens;
};

/** Documents by their size; the library's own cache counts them only. Errors are not kept: each holds its whole source. */
export const documentCache = (): ParserCache => ({
  documentCache: new LRUCache<string, DocumentNode>({
    max: 1_000,
    maxSize: KEPT_TOKENS,
    maxEntrySize: KEPT_TOKENS_OF_ONE,
    sizeCalculation: tokensOf,
  }),
  errorCache: { get: () => undefined, set: () => undefined },
});
