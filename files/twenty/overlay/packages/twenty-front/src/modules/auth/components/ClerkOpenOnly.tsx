// SPDX-License-Identifier: AGPL-3.0-only
import { useClerkAuth } from '@/auth/hooks/useClerkAuth';

/* What asks the server in a person's name: mounted once the CRM is open, or when Clerk is off. */
export const ClerkOpenOnly = ({ children }: React.PropsWithChildren) => {
  const { isClerkKnown, isClerkOn, sessionState } = useClerkAuth();

  return isClerkKnown && (!isClerkOn || sessionState.phase === 'open') ? (
    <>{children}</>
  ) : null;
};
