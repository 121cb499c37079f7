// SPDX-License-Identifier: AGPL-3.0-only
// An API key is no person: it has no userWorkspaceId. TypeORM leaves a condition out whose value is undefined, so that a search for the
// rows of nobody finds those of everybody, in every workspace.

export const isPerson = (userWorkspaceId: unknown): userWorkspaceId is string =>
  typeof userWorkspaceId === 'string' && userWorkspaceId !== '';

/** Whether `locale` is the name of one; names of the prototype are none. */
export const isLocale = (
  locale: unknown,
  locales: Readonly<Record<string, unknown>>,
): locale is string =>
  typeof locale === 'string' &&
  Object.prototype.hasOwnProperty.call(locales, locale);
