// One line a message: time, process, level, where, what.
const write = (level: string, context: string, message: string): void => {
  const stream = level === 'ERROR' || level === 'WARN' ? process.stderr : process.stdout;
  stream.write(`[standin] ${process.pid} ${new Date().toISOString()} ${level} [${context}] ${message}\n`);
};

export const logger = (context: string) => ({
  log: (message: string) => write('LOG', context, message),
  warn: (message: string) => write('WARN', context, message),
  error: (message: string) => write('ERROR', context, message),
});
