// SPDX-License-Identifier: AGPL-3.0-only
import { currentUserState } from '@/auth/states/currentUserState';
import { SettingsTextInput } from '@/ui/input/components/SettingsTextInput';
import { useRecoilValue } from 'recoil';

/* The address as Clerk has it; it is changed there. */
export const ClerkEmail = () => {
  const currentUser = useRecoilValue(currentUserState);

  return (
    <SettingsTextInput
      instanceId={`user-email-${currentUser?.id}`}
      value={currentUser?.email ?? ''}
      type="email"
      disabled
      fullWidth
    />
  );
};
