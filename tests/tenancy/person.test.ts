import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isLocale, isPerson } from '../../files/twenty/overlay/packages/twenty-server/src/tenancy/rows/pure/person.ts';

test('an API key is no person', () => {
  assert.equal(isPerson('5e7d0b6a-2f5a-4c5c-9d5e-3f0a8f6f1c11'), true);
  for (const nobody of [undefined, null, '', 0, {}, []]) assert.equal(isPerson(nobody), false);
});

test('a locale is one of the list, and no name of the prototype', () => {
  const locales = { en: 'en', 'fr-FR': 'fr-FR' };

  assert.equal(isLocale('fr-FR', locales), true);
  for (const other of ['fr', 'en-NOWHERE', 'toString', '__proto__', 'constructor', '', undefined, null, 1, ['en']]) {
    assert.equal(isLocale(other, locales), false, String(other));
  }
});
