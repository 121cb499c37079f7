// SPDX-License-Identifier: AGPL-3.0-only
import { attachTokenPairSetter, clerkSession } from '@/auth/clerk/clerkSession';
import {
  keepClerkTokenPair,
  startKeepingClerkTokenPair,
} from '@/auth/clerk/clerkTokenPair';
import { isTwentySignInPage } from '@/auth/clerk/getClerkReturnAddress';
import { type ClerkSettings } from '@/auth/clerk/readClerkSettings';
import { ClerkPageFrame } from '@/auth/components/ClerkPageFrame';
import { ClerkStatusPage } from '@/auth/components/ClerkStatusPage';
import { useClerkAuth } from '@/auth/hooks/useClerkAuth';
import { tokenPairState } from '@/auth/states/tokenPairState';
import { lazy, Suspense, useEffect } from 'react';
import { ErrorBoundary } from 'react-error-boundary';
import { useNavigate } from 'react-router-dom';
import { useRecoilState } from 'recoil';
import { AppPath } from 'twenty-shared/types';
import { isDefined } from 'twenty-shared/utils';

// A chunk of its own: Clerk's package must not weigh on the entry.
const ClerkConnection = lazy(() =>
  import('@/auth/components/ClerkConnection').then((module) => ({
    default: module.ClerkConnection,
  })),
);

const reportUnreachable = () =>
  clerkSession.send({ type: 'clerk', report: { kind: 'unreachable' } });

type ClerkGateProps = React.PropsWithChildren<{ settings: ClerkSettings }>;

const ClerkGate = ({ settings, children }: ClerkGateProps) => {
  const { sessionState } = useClerkAuth();
  const [tokenPair, setTokenPair] = useRecoilState(tokenPairState);
  const navigate = useNavigate();
  const { phase } = sessionState;

  startKeepingClerkTokenPair();

  useEffect(() => {
    attachTokenPairSetter(setTokenPair);
  }, [setTokenPair]);

  useEffect(() => {
    if (
      sessionState.phase === 'opening' &&
      tokenPair?.accessOrWorkspaceAgnosticToken.token ===
        sessionState.session.tokens.accessOrWorkspaceAgnosticToken.token
    ) {
      if (isTwentySignInPage(window.location.pathname)) {
        navigate(AppPath.Index, { replace: true }); // not even for a moment
      }

      clerkSession.send({ type: 'handed-over' });
    }

    if (sessionState.phase === 'open') {
      if (isDefined(tokenPair)) {
        keepClerkTokenPair(tokenPair); // renewed by Twenty
      } else {
        clerkSession.send({ type: 'session-lost' });
      }
    }
  }, [navigate, sessionState, tokenPair]);

  return (
    <>
      {phase === 'open' ? (
        children
      ) : phase === 'organization' ? null : (
        <ClerkStatusPage state={sessionState} />
      )}
      <ErrorBoundary fallback={null} onError={reportUnreachable}>
        <Suspense fallback={null}>
          <ClerkConnection settings={settings} />
        </Suspense>
      </ErrorBoundary>
    </>
  );
};

/* Opens the CRM to whom Clerk knows and the server let in. With Clerk off, Twenty's own sign-in stays as it is. */
export const ClerkProvider = ({ children }: React.PropsWithChildren) => {
  const { isClerkKnown, clerkReading } = useClerkAuth();

  if (!isClerkKnown) {
    return <ClerkStatusPage state={{ phase: 'checking' }} />;
  }

  switch (clerkReading.kind) {
    case 'off':
      return <>{children}</>;
    case 'wrong':
      return (
        <ClerkPageFrame
          title="Sign-in is not set up correctly"
          text={`${clerkReading.problem} Whoever runs this CRM has to correct NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY and deploy again.`}
          isProblem
        />
      );
    case 'on':
      return <ClerkGate settings={clerkReading.settings}>{children}</ClerkGate>;
  }
};
