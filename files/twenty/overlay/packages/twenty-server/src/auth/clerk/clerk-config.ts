// SPDX-License-Identifier: AGPL-3.0-only

import { type FactoryProvider } from '@nestjs/common';

import {
  readClerkSettings,
  type ClerkSettings,
} from 'src/auth/clerk/pure/clerk-settings';
import { TwentyConfigService } from 'src/engine/core-modules/twenty-config/twenty-config.service';

export const CLERK_SETTINGS = Symbol('CLERK_SETTINGS');

const NAMES = [
  'NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY',
  'CLERK_SECRET_KEY',
  'CLERK_JWT_KEY',
  'CLERK_AUTHORIZED_PARTIES',
  'CLERK_API_URL',
  'CLERK_JWKS_URL',
  'CLERK_ISSUER',
  'SOURCE_CODE_URL',
  'SERVER_URL',
  'FRONTEND_URL',
] as const;

// Null: sign-in by Clerk is off. With a mistake in the settings the server does not start, and says which variable it is.
export const clerkSettingsProvider: FactoryProvider<ClerkSettings | null> = {
  provide: CLERK_SETTINGS,
  inject: [TwentyConfigService],
  useFactory: (config: TwentyConfigService) =>
    readClerkSettings({
      ...Object.fromEntries(NAMES.map((name) => [name, config.get(name)])),
      // a boolean in the config; the guards read it where this one does
      IS_MULTIWORKSPACE_ENABLED: process.env.IS_MULTIWORKSPACE_ENABLED,
    }),
};
