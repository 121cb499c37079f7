// SPDX-License-Identifier: AGPL-3.0-only
import { useSourceCodeUrl } from '@/auth/hooks/useSourceCodeUrl';
import { isDefined } from 'twenty-shared/utils';
import { IconCode } from 'twenty-ui/display';

/* The AGPL's offer among the settings, where Twenty tells of its releases. None, when the operator set no address. */
export const useSourceCodeNavigationItems = () => {
  const sourceCodeUrl = useSourceCodeUrl();

  return isDefined(sourceCodeUrl)
    ? [
        {
          label: 'Source code',
          onClick: () => {
            window.open(sourceCodeUrl, '_blank', 'noreferrer');
          },
          Icon: IconCode,
          matchSubPages: false,
        },
      ]
    : [];
};
