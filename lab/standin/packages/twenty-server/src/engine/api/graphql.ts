import type { Express, NextFunction, Request, Response } from 'express';
import { GraphQLError, GraphQLObjectType, GraphQLSchema, GraphQLString } from 'graphql';
import { createYoga, type Plugin } from 'graphql-yoga';

import { logger } from '../../logger';
import { type AuthContext, authenticate } from '../core-modules/auth/context';
import { forbiddenResource } from '../errors';
import { loadModel } from '../metadata-modules/model';
import { type ApiContext, metadataSchema } from './metadata-schema';
import { buildRecordSchema } from './record-schema';

const log = logger('GraphQL');

type RequestWithAuth = Request & { auth?: AuthContext };
type ServerContext = { req: RequestWithAuth; res: Response };

// A token that does not hold is answered here: 200 with errors and no data, before any operation is looked at.
const hydrate = (request: RequestWithAuth, response: Response, next: NextFunction): void => {
  authenticate(request).then(
    (auth) => {
      request.auth = auth;
      next();
    },
    (error: unknown) => {
      if (!(error instanceof GraphQLError)) {
        next(error);
        return;
      }
      response.status(200).json({ errors: [error.toJSON()] });
    },
  );
};

const CODES: Record<number, string> = {
  400: 'BAD_USER_INPUT',
  401: 'UNAUTHENTICATED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  405: 'METHOD_NOT_ALLOWED',
  409: 'CONFLICT',
};

const statusOf = ({ extensions }: GraphQLError): number => (extensions.http as { status?: number } | undefined)?.status ?? 500;

const withCode = (error: GraphQLError): GraphQLError => {
  const original = error.originalError;
  const expected = original instanceof GraphQLError ? original : error;
  if (expected.extensions.code) return error;
  if (original && !(original instanceof GraphQLError)) log.error(original.stack ?? original.message);
  return new GraphQLError(original?.message ?? error.message, {
    nodes: error.nodes,
    source: error.source,
    positions: error.positions,
    path: error.path,
    extensions: {
      ...error.extensions,
      code: CODES[statusOf(error)] ?? 'INTERNAL_SERVER_ERROR',
      userFriendlyMessage: 'An error occurred.',
    },
  });
};

// Whatever goes wrong while an operation runs leaves with a code.
const errorCodes: Plugin = {
  onExecute: () => ({
    onExecuteDone: ({ result, setResult }) => {
      if (Symbol.asyncIterator in result || !result.errors?.length) return;
      setResult({ ...result, errors: result.errors.map(withCode) });
    },
  }),
};

// Without a workspace there are no objects to ask for: their names are unknown to this schema.
const anonymousSchema = new GraphQLSchema({
  query: new GraphQLObjectType({
    name: 'Query',
    fields: {
      currentWorkspaceId: {
        type: GraphQLString,
        resolve: () => {
          throw forbiddenResource();
        },
      },
    },
  }),
});

const schemas = new Map<string, { version: number; schema: GraphQLSchema }>();

const recordSchema = async ({ req }: ServerContext): Promise<GraphQLSchema> => {
  const workspace = req.auth?.workspace;
  if (!workspace || !['ACTIVE', 'SUSPENDED'].includes(workspace.activationStatus)) return anonymousSchema;
  const model = await loadModel(workspace.id);
  const known = schemas.get(workspace.id);
  if (known?.version === model.version) return known.schema;
  const schema = buildRecordSchema(model);
  schemas.set(workspace.id, { version: model.version, schema });
  return schema;
};

const common = {
  graphiql: false,
  landingPage: false,
  logging: false,
  maskedErrors: false,
  cors: false,
  context: ({ req }: ServerContext): ApiContext => ({ auth: req.auth ?? {} }),
} as const;

export const mountGraphql = (app: Express): void => {
  const metadata = createYoga<ServerContext, ApiContext>({
    ...common,
    plugins: [errorCodes],
    graphqlEndpoint: '/metadata',
    schema: metadataSchema as never,
  });
  const records = createYoga<ServerContext, ApiContext>({
    ...common,
    plugins: [errorCodes],
    graphqlEndpoint: '/graphql',
    schema: (context: ServerContext) => recordSchema(context) as never,
  });
  for (const [path, yoga] of [['/metadata', metadata], ['/graphql', records]] as const) {
    app.use(path, hydrate, (req, res) => yoga(req, res, { req, res }));
  }
};
