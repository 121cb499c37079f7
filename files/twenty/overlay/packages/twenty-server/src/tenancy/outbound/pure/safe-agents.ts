// SPDX-License-Identifier: AGPL-3.0-only
import dns from 'node:dns';
import http from 'node:http';
import https from 'node:https';
import { type BlockList, isIP, type LookupFunction, type TcpSocketConnectOpts } from 'node:net';
import { type Duplex } from 'node:stream';

import { mayConnect } from './public-address';

/** How names become addresses: Node's own way, another one in tests. */
export type Resolve = (
  host: string,
  options: dns.LookupAllOptions,
  done: (error: NodeJS.ErrnoException | null, addresses: dns.LookupAddress[]) => void,
) => void;

export class RefusedAddress extends Error {
  readonly code = 'ERR_REFUSED_ADDRESS';

  // without the address: what a private name stands for is nobody's business
  constructor(host: string) {
    super(`${host} is not an address on the public internet; requests to it are not allowed`);
    this.name = 'RefusedAddress';
  }
}

/** A `lookup` for sockets that hands on addresses only if all of them are allowed: what is checked is what is connected to. */
export const checkedLookup =
  (allowed: BlockList, resolve: Resolve = dns.lookup): LookupFunction =>
  (host, options, done) => {
    resolve(host, { ...options, all: true, order: 'ipv4first' }, (error, addresses) => {
      if (error) return done(error, '');
      if (!addresses.length || !addresses.every(({ address }) => mayConnect(address, allowed))) {
        return done(new RefusedAddress(host), '');
      }
      if (options.all) return done(null, addresses);

      return done(null, addresses[0].address, addresses[0].family);
    });
  };

type Connect = (error: Error | null, socket: Duplex) => void;
type CreateConnection = (options: http.ClientRequestArgs, done?: Connect) => Duplex | null | undefined;

/** `connect` with the check for names and for addresses alike (a socket asks no `lookup` for an address), and for nothing else. */
const guard =
  (connect: CreateConnection, lookup: LookupFunction, allowed: BlockList): CreateConnection =>
  (options, done) => {
    const { host, path, socketPath } = options as TcpSocketConnectOpts & { path?: string; socketPath?: string };

    if (socketPath || path || !host || (isIP(host) && !mayConnect(host, allowed))) {
      // through the callback, as a failed connection is told
      done?.(new RefusedAddress(String(host)), undefined as unknown as Duplex);

      return undefined;
    }

    return connect({ ...options, lookup } as http.ClientRequestArgs, done);
  };

/** Agents for requests to addresses that a tenant chose. Each connection is checked, so every redirect is; none is shared with others. */
export const safeAgents = (allowed: BlockList, resolve?: Resolve): { http: http.Agent; https: https.Agent } => {
  const lookup = checkedLookup(allowed, resolve);
  const agents = { http: new http.Agent(), https: new https.Agent() };

  for (const agent of [agents.http, agents.https]) {
    agent.createConnection = guard(agent.createConnection.bind(agent) as CreateConnection, lookup, allowed) as typeof agent.createConnection;
  }

  return agents;
};

/** A host for a client that opens its sockets itself: the address to connect to, checked, and the name for TLS. */
export const safeHost = async (
  host: string | undefined,
  allowed: BlockList,
  resolve?: Resolve,
): Promise<{ host: string; servername?: string }> => {
  const name = (host ?? '').trim();

  if (isIP(name)) {
    if (!mayConnect(name, allowed)) throw new RefusedAddress(name);

    return { host: name };
  }
  if (name === '') throw new RefusedAddress('an empty host');

  const address = await new Promise<string>((found, failed) =>
    checkedLookup(allowed, resolve)(name, {}, (error, one) => (error ? failed(error) : found(String(one)))),
  );

  return { host: address, servername: name };
};
