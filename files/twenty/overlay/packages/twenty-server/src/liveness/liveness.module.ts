// SPDX-License-Identifier: AGPL-3.0-only

import { Module } from '@nestjs/common';

import { LivenessService } from 'src/liveness/liveness.service';

@Module({ providers: [LivenessService] })
export class LivenessModule {}
