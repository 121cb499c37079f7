// SPDX-License-Identifier: AGPL-3.0-only

import { type ServerlessDriver } from 'src/engine/core-modules/serverless/drivers/interfaces/serverless-driver.interface';

import { tenantCodeIsOff } from 'src/tenancy/code/refuse-tenant-code';

// The only driver of this server: whichever entry point asks, there is nothing that could run a tenant's code.
export class DisabledDriver implements ServerlessDriver {
  // Nothing was ever deployed, so there is nothing to take back; upstream deletes functions through here.
  async delete(): Promise<void> {}

  async execute(): Promise<never> {
    throw tenantCodeIsOff();
  }
}
