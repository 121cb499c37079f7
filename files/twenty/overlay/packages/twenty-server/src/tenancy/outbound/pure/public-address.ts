// SPDX-License-Identifier: AGPL-3.0-only
import { BlockList, isIP } from 'node:net';

// IANA's special-purpose registries, as of 2026: what is not an address of a host on the public internet.
const NOT_PUBLIC_IPV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
];
// Nothing outside of this is global unicast: loopback, mapped and translated IPv4, ULA, link-local, site-local, multicast.
const PUBLIC_IPV6 = ['2000::/3'];
// ... and within it: protocol assignments with Teredo and ORCHID, documentation, 6to4 (which carries an IPv4 address).
const NOT_PUBLIC_IPV6 = [
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '2620:4f:8000::/48',
  '3ffe::/16',
  '3fff::/20',
];

const familyOf = (address: string) =>
  isIP(address) === 6 ? ('ipv6' as const) : ('ipv4' as const);

const listOf = (subnets: readonly string[], named: string): BlockList => {
  const list = new BlockList();

  for (const subnet of subnets) {
    const [, address, bits] = /^([^/]+)\/(\d{1,3})$/.exec(subnet) ?? [];

    if (!address || !isIP(address) || Number(bits) > (isIP(address) === 6 ? 128 : 32)) {
      throw new Error(
        `${named}: ${JSON.stringify(subnet)} is no network; write address/bits, as 10.1.2.3/32, with commas between`,
      );
    }

    list.addSubnet(address, Number(bits), familyOf(address));
  }

  return list;
};

const notPublic = listOf([...NOT_PUBLIC_IPV4, ...NOT_PUBLIC_IPV6], 'public-address.ts');
const publicIpv6 = listOf(PUBLIC_IPV6, 'public-address.ts');

/** The private networks that the operator opens for tenants, from a comma-separated list of CIDRs; an Error names what is none. */
export const readAllowed = (value = ''): BlockList =>
  listOf(
    value
      .split(',')
      .map((subnet) => subnet.trim())
      .filter((subnet) => subnet !== ''),
    'TWENTYOPS_TENANTS_MAY_REACH',
  );

/** Whether a tenant may have the server connect to this address. What is no plain IP address (a zone in it, a name) is refused. */
export const mayConnect = (address: string, allowed: BlockList): boolean => {
  if (!isIP(address) || address.includes('%')) return false;

  const family = familyOf(address);

  if (allowed.check(address, family)) return true;
  if (notPublic.check(address, family)) return false;

  return family === 'ipv4' || publicIpv6.check(address, family);
};
