// SPDX-License-Identifier: AGPL-3.0-only
/* Pages of Twenty's own sign-in: there is nothing to come back to. */
const SIGN_IN_PAGES =
  /^\/(welcome|verify|verify-email|reset-password|invite|sign-in|sign-up)(\/|$)/;

/* What Clerk reads from an address. Coming from a stranger's link, it could send a person elsewhere after sign-in. */
const CLERK_PARAMETERS =
  /^(__clerk|__dev_session|redirect_url$|after_sign_(in|up)_url$|sign_(in|up)_(force|fallback)_redirect_url$)/;

export const isTwentySignInPage = (pathname: string): boolean =>
  SIGN_IN_PAGES.test(pathname);

/* The address to come back to after sign-in: this very page, always of this origin. */
export const getClerkReturnAddress = (href: string): string => {
  const address = new URL(href);

  if (isTwentySignInPage(address.pathname)) {
    return `${address.origin}/`;
  }

  for (const name of [...address.searchParams.keys()]) {
    if (CLERK_PARAMETERS.test(name)) {
      address.searchParams.delete(name);
    }
  }

  if (/[?&](__clerk|redirect_url=|sign_(in|up)_)/.test(address.hash)) {
    address.hash = '';
  }

  address.username = '';
  address.password = '';

  return address.toString();
};

/* The same page at the address where the workspace lives. home: an origin. */
export const getClerkHomeAddress = (href: string, home: string): string => {
  const { pathname, search, hash } = new URL(getClerkReturnAddress(href));

  return `${new URL(home).origin}${pathname}${search}${hash}`;
};
