import { GraphQLError } from 'graphql';

// `code` is what a client branches on; `subCode` the finer reason, as upstream's API answers it.
type Code =
  | 'UNAUTHENTICATED'
  | 'FORBIDDEN'
  | 'BAD_USER_INPUT'
  | 'NOT_FOUND'
  | 'CONFLICT'
  | 'INTERNAL_SERVER_ERROR'
  | 'METADATA_VALIDATION_FAILED';

export const apiError = (code: Code, message: string, extensions: Record<string, unknown> = {}): GraphQLError =>
  new GraphQLError(message, { extensions: { userFriendlyMessage: message, ...extensions, code } });

// What a guard answers to a caller without the token that it wants: an internal error by code, told apart by its text.
export const forbiddenResource = (): GraphQLError =>
  apiError('INTERNAL_SERVER_ERROR', 'Forbidden resource', { userFriendlyMessage: 'An error occurred.' });

export const permissionDenied = (): GraphQLError =>
  apiError('FORBIDDEN', 'Entity performing the request does not have permission', { subCode: 'PERMISSION_DENIED' });
