// SPDX-License-Identifier: AGPL-3.0-only
import { useClerkAuth } from '@/auth/hooks/useClerkAuth';
import { useSourceCodeUrl } from '@/auth/hooks/useSourceCodeUrl';
import { isDefined } from 'twenty-shared/utils';
import { IconCode, IconSwitchHorizontal } from 'twenty-ui/display';
import { MenuItem } from 'twenty-ui/navigation';

/* What the workspace's menu offers more: another organization of Clerk's, and the source (AGPL). */
export const ClerkMenuItems = () => {
  const { isClerkOn, chooseOrganization } = useClerkAuth();
  const sourceCodeUrl = useSourceCodeUrl();

  return (
    <>
      {isClerkOn && (
        <MenuItem
          LeftIcon={IconSwitchHorizontal}
          text="Switch organization"
          onClick={chooseOrganization}
        />
      )}
      {isDefined(sourceCodeUrl) && (
        <MenuItem
          LeftIcon={IconCode}
          text="Source code"
          onClick={() => {
            window.open(sourceCodeUrl, '_blank', 'noreferrer');
          }}
        />
      )}
    </>
  );
};
