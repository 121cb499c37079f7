// SPDX-License-Identifier: AGPL-3.0-only

import { type PublicWorkspaceDataOutput } from 'src/engine/core-modules/workspace/dtos/public-workspace-data-output';

const NOBODYS_WORKSPACE_ID = '00000000-0000-4000-8000-000000000000';

// The page asks before anybody is signed in. With Clerk on the answer is the same for every tenant, and for none.
export const neutralWorkspaceData = (
  origin: string | undefined,
  originHeader: string | undefined,
): PublicWorkspaceDataOutput => ({
  id: NOBODYS_WORKSPACE_ID,
  logo: '',
  displayName: '',
  workspaceUrls: {
    subdomainUrl: origin ?? originHeader ?? process.env.SERVER_URL ?? '',
  },
  authProviders: {
    google: false,
    magicLink: false,
    password: false,
    microsoft: false,
    sso: [],
  },
});
