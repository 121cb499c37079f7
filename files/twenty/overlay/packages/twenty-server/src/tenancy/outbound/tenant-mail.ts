// SPDX-License-Identifier: AGPL-3.0-only

import { Logger } from '@nestjs/common';

import { type ImapFlow } from 'imapflow';

import {
  boundMail,
  MAIL_LIMITS,
  TRIAL_LIMITS,
} from 'src/tenancy/outbound/pure/bounded-mail';

const logger = new Logger('TenantMail');
const log = (message: string): void => logger.warn(message);

/** Around every client of a mail server that a tenant chose. */
export const tenantMail = (client: ImapFlow): ImapFlow =>
  boundMail(client, log, MAIL_LIMITS);

/** The same where the account is only tried. */
export const tenantMailTrial = (client: ImapFlow): ImapFlow =>
  boundMail(client, log, TRIAL_LIMITS);
