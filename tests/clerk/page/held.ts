// The types that recorded answers are held to: Clerk's own, from @clerk/types (browser) and @clerk/backend (servers, webhooks).
// An answer is written as a literal of its type, so a missing field, a wrong one and one too many are all errors.
//
// Where the published types and what Clerk sends differ, the difference is named here, and only here.
import type * as Backend from '@clerk/backend';
import type { WebhookEvent } from '@clerk/backend/webhooks';
import type * as Browser from '@clerk/types';

// Types promise strings and errors in every verification; Clerk's clients take null, and one that an administrator made has none.
type Verification = { object: string; status: string; strategy: string; attempts: number | null; expire_at: number | null };
type EmailAddress = {
  id: string;
  object: 'email_address';
  email_address: string;
  reserved: boolean;
  verification: Verification | null;
  linked_to: never[];
  matches_sso_connection: boolean;
  created_at: number;
  updated_at: number;
};
// An instance lists every social provider that there is, each with `enabled`; here there are none.
// The environment's settings have `id: never; object: never`: a value cannot have them.
type Unnamed<T> = { [K in keyof Omit<T, 'id' | 'object'>]: K extends 'social' ? Record<string, never> : Held<T[K]> };
// The browser's types give tokens an id; the backend's, and Clerk, do not.
type Token = Backend.TokenJSON;
type Role = { role_name: string }; // sent by both APIs, in the types of one

type Replaced<T> = T extends Browser.EmailAddressJSON | Backend.EmailAddressJSON
  ? EmailAddress
  : T extends Browser.OrganizationSettingsJSON | Browser.UserSettingsJSON
    ? Unnamed<T>
    : T extends Browser.TokenJSON
      ? Token
      : T extends Backend.OrganizationMembershipJSON
        ? { [K in keyof T]: Held<T[K]> } & Role
        : { [K in keyof T]: Held<T[K]> };

export type Held<T> = T extends (infer U)[] ? Held<U>[] : T extends object ? Replaced<T> : T;

type Envelope<T> = { response: Held<T>; client: Held<Browser.ClientJSON> | null };
type Page<T> = { response: { data: Held<T>[]; total_count: number }; client: null };
type Listed<T> = { data: Held<T>[]; total_count: number };
// Clerk says whether an instance is in test mode; the types do not.
type Environment = Omit<Held<Browser.EnvironmentJSON>, 'auth_config'> & { auth_config: Held<Browser.EnvironmentJSON['auth_config']> & { test_mode: boolean } };
// Sessions that ended carry no token, and their person may be gone.
type Ended = Omit<Browser.SessionJSON, 'last_active_token'> & { last_active_token: null };
type Payload<E, W = WebhookEvent> = W extends { type: infer T; data: infer D } ? (E extends T ? Omit<W, 'type' | 'data'> & { type: E; data: Held<D> } : never) : never;
type Event<E extends WebhookEvent['type']> = Payload<E> & { instance_id: string; timestamp: number };
// The types call it sign_in_attempt or sign_in; the backend's enumeration has a name for verified ones only.
type SignIn = Omit<Browser.SignInJSON, 'user_data'> & { user_data: Browser.UserDataJSON };
// The browser's types know no way to delete but DeletedObjectJSON; ids of memberships are the organisation's there.
type Deleted = Browser.DeletedObjectJSON;

export interface Answers {
  environment: Environment;
  client: { response: Held<Browser.ClientJSON>; client: null };
  'client of nobody': { response: null; client: null };
  token: Token;
  touch: Envelope<Browser.SessionJSON>;
  end: Envelope<Ended>;
  'sign in': Envelope<SignIn>;
  me: Envelope<Browser.UserJSON>;
  'my memberships': Page<Browser.OrganizationMembershipJSON>;
  'my invitations': Page<Browser.UserOrganizationInvitationJSON>;
  'organization made': Envelope<Browser.OrganizationJSON>;
  'organization deleted': Envelope<Deleted>;
  'member added': Envelope<Browser.OrganizationMembershipJSON>;
  'invitation sent': Envelope<Browser.OrganizationInvitationJSON>;
  roles: Page<Browser.RoleJSON>;
  error: { errors: Browser.ClerkAPIErrorJSON[]; clerk_trace_id: string };
  jwks: { keys: Record<'use' | 'kty' | 'kid' | 'alg' | 'n' | 'e', string>[] }; // JwksJSON is not exported
  user: Held<Backend.UserJSON>;
  users: Held<Backend.UserJSON>[];
  'user count': { object: 'total_count'; total_count: number };
  'user deleted': Backend.DeletedObjectJSON;
  'email address': EmailAddress;
  organization: Held<Backend.OrganizationJSON>;
  organizations: Listed<Backend.OrganizationJSON>;
  memberships: Listed<Backend.OrganizationMembershipJSON>;
  membership: Held<Backend.OrganizationMembershipJSON>;
  invitation: Held<Backend.OrganizationInvitationJSON> & Role & { object: 'organization_invitation' };
  session: Held<Backend.SessionJSON>;
  'sign-in token': Backend.SignInTokenJSON;
  'user.created': Event<'user.created'>;
  'user.updated': Event<'user.updated'>;
  'user.deleted': Event<'user.deleted'>;
  'organization.created': Event<'organization.created'>;
  'organization.updated': Event<'organization.updated'>;
  'organization.deleted': Event<'organization.deleted'>;
  'organizationMembership.created': Event<'organizationMembership.created'>;
  'organizationMembership.updated': Event<'organizationMembership.updated'>;
  'organizationMembership.deleted': Event<'organizationMembership.deleted'>;
  'session.created': Event<'session.created'>;
  'session.removed': Event<'session.removed'>;
  'organizationInvitation.created': Event<'organizationInvitation.created'> & { data: Role };
}
