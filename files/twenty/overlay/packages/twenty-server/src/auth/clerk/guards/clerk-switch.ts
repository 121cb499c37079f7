// SPDX-License-Identifier: AGPL-3.0-only

import { isSubdomainModeOn } from 'src/auth/clerk/pure/subdomain-mode';

type Environment = Record<string, string | undefined>;

// Sign-in by Clerk is on when the publishable key is set; guards without injection ask here.
export const isClerkOn = (environment: Environment = process.env): boolean =>
  (environment.NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY ?? '').trim() !== '';

// Several workspaces on one origin: upstream's subdomain mode is off, so an origin says nothing about a workspace.
export const isSingleOrigin = (
  environment: Environment = process.env,
): boolean => !isSubdomainModeOn(environment);
