// SPDX-License-Identifier: AGPL-3.0-only

import { type OnModuleDestroy } from '@nestjs/common';

import { caching } from 'cache-manager';
import { type RedisCache, redisStore } from 'cache-manager-redis-yet';

import type { Cache } from '@nestjs/cache-manager';

import { CacheStorageNamespace } from 'src/engine/core-modules/cache-storage/types/cache-storage-namespace.enum';
import { TwentyConfigService } from 'src/engine/core-modules/twenty-config/twenty-config.service';

// What may be thrown away at any moment because the database has it: everything else that upstream stores as "cache" is kept.
const MADE_AGAIN: ReadonlySet<string> = new Set([
  CacheStorageNamespace.EngineWorkspace,
]);

// Upstream puts three kinds of things into one Redis: copies of metadata, which are made again; counters and locks, which hold only
// while they are there; and lists of messages that wait to be imported, which would be lost. The Redis of REDIS_URL evicts when it is
// full, so the last two go to that of REDIS_QUEUE_URL, which does not. Without REDIS_QUEUE_URL all of it stays in one.
export class KeptCache implements OnModuleDestroy {
  private constructor(private readonly cache: RedisCache | undefined) {}

  static async open(config: TwentyConfigService): Promise<KeptCache> {
    const url = config.get('REDIS_QUEUE_URL');

    if (!url || url === config.get('REDIS_URL')) {
      return new KeptCache(undefined);
    }

    return new KeptCache(
      await caching(redisStore, {
        url,
        ttl: config.get('CACHE_STORAGE_TTL') * 1000,
      }),
    );
  }

  for(namespace: CacheStorageNamespace, evicting: Cache): Cache {
    return this.cache && !MADE_AGAIN.has(namespace) ? this.cache : evicting;
  }

  async onModuleDestroy(): Promise<void> {
    await this.cache?.store.client.quit();
  }
}

export const keptCacheProvider = {
  provide: KeptCache,
  useFactory: (config: TwentyConfigService): Promise<KeptCache> =>
    KeptCache.open(config),
  inject: [TwentyConfigService],
};
