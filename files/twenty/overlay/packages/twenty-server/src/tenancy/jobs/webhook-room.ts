// SPDX-License-Identifier: AGPL-3.0-only

import { msg } from '@lingui/core/macro';
import { IsNull, type Repository } from 'typeorm';

import { type WebhookEntity } from 'src/engine/core-modules/webhook/webhook.entity';
import {
  WebhookException,
  WebhookExceptionCode,
} from 'src/engine/core-modules/webhook/webhook.exception';

const MOST_OF_A_WORKSPACE = 50;

/** Before a webhook is made: each is sent every change, so that their number multiplies what one change costs. */
export const assertRoomForWebhook = async (
  webhooks: Repository<WebhookEntity>,
  workspaceId: string | undefined,
): Promise<void> => {
  const count = await webhooks.countBy({
    workspaceId: workspaceId ?? '',
    deletedAt: IsNull(),
  });

  if (count >= MOST_OF_A_WORKSPACE) {
    throw new WebhookException(
      `A workspace has at most ${MOST_OF_A_WORKSPACE} webhooks`,
      // upstream's only code for what the sender can mend
      WebhookExceptionCode.INVALID_TARGET_URL,
      {
        userFriendlyMessage: msg`A workspace has at most 50 webhooks. Delete one that is no longer needed.`,
      },
    );
  }
};
