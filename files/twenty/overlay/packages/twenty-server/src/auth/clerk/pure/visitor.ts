// SPDX-License-Identifier: AGPL-3.0-only

import { isIPv4, isIPv6 } from 'node:net';

const NETWORK_GROUPS = 4;

const groupsOf = (address: string): string[] => {
  // The URL parser writes every spelling of an address in the same way, an IPv4 address at the end included.
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const [left, right] = canonical
    .split('::')
    .map((part) => (part === '' ? [] : part.split(':')));

  return right === undefined
    ? left
    : [
        ...left,
        ...Array<string>(8 - left.length - right.length).fill('0'),
        ...right,
      ];
};

// Who a request comes from, for counting. Only our proxy reaches the port, and it believes nobody's header: the last address of
// X-Forwarded-For is the one that it saw. Over IPv6 a visitor is a /64, of which they have all 2^64 addresses.
export const visitorOf = (
  forwardedFor: string | undefined,
  peer: string | undefined,
): string => {
  const seen =
    forwardedFor?.split(',').pop()?.trim() || peer?.trim() || 'unknown';
  const [address] = seen.split('%');

  if (isIPv4(address) || !isIPv6(address)) {
    return seen;
  }

  const groups = groupsOf(address);

  if (groups.slice(0, 5).every((g) => g === '0') && groups[5] === 'ffff') {
    return groups
      .slice(6)
      .flatMap((group) => {
        const value = Number.parseInt(group, 16);

        return [value >> 8, value & 0xff];
      })
      .join('.');
  }

  return `${groups.slice(0, NETWORK_GROUPS).join(':')}::/64`;
};
