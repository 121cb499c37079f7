// SPDX-License-Identifier: AGPL-3.0-only

import { type KeyObject } from 'node:crypto';

import { readPemKey } from './key-set';
import { decodePublishableKey } from './publishable-key';
import { isSubdomainModeOn } from './subdomain-mode';

export type ClerkSettings = {
  publishableKey: string;
  secretKey: string;
  issuer: string;
  authorizedParties: readonly string[];
  // Upstream's subdomain mode: the origin below which each workspace has its address. Undefined: all live on one.
  subdomainsOf?: string;
  keySetUrl: string;
  apiUrl: string;
  // Given: tokens are verified without asking Clerk for its keys.
  jwtKey: KeyObject | undefined;
};

export type ClerkClientConfig = {
  clerk: {
    publishableKey: string;
    proxyUrl?: string;
    clerkJSUrl?: string;
  } | null;
  sourceCodeUrl: string | null;
};

type Environment = Record<string, string | undefined>;

export const CLERK_API_URL = 'https://api.clerk.com';
const IP_ADDRESS = /^(\[|\d+\.\d+\.\d+\.\d+$)/;
const SECRET_KEY = /^sk_(test|live)_[A-Za-z0-9_-]{8,256}$/;

// An empty value is how compose says "not set".
const read = (environment: Environment, name: string): string | undefined =>
  environment[name]?.trim() || undefined;

const originOf = (value: string): string | undefined => {
  if (!URL.canParse(value)) {
    return undefined;
  }

  const { origin, protocol } = new URL(value);

  return ['http:', 'https:'].includes(protocol) ? origin : undefined;
};

const webAddress = (
  environment: Environment,
  name: string,
  problems: string[],
): string | undefined => {
  const value = read(environment, name);

  if (value !== undefined && originOf(value) === undefined) {
    problems.push(
      `${name}: not an address that starts with https:// (or http:// in a lab)`,
    );
  }

  return value;
};

const readParties = (
  environment: Environment,
  problems: string[],
): string[] => {
  const listed = read(environment, 'CLERK_AUTHORIZED_PARTIES');
  const name = listed === undefined ? 'SERVER_URL' : 'CLERK_AUTHORIZED_PARTIES';
  const values = (listed ?? read(environment, 'SERVER_URL') ?? '')
    .split(',')
    .map((value) => value.trim());
  const origins = values.map(originOf);

  if (origins.some((origin) => origin === undefined)) {
    problems.push(
      `${name}: origins such as https://crm.example.com are needed, to compare a token's azp with`,
    );
  }

  return [...new Set(origins.filter((origin) => origin !== undefined))];
};

// As upstream computes a workspace's address: below FRONTEND_URL, or else SERVER_URL.
const readSubdomainsOf = (
  environment: Environment,
  problems: string[],
): string | undefined => {
  if (!isSubdomainModeOn(environment)) {
    return undefined;
  }

  const name =
    read(environment, 'FRONTEND_URL') === undefined
      ? 'SERVER_URL'
      : 'FRONTEND_URL';
  const origin = originOf(read(environment, name) ?? '');

  if (origin === undefined || IP_ADDRESS.test(new URL(origin).hostname)) {
    problems.push(
      `${name}: IS_MULTIWORKSPACE_ENABLED needs an address with a domain name, such as https://crm.example.com`,
    );

    return undefined;
  }

  return origin;
};

export class ClerkSettingsError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`Sign-in by Clerk cannot start:\n  ${problems.join('\n  ')}`);
    this.problems = problems;
  }
}

// Null: sign-in by Clerk is off. ClerkSettingsError names each variable that is wrong, never a value.
export const readClerkSettings = (
  environment: Environment,
): ClerkSettings | null => {
  const publishableKey = read(environment, 'NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY');

  if (publishableKey === undefined) {
    return null;
  }

  const problems: string[] = [];
  const instance = decodePublishableKey(publishableKey);
  const secretKey = read(environment, 'CLERK_SECRET_KEY');
  const [, secretKind] = SECRET_KEY.exec(secretKey ?? '') ?? [];
  const pem = read(environment, 'CLERK_JWT_KEY');
  const jwtKey = pem === undefined ? undefined : readPemKey(pem);

  if (instance === undefined) {
    problems.push(
      'NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY: not a publishable key; copy pk_... from Clerk, API keys',
    );
  }
  if (secretKey === undefined) {
    problems.push(
      'CLERK_SECRET_KEY: missing while the publishable key is set; copy sk_... from Clerk, API keys',
    );
  } else if (secretKind === undefined) {
    problems.push(
      'CLERK_SECRET_KEY: not a secret key; copy sk_... from Clerk, API keys',
    );
  } else if (instance !== undefined && instance.kind !== secretKind) {
    problems.push(
      'CLERK_SECRET_KEY: of another kind (test or live) than the publishable key; take both from one instance',
    );
  }
  if (pem !== undefined && jwtKey === undefined) {
    problems.push(
      'CLERK_JWT_KEY: not an RSA public key of 2048 bits or more in PEM; copy it from Clerk, API keys, or leave it out',
    );
  }

  const authorizedParties = readParties(environment, problems);
  const subdomainsOf = readSubdomainsOf(environment, problems);
  const keySetUrl = webAddress(environment, 'CLERK_JWKS_URL', problems);
  const apiUrl = webAddress(environment, 'CLERK_API_URL', problems);
  const issuer = webAddress(environment, 'CLERK_ISSUER', problems);

  webAddress(environment, 'SOURCE_CODE_URL', problems);

  if (
    problems.length > 0 ||
    instance === undefined ||
    secretKey === undefined
  ) {
    throw new ClerkSettingsError(problems);
  }

  return {
    publishableKey,
    secretKey,
    issuer: issuer ?? instance.issuer,
    authorizedParties,
    ...(subdomainsOf === undefined ? {} : { subdomainsOf }),
    keySetUrl: keySetUrl ?? instance.keySetUrl,
    apiUrl: (apiUrl ?? CLERK_API_URL).replace(/\/+$/, ''),
    jwtKey,
  };
};

// What the page learns before anybody signs in. No secret is among it.
export const readClerkClientConfig = (
  environment: Environment,
): ClerkClientConfig => {
  const publishableKey = read(environment, 'NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY');
  const proxyUrl = read(environment, 'CLERK_PROXY_URL');
  const clerkJSUrl = read(environment, 'CLERK_JS_URL');
  const offer = read(environment, 'SOURCE_CODE_URL');

  return {
    clerk:
      publishableKey === undefined
        ? null
        : {
            publishableKey,
            ...(proxyUrl === undefined ? {} : { proxyUrl }),
            ...(clerkJSUrl === undefined ? {} : { clerkJSUrl }),
          },
    // It becomes a link: nothing but a web address.
    sourceCodeUrl:
      offer !== undefined && originOf(offer) !== undefined ? offer : null,
  };
};
