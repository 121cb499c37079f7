// SPDX-License-Identifier: AGPL-3.0-only
import { type WorkspaceResolverBuilderFactoryInterface } from 'src/engine/api/graphql/workspace-resolver-builder/interfaces/workspace-resolver-builder-factory.interface';
import { type Resolver } from 'src/engine/api/graphql/workspace-resolver-builder/interfaces/workspace-resolvers-builder.interface';
import { type WorkspaceSchemaBuilderContext } from 'src/engine/api/graphql/workspace-schema-builder/interfaces/workspace-schema-builder-context.interface';

import { ForbiddenError } from 'src/engine/core-modules/graphql/utils/graphql-errors.util';

/**
 * A resolver of a workspace's schema that acts for whoever sends the request. Upstream's acts for whoever the schema was
 * made for, which gives all API keys of a workspace the rights of the first that asked.
 */
export const actForCaller = (
  factory: WorkspaceResolverBuilderFactoryInterface,
  { authContext: madeFor, ...schema }: WorkspaceSchemaBuilderContext,
): Resolver => {
  const workspaceId = madeFor.workspace?.id;

  return async (source, args, context, info) => {
    const { user, workspace, apiKey, workspaceMemberId, userWorkspaceId } =
      context.req;

    if (!workspaceId || workspace?.id !== workspaceId) {
      throw new ForbiddenError('This schema belongs to another workspace');
    }

    const resolver = factory.create({
      ...schema,
      authContext: {
        user,
        workspace,
        apiKey,
        workspaceMemberId,
        userWorkspaceId,
      },
    });

    return resolver(source, args, context, info);
  };
};
