// SPDX-License-Identifier: AGPL-3.0-only
import { isClerkOn } from '@/auth/clerk/clerkTokenPair';
import { type ReactNode } from 'react';

type ClerkOffOnlyProps = React.PropsWithChildren<{ otherwise?: ReactNode }>;

/* What belongs to Twenty's own sign-in (passwords, invitations, two factors): Clerk does it when it is on. */
export const ClerkOffOnly = ({
  children,
  otherwise = null,
}: ClerkOffOnlyProps) => <>{isClerkOn() ? otherwise : children}</>;
