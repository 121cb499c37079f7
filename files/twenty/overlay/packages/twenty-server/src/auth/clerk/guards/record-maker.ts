// SPDX-License-Identifier: AGPL-3.0-only

import {
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { GqlExecutionContext, type GqlContextType } from '@nestjs/graphql';

import { mergeMap, type Observable } from 'rxjs';

import { credentialStore } from 'src/auth/clerk/guards/clerk-gate';
import { isClerkOn } from 'src/auth/clerk/guards/clerk-switch';
import { sessionEnded } from 'src/auth/clerk/guards/closed-by-clerk';
import {
  type CredentialKind,
  type Maker,
} from 'src/auth/clerk/store/credential-store';

type MakingRequest = {
  user?: { id: string } | null;
  apiKey?: { id: string } | null;
  workspace?: { id: string };
  params?: { id?: string };
  body?: Record<string, unknown>;
};

type Input = Record<string, unknown>;

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' ? value : undefined;

// GraphQL has its arguments, REST a path and a body.
const readCall = (
  context: ExecutionContext,
): { request: MakingRequest; input: Input } => {
  if (context.getType<GqlContextType>() === 'graphql') {
    const call = GqlExecutionContext.create(context);
    const { input, ...args } = call.getArgs<{ input?: Input } & Input>();

    return {
      request: call.getContext<{ req: MakingRequest }>().req,
      input: { ...args, ...input },
    };
  }

  const request = context.switchToHttp().getRequest<MakingRequest>();

  return { request, input: { ...request.body, ...request.params } };
};

// Writes down who makes an API key or webhook, asks for a key's token, or sends a webhook elsewhere. Upstream keeps nobody; what a
// removed member holds would stay good.
class RecordMaker implements NestInterceptor {
  constructor(private readonly kind: CredentialKind) {}

  async intercept(
    context: ExecutionContext,
    next: CallHandler<unknown>,
  ): Promise<Observable<unknown>> {
    if (!isClerkOn()) {
      return next.handle();
    }

    const { request, input } = readCall(context);
    // Of what is there already. What is made now has its id in the answer, whatever else was sent along.
    const givenId = context.getHandler().name.startsWith('create')
      ? undefined
      : (textOf(input.apiKeyId) ?? textOf(input.id));
    const targetBefore =
      this.kind === 'webhook' && givenId !== undefined
        ? await credentialStore.readTarget(givenId)
        : undefined;

    return next.handle().pipe(
      mergeMap(async (made) => {
        const id = givenId ?? textOf((made as { id?: unknown } | null)?.id);
        const isTheSame =
          this.kind === 'webhook' &&
          givenId !== undefined &&
          targetBefore === (await credentialStore.readTarget(givenId));

        if (made !== null && made !== undefined && id && !isTheSame) {
          await this.record(id, request, givenId === undefined);
        }

        return made;
      }),
    );
  }

  private async record(
    id: string,
    request: MakingRequest,
    isNew: boolean,
  ): Promise<void> {
    const maker: Maker | undefined = request.user
      ? { userId: request.user.id }
      : request.apiKey
        ? { apiKeyId: request.apiKey.id }
        : undefined;
    const workspaceId = request.workspace?.id;

    if (maker !== undefined && workspaceId !== undefined) {
      await credentialStore.record(this.kind, id, workspaceId, maker);

      if (await credentialStore.isStillEntitled(workspaceId, maker)) {
        return;
      }
    }

    // Removed while they made it. A key that was there before stays: its token is not handed out.
    if (isNew || this.kind === 'webhook') {
      await credentialStore.withdraw(this.kind, id);
    }
    throw sessionEnded();
  }
}

export const RECORD_API_KEY = new RecordMaker('apiKey');
export const RECORD_WEBHOOK = new RecordMaker('webhook');
