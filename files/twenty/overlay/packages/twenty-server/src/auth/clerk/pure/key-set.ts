// SPDX-License-Identifier: AGPL-3.0-only

import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';

import { fetchJson, type Fetch } from './fetch-json';
import { fieldOf, isFields } from './strict-json';

// The keys cannot be had just now: neither yes nor no.
export class KeysUnavailable extends Error {}

export type Clock = () => number;

// All in milliseconds.
export type KeySetTimes = {
  // A key that Clerk has withdrawn is good for as long at most, while Clerk can be reached.
  fresh: number;
  // What is known stays good for as long while Clerk cannot be reached.
  stale: number;
  // Between two questions, whoever has caused them; and after one that failed.
  pause: number;
  retry: number;
  timeout: number;
};

export const KEY_SET_TIMES: KeySetTimes = {
  fresh: 5 * 60_000,
  stale: 60 * 60_000,
  pause: 10_000,
  retry: 2_000,
  timeout: 3_000,
};

const LARGEST_ANSWER = 64 * 1024;
const MOST_KEYS = 32;
const SMALLEST_MODULUS = 2048;
const LARGEST_MODULUS = 8192;

const isStrong = (key: KeyObject): boolean => {
  const { modulusLength = 0, publicExponent = BigInt(0) } =
    key.asymmetricKeyDetails ?? {};

  return (
    key.asymmetricKeyType === 'rsa' &&
    modulusLength >= SMALLEST_MODULUS &&
    modulusLength <= LARGEST_MODULUS &&
    publicExponent >= BigInt(65537)
  );
};

const readKey = (jwk: unknown): [string, KeyObject] | undefined => {
  if (!isFields(jwk)) {
    return undefined;
  }

  const { kid, kty, n, e } = jwk as JsonWebKey & { kid?: unknown };
  const isForSignatures =
    [undefined, 'sig'].includes(fieldOf(jwk, 'use') as string | undefined) &&
    [undefined, 'RS256'].includes(fieldOf(jwk, 'alg') as string | undefined);

  if (typeof kid !== 'string' || kty !== 'RSA' || !isForSignatures) {
    return undefined;
  }

  try {
    const key = createPublicKey({ key: { kty, n, e }, format: 'jwk' });

    return isStrong(key) ? [kid, key] : undefined;
  } catch {
    return undefined;
  }
};

// Keys by their ids. Keys that do not fit are left out; undefined: nothing usable, or one id for two keys.
export const readKeySet = (
  answer: unknown,
): Map<string, KeyObject> | undefined => {
  const listed = isFields(answer) ? fieldOf(answer, 'keys') : undefined;

  if (!Array.isArray(listed) || listed.length > MOST_KEYS) {
    return undefined;
  }

  const found = listed.map(readKey).filter((entry) => entry !== undefined);
  const keys = new Map(found);

  return keys.size > 0 && keys.size === found.length ? keys : undefined;
};

// A public key in PEM, for verifying without any network. Undefined: none, or too weak.
export const readPemKey = (pem: string): KeyObject | undefined => {
  const text = pem.replace(/\\n/g, '\n').trim();

  if (!/^-----BEGIN (RSA )?PUBLIC KEY-----/.test(text)) {
    return undefined;
  }

  try {
    const key = createPublicKey(text);

    return isStrong(key) ? key : undefined;
  } catch {
    return undefined;
  }
};

// Clerk's one key, given beforehand; its id is not known, so the signature alone decides.
export class FixedKey {
  private readonly key: KeyObject;

  constructor(key: KeyObject) {
    this.key = key;
  }

  async find(): Promise<KeyObject> {
    return this.key;
  }
}

type Known = { keys: Map<string, KeyObject>; since: number };

// The instance's key set: cached, asked anew when it is old or a key is unknown, never more often than `pause`.
export class CachedKeySet {
  private readonly url: string;
  private readonly fetch: Fetch;
  private readonly clock: Clock;
  private readonly times: KeySetTimes;
  private known: Known | undefined;
  private asking: Promise<boolean> | undefined;
  private askedAt = Number.NEGATIVE_INFINITY;
  private lastFailed = false;

  constructor(
    url: string,
    fetch: Fetch,
    clock: Clock = Date.now,
    times: KeySetTimes = KEY_SET_TIMES,
  ) {
    this.url = url;
    this.fetch = fetch;
    this.clock = clock;
    this.times = times;
  }

  async find(keyId: string): Promise<KeyObject | undefined> {
    if (this.ageOfKnown() > this.times.fresh) {
      await this.ask();
    }

    if (this.known === undefined || this.ageOfKnown() > this.times.stale) {
      throw new KeysUnavailable('the key set cannot be reached');
    }

    const key = this.known.keys.get(keyId);

    if (key !== undefined) {
      return key;
    }

    // Clerk may have changed its key since.
    const isAnswered = await this.ask();
    const added = this.known.keys.get(keyId);

    if (added === undefined && !isAnswered) {
      throw new KeysUnavailable('the key set cannot be reached');
    }

    return added;
  }

  private ageOfKnown(): number {
    return this.known === undefined
      ? Number.POSITIVE_INFINITY
      : this.clock() - this.known.since;
  }

  // Whether the last question was answered. Callers at the same time share one.
  private async ask(): Promise<boolean> {
    if (this.asking === undefined) {
      const pause = this.lastFailed ? this.times.retry : this.times.pause;

      if (this.clock() - this.askedAt < pause) {
        return !this.lastFailed;
      }

      this.askedAt = this.clock();
      this.asking = this.fetchKeys().finally(() => {
        this.asking = undefined;
      });
    }

    return await this.asking;
  }

  private async fetchKeys(): Promise<boolean> {
    const answer = await fetchJson(this.fetch, this.url, {
      timeoutInMs: this.times.timeout,
      largestAnswer: LARGEST_ANSWER,
    });
    const keys = answer.kind === 'json' ? readKeySet(answer.body) : undefined;

    this.lastFailed = keys === undefined;

    if (keys !== undefined) {
      this.known = { keys, since: this.clock() };
    }

    return !this.lastFailed;
  }
}
