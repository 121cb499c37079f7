// SPDX-License-Identifier: AGPL-3.0-only

import { APP_LOCALES } from 'twenty-shared/translations';

import {
  ForbiddenError,
  UserInputError,
} from 'src/engine/core-modules/graphql/utils/graphql-errors.util';
import { isLocale, isPerson } from 'src/tenancy/rows/pure/person';

/** For a condition over a person's rows: an error where nobody asks (an API key). */
export const ofThePerson = (userWorkspaceId: string | undefined): string => {
  if (!isPerson(userWorkspaceId)) {
    throw new ForbiddenError('These rows belong to people: an API key has none');
  }

  return userWorkspaceId;
};

/** Whether a changed locale is kept with the membership of who asks as well; an error where there is no such locale. */
export const isLocaleOfThePerson = (
  locale: unknown,
  userWorkspaceId: string | undefined,
): boolean => {
  if (locale === undefined || locale === null || locale === '') {
    return false;
  }
  if (!isLocale(locale, APP_LOCALES)) {
    throw new UserInputError('There is no such locale');
  }

  return isPerson(userWorkspaceId);
};
