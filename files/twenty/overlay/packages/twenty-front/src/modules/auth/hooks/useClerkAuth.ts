// SPDX-License-Identifier: AGPL-3.0-only
import { clerkSession } from '@/auth/clerk/clerkSession';
import { readClerkSettings } from '@/auth/clerk/readClerkSettings';
import { clientConfigApiStatusState } from '@/client-config/states/clientConfigApiStatusState';
import { useCallback, useMemo, useSyncExternalStore } from 'react';
import { useRecoilValue } from 'recoil';

/* Sign-in by Clerk: whether it is on, how far it is, and what a person can ask of it. Usable with Clerk on or off. */
export const useClerkAuth = () => {
  const { isLoadedOnce, data } = useRecoilValue(clientConfigApiStatusState);
  const sessionState = useSyncExternalStore(
    clerkSession.subscribe,
    clerkSession.getState,
  );

  const clerk = data?.clientConfig.clerk;
  const reading = useMemo(() => readClerkSettings(clerk), [clerk]);

  const retry = useCallback(() => clerkSession.send({ type: 'retry' }), []);
  const signOut = useCallback(
    () => clerkSession.send({ type: 'sign-out' }),
    [],
  );
  const chooseOrganization = useCallback(
    () => clerkSession.send({ type: 'choose-organization' }),
    [],
  );
  const keepOrganization = useCallback(
    () => clerkSession.send({ type: 'keep-organization' }),
    [],
  );

  return {
    isClerkKnown: isLoadedOnce && data !== undefined,
    isClerkOn: reading.kind !== 'off',
    clerkReading: reading,
    sessionState,
    retry,
    signOut,
    chooseOrganization,
    keepOrganization,
  };
};
