// SPDX-License-Identifier: AGPL-3.0-only

import {
  HttpException,
  HttpStatus,
  Injectable,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';

import {
  isOfRemoteServers,
  isOpenWithoutTenantCode,
} from 'src/tenancy/code/pure/tenant-code';
import {
  remoteServersAreOff,
  tenantCodeIsOff,
} from 'src/tenancy/code/refuse-tenant-code';

// On every class by which tenants' code is made, changed, published or started, and on those of remote servers.
@Injectable()
export class TenantCodeGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    if (
      isOpenWithoutTenantCode(
        context.getClass().name,
        context.getHandler().name,
      )
    ) {
      return true;
    }

    const refusal = isOfRemoteServers(context.getClass().name)
      ? remoteServersAreOff()
      : tenantCodeIsOff();

    throw context.getType() === 'http'
      ? new HttpException(refusal.message, HttpStatus.FORBIDDEN)
      : refusal;
  }
}
