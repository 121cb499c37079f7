// SPDX-License-Identifier: AGPL-3.0-only
import { useClerkAuth } from '@/auth/hooks/useClerkAuth';

/* What looks for a workspace before anybody signed in: mounted once it is known that Clerk is off. */
export const ClerkAbsentOnly = ({ children }: React.PropsWithChildren) => {
  const { isClerkKnown, isClerkOn } = useClerkAuth();

  return isClerkKnown && !isClerkOn ? <>{children}</> : null;
};
