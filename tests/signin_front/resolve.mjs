// Lets Node run the overlay's TypeScript as it lies there: imports without an ending are found as Vite finds them.
import { registerHooks } from 'node:module';

registerHooks({
  resolve: (specifier, context, next) =>
    next(/^\.\.?\/.*[^.]{3}$/.test(specifier) && !/\.[cm]?[jt]s$/.test(specifier) ? `${specifier}.ts` : specifier, context),
});
