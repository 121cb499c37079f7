// SPDX-License-Identifier: AGPL-3.0-only
import { config } from 'zod';

// Zod asks whether it may write functions at run time by writing one. The page's policy forbids that: the question itself counts as a
// violation. Imported first, before any schema is made.
config({ jitless: true });
