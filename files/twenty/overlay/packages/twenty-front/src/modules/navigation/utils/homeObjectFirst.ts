// SPDX-License-Identifier: AGPL-3.0-only

import { HOME_OBJECT_NAME_SINGULAR } from '@/navigation/constants/HomeObjectNameSingular';

// A person who may not read the home object, or whose workspace deactivated it, lands on the first of the others.
export const homeObjectFirst = <Item extends { nameSingular: string }>(
  items: Item[],
): Item[] => [
  ...items.filter(
    ({ nameSingular }) => nameSingular === HOME_OBJECT_NAME_SINGULAR,
  ),
  ...items.filter(
    ({ nameSingular }) => nameSingular !== HOME_OBJECT_NAME_SINGULAR,
  ),
];
