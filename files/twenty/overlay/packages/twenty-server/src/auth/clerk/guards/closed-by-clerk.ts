// SPDX-License-Identifier: AGPL-3.0-only

import {
  Injectable,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';

import { msg } from '@lingui/core/macro';

import { isClerkOn } from 'src/auth/clerk/guards/clerk-switch';
import { isOpenToStrangers } from 'src/auth/clerk/guards/public-endpoints';
import {
  AuthException,
  AuthExceptionCode,
} from 'src/engine/core-modules/auth/auth.exception';

const CLOSED_TO_PEOPLE: ReadonlySet<string> = new Set([
  'deleteUserFromWorkspace',
  'updateUserEmail',
]);

export const closedByClerk = () =>
  new AuthException(
    'Closed: people, workspaces and sign-in are managed by Clerk',
    AuthExceptionCode.FORBIDDEN_EXCEPTION,
    {
      userFriendlyMessage: msg`This is managed by your organization's sign-in.`,
    },
  );

// The code by which the page knows that its session is over: it tries to renew, fails, and asks Clerk's exchange why.
// "Forbidden" would be one action that is not allowed, and the page would stay as it is.
export const sessionEnded = () =>
  new AuthException('This session has ended', AuthExceptionCode.UNAUTHENTICATED);

// The same to the page, which then asks Clerk's exchange and shows that it cannot be reached.
export const sessionUnconfirmed = () =>
  new AuthException(
    'Clerk has not confirmed this session for 30 minutes, because it cannot be reached',
    AuthExceptionCode.UNAUTHENTICATED,
  );

// Called by upstream's PublicEndpointGuard, which marks every endpoint that needs no session.
export const allowPublicEndpoint = (context: ExecutionContext): boolean => {
  if (
    !isClerkOn() ||
    isOpenToStrangers(context.getClass().name, context.getHandler().name)
  ) {
    return true;
  }

  throw closedByClerk();
};

// Called by upstream's UserAuthGuard, which stands before what a person does about themselves.
export const allowSignedIn = (context: ExecutionContext): boolean => {
  if (!isClerkOn() || !CLOSED_TO_PEOPLE.has(context.getHandler().name)) {
    return true;
  }

  throw closedByClerk();
};

// On what a signed-in person must not do either, because Clerk decides it.
@Injectable()
export class ClosedByClerkGuard implements CanActivate {
  canActivate(): boolean {
    if (isClerkOn()) {
      throw closedByClerk();
    }

    return true;
  }
}
