// SPDX-License-Identifier: AGPL-3.0-only

// What a visitor without a session may still reach with Clerk on. Everything else that upstream marks as public is
// refused, and so is whatever upstream makes public later: password sign-up, sign-in and reset, invitations, other
// identity providers, checkUserExists, e-mail verification, one-time passwords before sign-in.
const OPEN_TO_STRANGERS = new Map<string, readonly string[] | 'all'>([
  // Settings of the page, without a tenant's name.
  ['ClientConfigController', ['getClientConfig']],
  ['HealthController', 'all'],
  // Signed addresses; their guard checks the signature and the tenant.
  ['FileController', ['getFile']],
  // The schema follows the token; a stranger gets the empty frame.
  ['OpenApiController', 'all'],
  // Answers to its own unguessable addresses, as a person of the workspace has set them up. (Route triggers start functions.)
  ['WorkflowTriggerController', 'all'],
  // Connecting a mailbox: carries a short-lived token of somebody signed in.
  ['GoogleAPIsAuthController', 'all'],
  ['MicrosoftAPIsAuthController', 'all'],
  // These check a secret or signature of their own.
  ['BillingWebhookController', 'all'],
  ['DnsCloudflareController', 'all'],
  ['AuditResolver', ['trackAnalytics']],
  // Both take the workspace from a token that the server signed.
  ['AuthResolver', ['getAuthTokensFromLoginToken', 'renewToken']],
  // Answers the same neutral data to everybody.
  ['WorkspaceResolver', ['getPublicWorkspaceDataByDomain']],
]);

// Our own controllers guard themselves.
const OWN_CONTROLLER = /^Clerk[A-Z]/;

export const isOpenToStrangers = (
  className: string,
  handlerName: string,
): boolean => {
  if (OWN_CONTROLLER.test(className)) {
    return true;
  }

  const open = OPEN_TO_STRANGERS.get(className);

  return open === 'all' || (open?.includes(handlerName) ?? false);
};
