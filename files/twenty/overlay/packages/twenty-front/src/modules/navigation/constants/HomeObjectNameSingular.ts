// SPDX-License-Identifier: AGPL-3.0-only

export const HOME_OBJECT_NAME_SINGULAR = 'person';
