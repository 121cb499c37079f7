// SPDX-License-Identifier: AGPL-3.0-only
import { clerkSession } from '@/auth/clerk/clerkSession';
import { isClerkOn } from '@/auth/clerk/clerkTokenPair';
import { type FetchResult, Observable } from '@apollo/client';

/*
 * Sends a request again after its tokens were renewed. When they could not be, the page is about to be loaded anew: an
 * answer without a session would only show as an error of a page that is going.
 */
export const forwardInClerkSession = (
  forward: () => Observable<FetchResult>,
): Observable<FetchResult> =>
  isClerkOn() && clerkSession.getState().phase !== 'open'
    ? new Observable<FetchResult>(() => undefined)
    : forward();
