// SPDX-License-Identifier: AGPL-3.0-only
import { ClerkOffOnly } from '@/auth/components/ClerkOffOnly';
import { Navigate } from 'react-router-dom';
import { AppPath } from 'twenty-shared/types';

/* A page of Twenty's own sign-in: with Clerk on there is none, and whoever comes by goes home. */
export const ClerkClosedRoute = ({ children }: React.PropsWithChildren) => (
  <ClerkOffOnly otherwise={<Navigate to={AppPath.Index} replace />}>
    {children}
  </ClerkOffOnly>
);
