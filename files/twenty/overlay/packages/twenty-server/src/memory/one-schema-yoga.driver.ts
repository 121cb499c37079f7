// SPDX-License-Identifier: AGPL-3.0-only
import { getHeapStatistics } from 'node:v8';

import { mergeSchemas } from '@graphql-tools/schema';
import {
  YogaDriver,
  type YogaDriverConfig,
  type YogaDriverServerContext,
} from '@graphql-yoga/nestjs';
import { type Express, type Request, type Response } from 'express';
import { type GraphQLSchema } from 'graphql';
import { createYoga, type YogaInitialContext } from 'graphql-yoga';
import { LRUCache } from 'lru-cache';
import { isDefined } from 'twenty-shared/utils';

import { documentCache, limitDocuments } from 'src/api-limits/document-limits.plugin';
import { limitRootFields, metadataSlots, recordSlots } from 'src/api-limits/record-slots';
import { type Entry, Kept, keepsAtMost } from 'src/memory/pure/kept';

type ServerContext = YogaDriverServerContext<'express'>;

/** Bytes of heap that the schema of one workspace and its resolvers take, measured on 1.11 with the data model applied. */
const SCHEMA_COST = 9 * 2 ** 20;

/**
 * Twenty's GraphQL driver with one schema for a workspace and the version of its metadata; upstream's keeps one for each
 * person in it, for ever. Everybody in a workspace can share a schema, because it holds no identity (`actForCaller`).
 */
export class OneSchemaYogaDriver extends YogaDriver<'express'> {
  private readonly kept = new Kept<GraphQLSchema>(
    new LRUCache<string, Entry<GraphQLSchema>>({
      max: keepsAtMost(getHeapStatistics().heap_size_limit, SCHEMA_COST),
    }),
  );

  protected override registerExpress(
    { conditionalSchema, ...options }: YogaDriverConfig<'express'>,
    { preStartHook }: { preStartHook?: (app: Express) => void } = {},
  ) {
    const app: Express = this.httpAdapterHost.httpAdapter.getInstance();

    preStartHook?.(app);

    const makeSchema = async (context: ServerContext & YogaInitialContext) => {
      const ofWorkspace =
        typeof conditionalSchema === 'function'
          ? await conditionalSchema(context)
          : await conditionalSchema;

      return limitRootFields(
        mergeSchemas({
          schemas: [options.schema, ofWorkspace].filter(isDefined),
        }),
        conditionalSchema ? recordSlots : metadataSlots,
      );
    };

    const yoga = createYoga<ServerContext>({
      ...options,
      graphqlEndpoint: options.path,
      logging: false,
      // first, so that nothing else sees a document that is refused
      plugins: [limitDocuments(), ...(options.plugins ?? [])],
      parserAndValidationCache: documentCache(),
      schema: (context) => {
        // without a schema of the workspace's own (/metadata) everybody is answered by the same one
        const { workspace, workspaceMetadataVersion } = conditionalSchema
          ? context.req
          : {};

        return this.kept.get(
          workspace?.id ?? 'everybody',
          String(workspaceMetadataVersion ?? 0),
          () => makeSchema(context),
        );
      },
    });

    this.yoga = yoga;
    app.use(yoga.graphqlEndpoint, (req: Request, res: Response) =>
      yoga(req, res, { req, res } as ServerContext as never),
    );
  }
}
