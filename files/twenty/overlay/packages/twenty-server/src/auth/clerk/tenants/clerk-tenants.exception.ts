// SPDX-License-Identifier: AGPL-3.0-only

export type ClerkTenantsExceptionCode =
  | 'tenant-not-found'
  | 'user-not-found'
  | 'tenant-not-ready'
  | 'no-admin';

export class ClerkTenantsException extends Error {
  constructor(
    readonly code: ClerkTenantsExceptionCode,
    message: string,
  ) {
    super(message);
  }
}
