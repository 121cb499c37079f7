// SPDX-License-Identifier: AGPL-3.0-only
import { readSourceCodeUrl } from '@/auth/clerk/readSourceCodeUrl';
import { clientConfigApiStatusState } from '@/client-config/states/clientConfigApiStatusState';
import { useRecoilValue } from 'recoil';

/* Where the source of this CRM can be had (AGPL), as the operator set it. */
export const useSourceCodeUrl = (): string | null => {
  const { data } = useRecoilValue(clientConfigApiStatusState);

  return readSourceCodeUrl(data?.clientConfig.sourceCodeUrl);
};
