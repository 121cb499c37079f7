// SPDX-License-Identifier: AGPL-3.0-only

import {
  HttpException,
  HttpStatus,
  Injectable,
  type CanActivate,
  type ExecutionContext,
} from '@nestjs/common';

import { type Request } from 'express';

import {
  carriesInternalSecret,
  readInternalSecret,
} from 'src/auth/clerk/guards/internal-secret';

// For the tenant manager and the data model; the proxy never lets /internal through.
@Injectable()
export class ClerkInternalGuard implements CanActivate {
  private readonly secret = readInternalSecret();

  canActivate(context: ExecutionContext): boolean {
    if (this.secret === undefined) {
      throw new HttpException({ error: 'not-found' }, HttpStatus.NOT_FOUND);
    }

    const request = context.switchToHttp().getRequest<Request>();

    if (!carriesInternalSecret(request.headers.authorization, this.secret)) {
      throw new HttpException(
        { error: 'unauthorized' },
        HttpStatus.UNAUTHORIZED,
      );
    }

    return true;
  }
}
