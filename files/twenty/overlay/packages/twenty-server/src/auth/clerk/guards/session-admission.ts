// SPDX-License-Identifier: AGPL-3.0-only

import { type TokenOwner } from 'src/auth/clerk/pure/session-standing';
import { type TenantState } from 'src/auth/clerk/store/session-store';

export type SessionFacts = {
  hasWorkspace: boolean;
  isApiKey: boolean;
  isImpersonating: boolean;
  // Whose an access token is; an API key is nobody's session.
  owner: TokenOwner['kind'];
  // The token's iat, in seconds since 1970.
  issuedAt: number | undefined;
  // Undefined: the workspace belongs to no Clerk organisation.
  tenant: TenantState | undefined;
};

// Whether a valid Twenty token is still good with Clerk on. API keys work again after a suspension: they are not sessions.
export const isSessionAdmitted = (facts: SessionFacts): boolean => {
  if (!facts.hasWorkspace || facts.isImpersonating) {
    return false;
  }

  if (!facts.isApiKey && facts.owner === 'nobody') {
    return false;
  }

  if (facts.tenant === undefined) {
    return true;
  }

  if (facts.tenant.status === 'suspended') {
    return false;
  }

  if (facts.isApiKey) {
    return true;
  }

  return (
    facts.issuedAt !== undefined && facts.issuedAt > facts.tenant.sessionsFrom
  );
};
