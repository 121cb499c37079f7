// Lets Node run the overlay's TypeScript as it lies there: './x' and 'src/...' are found as the server's own build finds them.
import { registerHooks } from 'node:module';

const SERVER = new URL('../../files/twenty/overlay/packages/twenty-server/', import.meta.url);

registerHooks({
  resolve: (specifier, context, next) => {
    const placed = specifier.startsWith('src/') ? new URL(specifier, SERVER).href : specifier;
    return next(/^(\.\.?\/|file:)/.test(placed) && !/\.[cm]?[jt]s$/.test(placed) ? `${placed}.ts` : placed, context);
  },
});
