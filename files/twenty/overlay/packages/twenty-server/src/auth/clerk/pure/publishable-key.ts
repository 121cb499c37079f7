// SPDX-License-Identifier: AGPL-3.0-only

export type ClerkInstance = {
  kind: 'test' | 'live';
  // Host of the instance's frontend API.
  host: string;
  issuer: string;
  keySetUrl: string;
};

const SHAPE = /^pk_(test|live)_([A-Za-z0-9+/]+={0,2})$/;
const HOST =
  /^(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$/;

// A publishable key is pk_test_ or pk_live_ and base64 of "HOST$". Undefined: it is none.
export const decodePublishableKey = (
  publishableKey: string,
): ClerkInstance | undefined => {
  const [, kind, encoded] = SHAPE.exec(publishableKey) ?? [];

  if (kind === undefined || encoded === undefined) {
    return undefined;
  }

  const decoded = Buffer.from(encoded, 'base64').toString('latin1');
  const host = decoded.slice(0, -1);

  if (!decoded.endsWith('$') || !HOST.test(host)) {
    return undefined;
  }

  return {
    kind: kind === 'live' ? 'live' : 'test',
    host,
    issuer: `https://${host}`,
    keySetUrl: `https://${host}/.well-known/jwks.json`,
  };
};
