import { requireConfig } from '../config';
import { registerAllCronJobs } from '../database/commands/cron-register-all.command';
import { upgrade } from '../database/commands/upgrade.command';
import { closeDatabase } from '../engine/core-modules/database';
import { closeQueues } from '../engine/core-modules/message-queue';
import { closeRedis } from '../engine/core-modules/redis';

const COMMANDS: Record<string, () => Promise<void>> = {
  upgrade,
  'cron:register:all': registerAllCronJobs,
};

const main = async (): Promise<void> => {
  const name = process.argv[2] ?? '';
  const command = COMMANDS[name];
  if (!command) {
    console.error(`unknown command ${JSON.stringify(name)}; known: ${Object.keys(COMMANDS).join(', ')}`);
    process.exitCode = 1;
    return;
  }
  requireConfig();
  try {
    await command();
  } finally {
    await closeQueues();
    await closeRedis();
    await closeDatabase();
  }
};

main().catch((error: Error) => {
  console.error(`${process.argv[2]} failed: ${error.message}`);
  process.exitCode = 1;
});
