import { CRON_JOBS } from '../../engine/core-modules/cron-jobs';
import { addCron } from '../../engine/core-modules/message-queue';
import { logger } from '../../logger';

const log = logger('CronRegisterAllCommand');

export const registerAllCronJobs = async (): Promise<void> => {
  for (const { queue, name, pattern } of CRON_JOBS) {
    await addCron(queue, name, pattern);
    log.log(`${queue}: ${name} (${pattern})`);
  }
  log.log(`${CRON_JOBS.length} cron jobs registered`);
};
