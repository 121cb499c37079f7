// Adds one job to a queue and waits until a worker has done it. Usage: node probe_job.js QUEUE SECONDS
// Environment: REDIS_QUEUE_URL or REDIS_URL, NODE_PATH with bullmq and ioredis. Exit 0 and "completed", or 1 and the job's last state.
const { Queue } = require('bullmq');
const IORedis = require('ioredis');

const [name, seconds] = process.argv.slice(2);

const main = async () => {
  const connection = new IORedis(process.env.REDIS_QUEUE_URL ?? process.env.REDIS_URL, { maxRetriesPerRequest: null });
  const queue = new Queue(name, { connection });
  const job = await queue.add('ContractProbe', { at: Date.now() }, { removeOnComplete: { age: 60 }, removeOnFail: { age: 60 } });
  const deadline = Date.now() + Number(seconds) * 1000;
  let state = await job.getState();
  while (state !== 'completed' && state !== 'failed' && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    state = await job.getState();
  }
  if (state === 'completed') {
    console.log(`completed ${name} ${job.id}`);
  } else {
    console.error(`job ${job.id} on ${name} is ${state} after ${seconds} s`);
    process.exitCode = 1;
    await job.remove();
  }
  await queue.close();
  await connection.quit();
};

main();
