// SPDX-License-Identifier: AGPL-3.0-only

import { type Standing } from 'src/auth/clerk/pure/clerk-api';
import {
  readIds,
  type Validated,
} from '../tenants/tenant-input';

const SESSION_ID = /^sess_[A-Za-z0-9]{4,64}$/;
const STANDINGS = ['good', 'banned', 'locked', 'deleted'] as const;

const fieldsOf = (body: unknown): Record<string, unknown> =>
  typeof body === 'object' && body !== null
    ? (body as Record<string, unknown>)
    : {};

const textOf = (body: unknown, name: string): string => {
  const value = fieldsOf(body)[name];

  return typeof value === 'string' ? value : '';
};

// {clerkUserId?}: whose session it was; Clerk does not always know any more.
export const readEnding = (
  sessionId: string,
  body: unknown,
): Validated<{ clerkUserId: string }> => {
  const clerkUserId = textOf(body, 'clerkUserId');
  const details = clerkUserId === '' ? [] : readIds({ clerkUserId });

  if (!SESSION_ID.test(sessionId)) {
    details.push('sessionId: not a Clerk session id (sess_...)');
  }

  return details.length > 0
    ? { ok: false, details }
    : { ok: true, value: { clerkUserId } };
};

// {standing}: what Clerk says of the person.
export const readStanding = (
  clerkUserId: string,
  body: unknown,
): Validated<Standing> => {
  const details = readIds({ clerkUserId });
  const standing = STANDINGS.find((name) => name === textOf(body, 'standing'));

  if (standing === undefined) {
    details.push(`standing: one of ${STANDINGS.join(', ')}`);
  }

  return details.length > 0 || standing === undefined
    ? { ok: false, details }
    : { ok: true, value: standing };
};
