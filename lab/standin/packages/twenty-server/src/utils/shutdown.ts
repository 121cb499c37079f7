import { logger } from '../logger';

// A container runtime sends SIGTERM and kills ten seconds later: what is under way is finished before that.
const DEADLINE_MS = 8_000;

export const onShutdown = (name: string, close: () => Promise<void>): void => {
  const log = logger(name);
  let closing = false;
  const handle = (signal: NodeJS.Signals): void => {
    if (closing) return;
    closing = true;
    log.log(`${signal}: closing`);
    setTimeout(() => {
      log.error(`not closed after ${DEADLINE_MS} ms, giving up`);
      process.exit(1);
    }, DEADLINE_MS).unref();
    close().then(
      () => {
        log.log('closed');
        process.exit(0);
      },
      (error: Error) => {
        log.error(`closing failed: ${error.message}`);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', handle);
  process.on('SIGINT', handle);
};
