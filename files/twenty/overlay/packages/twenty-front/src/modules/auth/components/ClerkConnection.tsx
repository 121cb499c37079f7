// SPDX-License-Identifier: AGPL-3.0-only
import { attachClerkHandle, clerkSession } from '@/auth/clerk/clerkSession';
import { type ClerkSettings } from '@/auth/clerk/readClerkSettings';
import { ClerkOrganizationStep } from '@/auth/components/ClerkOrganizationStep';
import { useClerkAuth } from '@/auth/hooks/useClerkAuth';
import {
  ClerkProvider as ClerkReactProvider,
  useAuth as useClerkReactAuth,
  useClerk,
} from '@clerk/clerk-react';
import { useEffect } from 'react';
import { isDefined } from 'twenty-shared/utils';

const LOADING_LIMIT_MS = 20_000;

const reportUnreachable = () =>
  clerkSession.send({ type: 'clerk', report: { kind: 'unreachable' } });

/* Tells the session what Clerk knows, each time that it changes: also when another tab signs out or a session is revoked. */
const ClerkReportEffect = () => {
  const clerk = useClerk();
  const { isLoaded, isSignedIn, userId, sessionId, orgId } =
    useClerkReactAuth();

  useEffect(() => {
    attachClerkHandle({
      getToken: async (isTokenFresh) =>
        (await clerk.session?.getToken({ skipCache: isTokenFresh })) ?? null,
      redirectToSignIn: (returnAddress) =>
        clerk.redirectToSignIn({ redirectUrl: returnAddress }),
      signOut: () => clerk.signOut(() => undefined),
      carrySessionTo: (address) => clerk.buildUrlWithAuth(address),
    });
  }, [clerk]);

  useEffect(() => {
    if (!isLoaded) {
      const timer = setTimeout(reportUnreachable, LOADING_LIMIT_MS);
      const reportError = (status: string) => {
        if (status === 'error') {
          reportUnreachable();
        }
      };

      clerk.on('status', reportError, { notify: true });

      return () => {
        clearTimeout(timer);
        clerk.off('status', reportError);
      };
    }

    clerkSession.send({
      type: 'clerk',
      report:
        isSignedIn && isDefined(userId) && isDefined(sessionId)
          ? {
              kind: 'signed-in',
              identity: {
                userId,
                sessionId,
                organizationId: orgId ?? null,
              },
            }
          : { kind: 'signed-out' },
    });
  }, [clerk, isLoaded, isSignedIn, userId, sessionId, orgId]);

  return null;
};

type ClerkConnectionProps = { settings: ClerkSettings };

/* Clerk itself: its script is loaded here, and what it needs a page for is shown here. */
export const ClerkConnection = ({ settings }: ClerkConnectionProps) => {
  const { sessionState } = useClerkAuth();

  return (
    <ClerkReactProvider
      publishableKey={settings.publishableKey}
      proxyUrl={settings.proxyUrl}
      clerkJSUrl={settings.clerkJSUrl}
      allowedRedirectOrigins={[window.location.origin]}
      afterSignOutUrl="/"
      telemetry={false}
    >
      <ClerkReportEffect />
      {sessionState.phase === 'organization' && (
        <ClerkOrganizationStep mode={sessionState.mode} />
      )}
    </ClerkReactProvider>
  );
};
