// SPDX-License-Identifier: AGPL-3.0-only

import type { main as Main, OpenServices } from 'src/data-model/cli';

// Applies the data model that the image carries: node scripts/migrate-schema.ts plan|apply|verify (--help says more).
// Node strips the types of this file by itself; everything else is compiled with the server, under dist/src.

const { main } = require('../dist/src/data-model/cli') as {
  main: typeof Main;
};
const openServices: OpenServices = () =>
  require('../dist/src/data-model/data-model.context').openServices();

main(process.argv.slice(2), openServices).then(
  // Twenty's services keep timers and connections of their own; what was asked for is done here.
  (code) => process.stdout.write('', () => process.exit(code)),
  (error: unknown) => {
    process.stderr.write(`migrate-schema: FAILED: ${String(error)}\n`);
    process.exit(3);
  },
);
