import { createSchema } from 'graphql-yoga';

import { getConfig } from '../../config';
import * as authService from '../core-modules/auth/auth.service';
import {
  type AuthContext,
  requireSettingsPermission,
  requireUser,
  requireWorkspace,
  type Workspace,
} from '../core-modules/auth/context';
import { database, quoteName } from '../core-modules/database';
import { apiError } from '../errors';
import * as metadata from '../metadata-modules/metadata.service';
import { type Field, FIELD_TYPES, loadModel, type Model, type ModelObject, type ObjectWithFields, relationTypeOf, schemaName } from '../metadata-modules/model';
import { DateTimeScalar, JSONScalar, UUIDScalar } from './scalars';

// `model` is what this request has read of the workspace's model; a mutation drops it.
export type ApiContext = { auth: AuthContext; model?: Promise<Model> };

const FIELD_INPUT = `
  label: String
  name: String
  description: String
  icon: String
  isActive: Boolean
  isSystem: Boolean
  isUIReadOnly: Boolean
  isNullable: Boolean
  isUnique: Boolean
  isLabelSyncedWithName: Boolean
  defaultValue: JSON
  options: JSON
  settings: JSON`;

const OBJECT_INPUT = `
  description: String
  icon: String
  shortcut: String
  isLabelSyncedWithName: Boolean`;

const typeDefs = /* GraphQL */ `
  scalar UUID
  scalar DateTime
  scalar JSON

  enum FieldMetadataType { ${FIELD_TYPES.join(' ')} }
  enum RelationType { MANY_TO_ONE ONE_TO_MANY }
  enum WorkspaceActivationStatus { ONGOING_CREATION PENDING_CREATION ACTIVE INACTIVE SUSPENDED }

  type AuthToken { token: String! expiresAt: DateTime! }
  type AuthTokenPair { accessOrWorkspaceAgnosticToken: AuthToken! refreshToken: AuthToken! }
  type AuthTokens { tokens: AuthTokenPair! }
  type LoginToken { loginToken: AuthToken! }
  type ApiKeyToken { token: String! }
  type WorkspaceUrls { customUrl: String subdomainUrl: String! }
  type WorkspaceUrlsAndId { id: UUID! workspaceUrls: WorkspaceUrls! }
  type SignUpOutput { loginToken: AuthToken! workspace: WorkspaceUrlsAndId! }
  type SSOConnection { id: UUID! name: String! }
  type AvailableWorkspace {
    id: UUID! displayName: String loginToken: String personalInviteToken: String inviteHash: String
    workspaceUrls: WorkspaceUrls! logo: String sso: [SSOConnection!]!
  }
  type AvailableWorkspaces {
    availableWorkspacesForSignIn: [AvailableWorkspace!]!
    availableWorkspacesForSignUp: [AvailableWorkspace!]!
  }
  type AvailableWorkspacesAndAccessTokensOutput { tokens: AuthTokenPair! availableWorkspaces: AvailableWorkspaces! }
  type CheckUserExistOutput { exists: Boolean! availableWorkspacesCount: Float! isEmailVerified: Boolean! }
  type AuthProviders { google: Boolean! magicLink: Boolean! password: Boolean! microsoft: Boolean! sso: [SSOConnection!]! }
  type PublicWorkspaceDataOutput {
    id: UUID! displayName: String logo: String workspaceUrls: WorkspaceUrls! authProviders: AuthProviders!
  }

  type Workspace {
    id: UUID! displayName: String logo: String inviteHash: String activationStatus: WorkspaceActivationStatus!
    subdomain: String! version: String metadataVersion: Float! workspaceUrls: WorkspaceUrls!
    createdAt: DateTime! updatedAt: DateTime!
  }
  type FullName { firstName: String! lastName: String! }
  type WorkspaceMember { id: UUID! name: FullName! userEmail: String! }
  type User {
    id: UUID! email: String! firstName: String! lastName: String! isEmailVerified: Boolean!
    canImpersonate: Boolean! canAccessFullAdminPanel: Boolean!
    workspaceMember: WorkspaceMember currentWorkspace: Workspace
  }
  type Role {
    id: UUID! standardId: UUID label: String! description: String icon: String isEditable: Boolean!
    canBeAssignedToUsers: Boolean! canBeAssignedToAgents: Boolean! canBeAssignedToApiKeys: Boolean!
    canUpdateAllSettings: Boolean! canAccessAllTools: Boolean! canReadAllObjectRecords: Boolean!
    canUpdateAllObjectRecords: Boolean! canSoftDeleteAllObjectRecords: Boolean! canDestroyAllObjectRecords: Boolean!
  }
  type ApiKey { id: UUID! name: String! expiresAt: DateTime! revokedAt: DateTime role: Role! }

  type Relation {
    type: RelationType!
    sourceObjectMetadata: Object! targetObjectMetadata: Object!
    sourceFieldMetadata: Field! targetFieldMetadata: Field!
  }
  type Field {
    id: UUID! type: FieldMetadataType! name: String! label: String! description: String icon: String
    isCustom: Boolean isActive: Boolean isSystem: Boolean isUIReadOnly: Boolean isNullable: Boolean isUnique: Boolean
    defaultValue: JSON options: JSON settings: JSON isLabelSyncedWithName: Boolean
    createdAt: DateTime! updatedAt: DateTime! relation: Relation object: Object
  }
  type Object {
    id: UUID! nameSingular: String! namePlural: String! labelSingular: String! labelPlural: String!
    description: String icon: String shortcut: String
    isCustom: Boolean! isRemote: Boolean! isActive: Boolean! isSystem: Boolean! isUIReadOnly: Boolean!
    isSearchable: Boolean! isLabelSyncedWithName: Boolean!
    labelIdentifierFieldMetadataId: UUID imageIdentifierFieldMetadataId: UUID
    createdAt: DateTime! updatedAt: DateTime!
    fieldsList: [Field!]!
  }
  type PageInfo { hasNextPage: Boolean hasPreviousPage: Boolean startCursor: String endCursor: String }
  type ObjectEdge { node: Object! cursor: String! }
  type ObjectConnection { pageInfo: PageInfo! edges: [ObjectEdge!]! }
  type FieldEdge { node: Field! cursor: String! }
  type FieldConnection { pageInfo: PageInfo! edges: [FieldEdge!]! }

  input CursorPaging { before: String after: String first: Int last: Int }
  input BooleanFieldComparison { is: Boolean isNot: Boolean }
  input UUIDFilterComparison { eq: UUID in: [UUID!] }
  input ObjectFilter {
    id: UUIDFilterComparison isCustom: BooleanFieldComparison isRemote: BooleanFieldComparison
    isActive: BooleanFieldComparison isSystem: BooleanFieldComparison
  }
  input FieldFilter {
    id: UUIDFilterComparison isCustom: BooleanFieldComparison isActive: BooleanFieldComparison
    isSystem: BooleanFieldComparison
  }

  input ActivateWorkspaceInput { displayName: String }
  input CreateApiKeyInput { name: String! expiresAt: String! revokedAt: String roleId: UUID! }
  input RevokeApiKeyInput { id: UUID! }
  input CreateObjectInput {
    nameSingular: String! namePlural: String! labelSingular: String! labelPlural: String! isRemote: Boolean
    ${OBJECT_INPUT}
  }
  input CreateOneObjectInput { object: CreateObjectInput! }
  input UpdateObjectPayload {
    nameSingular: String namePlural: String labelSingular: String labelPlural: String isActive: Boolean
    labelIdentifierFieldMetadataId: UUID imageIdentifierFieldMetadataId: UUID ${OBJECT_INPUT}
  }
  input UpdateOneObjectInput { id: UUID! update: UpdateObjectPayload! }
  input DeleteOneObjectInput { id: UUID! }
  input CreateFieldInput {
    objectMetadataId: UUID! type: FieldMetadataType! isCustom: Boolean isRemoteCreation: Boolean
    relationCreationPayload: JSON morphRelationsCreationPayload: [JSON!]
    ${FIELD_INPUT.replace('label: String', 'label: String!').replace('name: String', 'name: String!')}
  }
  input CreateOneFieldMetadataInput { field: CreateFieldInput! }
  input UpdateFieldInput { objectMetadataId: UUID ${FIELD_INPUT} }
  input UpdateOneFieldMetadataInput { id: UUID! update: UpdateFieldInput! }
  input DeleteOneFieldInput { id: UUID! }

  type Query {
    checkUserExists(email: String!, captchaToken: String): CheckUserExistOutput!
    getPublicWorkspaceDataByDomain(origin: String): PublicWorkspaceDataOutput!
    currentUser: User!
    currentWorkspace: Workspace!
    getRoles: [Role!]!
    apiKeys: [ApiKey!]!
    object(id: UUID!): Object!
    objects(paging: CursorPaging = { first: 10 }, filter: ObjectFilter = {}): ObjectConnection!
    field(id: UUID!): Field!
    fields(paging: CursorPaging = { first: 10 }, filter: FieldFilter = {}): FieldConnection!
  }

  type Mutation {
    signUp(email: String!, password: String!, captchaToken: String, locale: String, verifyEmailRedirectPath: String): AvailableWorkspacesAndAccessTokensOutput!
    signIn(email: String!, password: String!, captchaToken: String, locale: String, verifyEmailRedirectPath: String): AvailableWorkspacesAndAccessTokensOutput!
    signUpInNewWorkspace: SignUpOutput!
    signUpInWorkspace(email: String!, password: String!, workspaceId: UUID, workspaceInviteHash: String, workspacePersonalInviteToken: String, captchaToken: String, locale: String, verifyEmailRedirectPath: String): SignUpOutput!
    getLoginTokenFromCredentials(email: String!, password: String!, origin: String!, captchaToken: String, locale: String, verifyEmailRedirectPath: String): LoginToken!
    getAuthTokensFromLoginToken(loginToken: String!, origin: String!): AuthTokens!
    renewToken(appToken: String!): AuthTokens!
    activateWorkspace(data: ActivateWorkspaceInput!): Workspace!
    createApiKey(input: CreateApiKeyInput!): ApiKey!
    revokeApiKey(input: RevokeApiKeyInput!): ApiKey
    generateApiKeyToken(apiKeyId: UUID!, expiresAt: String!): ApiKeyToken!
    createOneObject(input: CreateOneObjectInput!): Object!
    updateOneObject(input: UpdateOneObjectInput!): Object!
    deleteOneObject(input: DeleteOneObjectInput!): Object!
    createOneField(input: CreateOneFieldMetadataInput!): Field!
    updateOneField(input: UpdateOneFieldMetadataInput!): Field!
    deleteOneField(input: DeleteOneFieldInput!): Field!
  }
`;

type Paging = { before?: string; after?: string; first?: number; last?: number };
type Comparison = { is?: boolean; isNot?: boolean; eq?: string; in?: string[] };

const MAX_PAGE = 1000;
const DEFAULT_PAGE = 10;

const matches = (value: unknown, { is, isNot, eq, in: among }: Comparison): boolean =>
  (is === undefined || value === is) &&
  (isNot === undefined || value !== isNot) &&
  (eq === undefined || value === eq) &&
  (among === undefined || among.includes(String(value)));

const page = <T extends { id: string }>(items: T[], paging: Paging, filter: Record<string, Comparison>) => {
  const kept = items.filter((item) =>
    Object.entries(filter).every(([key, comparison]) => matches(item[key as keyof T], comparison)),
  );
  const size = paging.first ?? paging.last ?? DEFAULT_PAGE;
  if (size > MAX_PAGE) throw apiError('BAD_USER_INPUT', `Limit queries to ${MAX_PAGE} records, but requested ${size}`);
  const start = paging.after ? kept.findIndex(({ id }) => id === paging.after) + 1 : 0;
  const end = paging.before ? kept.findIndex(({ id }) => id === paging.before) : kept.length;
  const window = kept.slice(start, end);
  const shown = paging.last === undefined ? window.slice(0, size) : window.slice(-size);
  const first = shown[0];
  return {
    edges: shown.map((node) => ({ node, cursor: node.id })),
    pageInfo: {
      hasNextPage: shown.length > 0 && kept.at(-1) !== shown.at(-1),
      hasPreviousPage: shown.length > 0 && kept[0] !== first,
      startCursor: first?.id ?? null,
      endCursor: shown.at(-1)?.id ?? null,
    },
  };
};

const modelOf = (context: ApiContext): Promise<Model> =>
  (context.model ??= loadModel(requireWorkspace(context.auth).id));

const changing = async (context: ApiContext): Promise<string> => {
  context.model = undefined;
  return (await requireSettingsPermission(context.auth)).id;
};

const found = <T>(item: T | undefined): T => {
  if (!item) throw apiError('NOT_FOUND', 'Unable to find the item with this id');
  return item;
};

type Args<T> = [parent: unknown, args: T, context: ApiContext];

const Query = {
  checkUserExists: (...[, { email }]: Args<{ email: string }>) => authService.checkUserExists(email),
  getPublicWorkspaceDataByDomain: async (...[, { origin }]: Args<{ origin?: string }>) => ({
    ...(await authService.workspaceByOrigin(origin ?? '')),
    authProviders: { google: false, magicLink: false, password: getConfig().isPasswordAuthEnabled, microsoft: false, sso: [] },
  }),
  currentUser: (...[, , { auth }]: Args<object>) => ({ ...requireUser(auth), currentWorkspace: auth.workspace ?? null }),
  currentWorkspace: (...[, , { auth }]: Args<object>) => requireWorkspace(auth),
  getRoles: async (...[, , { auth }]: Args<object>) => {
    const { id } = await requireSettingsPermission(auth);
    return (await database().query('SELECT * FROM "core"."role" WHERE "workspaceId" = $1 ORDER BY "label"', [id])).rows;
  },
  apiKeys: async (...[, , { auth }]: Args<object>) => {
    const { id } = await requireSettingsPermission(auth);
    const { rows } = await database().query(
      'SELECT * FROM "core"."apiKey" WHERE "workspaceId" = $1 AND "revokedAt" IS NULL ORDER BY "createdAt"',
      [id],
    );
    return rows;
  },
  object: async (...[, { id }, context]: Args<{ id: string }>) => found((await modelOf(context)).objectById.get(id)),
  objects: async (...[, { paging, filter }, context]: Args<{ paging: Paging; filter: Record<string, Comparison> }>) =>
    page((await modelOf(context)).objects, paging, filter),
  field: async (...[, { id }, context]: Args<{ id: string }>) => found((await modelOf(context)).fieldById.get(id)),
  fields: async (...[, { paging, filter }, context]: Args<{ paging: Paging; filter: Record<string, Comparison> }>) =>
    page([...(await modelOf(context)).fieldById.values()], paging, filter),
};

type Credentials = { email: string; password: string };

const Mutation = {
  signUp: (...[, { email, password }]: Args<Credentials>) => authService.signUp(email, password),
  signIn: (...[, { email, password }]: Args<Credentials>) => authService.signIn(email, password),
  signUpInNewWorkspace: (...[, , { auth }]: Args<object>) =>
    authService.signUpInNewWorkspace(requireUser(auth), auth.authProvider ?? 'password'),
  signUpInWorkspace: (...[, args]: Args<Credentials & { workspaceInviteHash?: string }>) =>
    authService.signUpInWorkspace(args),
  getLoginTokenFromCredentials: (...[, { email, password, origin }]: Args<Credentials & { origin: string }>) =>
    authService.loginTokenFromCredentials(email, password, origin),
  getAuthTokensFromLoginToken: (...[, { loginToken, origin }]: Args<{ loginToken: string; origin: string }>) =>
    authService.tokensFromLoginToken(loginToken, origin),
  renewToken: (...[, { appToken }]: Args<{ appToken: string }>) => authService.renewTokens(appToken),
  activateWorkspace: (...[, { data }, { auth }]: Args<{ data: { displayName?: string } }>) =>
    authService.activateWorkspace(requireUser(auth), requireWorkspace(auth), data.displayName),
  createApiKey: async (...[, { input }, { auth }]: Args<{ input: { name: string; expiresAt: string; roleId: string } }>) =>
    authService.createApiKey((await requireSettingsPermission(auth)).id, input),
  revokeApiKey: async (...[, { input }, { auth }]: Args<{ input: { id: string } }>) => {
    const { id } = await requireSettingsPermission(auth);
    const { rows } = await database().query(
      'UPDATE "core"."apiKey" SET "revokedAt" = now() WHERE "id" = $1 AND "workspaceId" = $2 RETURNING *',
      [input.id, id],
    );
    return rows[0] ?? null;
  },
  generateApiKeyToken: async (...[, { apiKeyId, expiresAt }, { auth }]: Args<{ apiKeyId: string; expiresAt: string }>) =>
    authService.generateApiKeyToken((await requireSettingsPermission(auth)).id, apiKeyId, expiresAt),
  createOneObject: async (...[, { input }, context]: Args<{ input: { object: metadata.CreateObjectInput } }>) =>
    metadata.createObject(await changing(context), input.object),
  updateOneObject: async (...[, { input }, context]: Args<{ input: { id: string; update: Partial<ModelObject> } }>) =>
    metadata.updateObject(await changing(context), input.id, input.update),
  deleteOneObject: async (...[, { input }, context]: Args<{ input: { id: string } }>) =>
    metadata.deleteObject(await changing(context), input.id),
  createOneField: async (...[, { input }, context]: Args<{ input: { field: metadata.CreateFieldInput } }>) =>
    metadata.createField(await changing(context), input.field),
  updateOneField: async (...[, { input }, context]: Args<{ input: { id: string; update: Partial<Field> } }>) =>
    metadata.updateField(await changing(context), input.id, input.update),
  deleteOneField: async (...[, { input }, context]: Args<{ input: { id: string } }>) =>
    metadata.deleteField(await changing(context), input.id),
};

const memberOf = async (userId: string, { workspace, workspaceMemberId }: AuthContext) => {
  if (!workspace || !workspaceMemberId) return null;
  const { rows } = await database().query(
    `SELECT * FROM ${quoteName(schemaName(workspace.id))}."workspaceMember" WHERE "userId" = $1 AND "deletedAt" IS NULL`,
    [userId],
  );
  const row = rows[0];
  return row ? { ...row, name: { firstName: row.nameFirstName ?? '', lastName: row.nameLastName ?? '' } } : null;
};

export const metadataSchema = createSchema<ApiContext>({
  typeDefs,
  resolvers: {
    UUID: UUIDScalar,
    DateTime: DateTimeScalar,
    JSON: JSONScalar,
    Query,
    Mutation,
    Workspace: { workspaceUrls: (workspace: Workspace) => authService.workspaceUrls(workspace) },
    PublicWorkspaceDataOutput: { workspaceUrls: (workspace: Workspace) => authService.workspaceUrls(workspace) },
    User: { workspaceMember: (user: { id: string }, _args: unknown, { auth }: ApiContext) => memberOf(user.id, auth) },
    ApiKey: {
      role: async ({ id }: { id: string }) => {
        const { rows } = await database().query(
          `SELECT r.* FROM "core"."roleTargets" t JOIN "core"."role" r ON r."id" = t."roleId" WHERE t."apiKeyId" = $1`,
          [id],
        );
        return rows[0];
      },
    },
    Object: {
      fieldsList: async ({ id, fields }: ObjectWithFields, _args: unknown, context: ApiContext) =>
        (await modelOf(context)).objectById.get(id)?.fields ?? fields,
    },
    Field: {
      object: async ({ objectMetadataId }: Field, _args: unknown, context: ApiContext) =>
        (await modelOf(context)).objectById.get(objectMetadataId),
      relation: async (field: Field, _args: unknown, context: ApiContext) => {
        const type = relationTypeOf(field);
        if (!type) return null;
        const model = await modelOf(context);
        return {
          type,
          sourceObjectMetadata: model.objectById.get(field.objectMetadataId),
          sourceFieldMetadata: field,
          targetObjectMetadata: model.objectById.get(field.relationTargetObjectMetadataId ?? ''),
          targetFieldMetadata: model.fieldById.get(field.relationTargetFieldMetadataId ?? ''),
        };
      },
    },
  },
});
