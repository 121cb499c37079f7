// SPDX-License-Identifier: AGPL-3.0-only

import {
  Injectable,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';

import { map, type Observable } from 'rxjs';

import { readClerkClientConfig } from 'src/auth/clerk/pure/clerk-settings';

// Adds what the page needs of Clerk to upstream's answer, whose type and tests stay as they are.
@Injectable()
export class ClerkClientConfigInterceptor implements NestInterceptor {
  intercept(
    _context: ExecutionContext,
    next: CallHandler<object>,
  ): Observable<object> {
    return next
      .handle()
      .pipe(
        map((config) => ({ ...config, ...readClerkClientConfig(process.env) })),
      );
  }
}
