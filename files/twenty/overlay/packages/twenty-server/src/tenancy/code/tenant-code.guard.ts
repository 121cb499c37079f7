// SPDX-License-Identifier: AGPL-3.0-only

import {
  HttpException,
  HttpStatus,
  Injectable,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';

import { isOpenWithoutTenantCode } from 'src/tenancy/code/pure/tenant-code';
import { tenantCodeIsOff } from 'src/tenancy/code/refuse-tenant-code';

// On every class by which tenants' code is made, changed, published or started.
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

    const refusal = tenantCodeIsOff();

    throw context.getType() === 'http'
      ? new HttpException(refusal.message, HttpStatus.FORBIDDEN)
      : refusal;
  }
}
