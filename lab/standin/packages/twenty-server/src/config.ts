// Settings from the environment, read once. A server, worker or command that lacks one refuses to start and says which.

export type Config = {
  databaseUrl: string;
  redisUrl: string;
  redisQueueUrl: string;
  appSecret: string;
  serverUrl: string;
  port: number;
  appVersion: string | undefined;
  isMultiWorkspaceEnabled: boolean;
  isPasswordAuthEnabled: boolean;
  isConfigVariablesInDbEnabled: boolean;
  accessTokenTtl: string;
  workspaceAgnosticTokenTtl: string;
  loginTokenTtl: string;
  refreshTokenTtl: string;
  refreshTokenCoolDown: string;
  standin: { unhealthy: boolean; slowBootSeconds: number };
};

const REQUIRED: Record<string, string[]> = {
  PG_DATABASE_URL: ['postgres:', 'postgresql:'],
  REDIS_URL: ['redis:', 'rediss:'],
  SERVER_URL: ['http:', 'https:'],
};

const flag = (name: string, fallback: boolean): boolean => {
  const value = process.env[name];
  if (value === undefined) return fallback;
  return ['true', '1', 'yes', 'on'].includes(value.toLowerCase());
};

const number = (name: string, fallback: number, problems: string[]): number => {
  const value = process.env[name];
  if (value === undefined) return fallback;
  const parsed = Number(value);
  if (value.trim() === '' || !Number.isFinite(parsed) || parsed < 0) {
    problems.push(`${name}: ${JSON.stringify(value)} is not a number of 0 or more`);
  }
  return parsed;
};

export class ConfigError extends Error {}

const read = (): Config => {
  const problems: string[] = [];
  for (const [name, protocols] of Object.entries(REQUIRED)) {
    const value = process.env[name];
    if (!value) {
      problems.push(`${name}: missing; give an address that starts with ${protocols.join(' or ')}//`);
      continue;
    }
    if (!URL.canParse(value) || !protocols.includes(new URL(value).protocol)) {
      problems.push(`${name}: not an address that starts with ${protocols.join(' or ')}//`);
    }
  }
  if (!process.env.APP_SECRET) {
    problems.push('APP_SECRET: missing; give a long random string, the same one for server and worker');
  }
  const config: Config = {
    databaseUrl: process.env.PG_DATABASE_URL ?? '',
    redisUrl: process.env.REDIS_URL ?? '',
    redisQueueUrl: process.env.REDIS_QUEUE_URL ?? process.env.REDIS_URL ?? '',
    appSecret: process.env.APP_SECRET ?? '',
    serverUrl: process.env.SERVER_URL ?? '',
    port: number('NODE_PORT', 3000, problems),
    // An empty string counts as set, as upstream: `upgrade` then calls it invalid.
    appVersion: process.env.APP_VERSION,
    isMultiWorkspaceEnabled: flag('IS_MULTIWORKSPACE_ENABLED', false),
    isPasswordAuthEnabled: flag('AUTH_PASSWORD_ENABLED', true),
    isConfigVariablesInDbEnabled: flag('IS_CONFIG_VARIABLES_IN_DB_ENABLED', true),
    accessTokenTtl: process.env.ACCESS_TOKEN_EXPIRES_IN ?? '30m',
    workspaceAgnosticTokenTtl: process.env.WORKSPACE_AGNOSTIC_TOKEN_EXPIRES_IN ?? '30m',
    loginTokenTtl: process.env.LOGIN_TOKEN_EXPIRES_IN ?? '15m',
    refreshTokenTtl: process.env.REFRESH_TOKEN_EXPIRES_IN ?? '60d',
    refreshTokenCoolDown: process.env.REFRESH_TOKEN_COOL_DOWN ?? '1m',
    standin: {
      unhealthy: flag('STANDIN_UNHEALTHY', false),
      slowBootSeconds: number('STANDIN_SLOW_BOOT_SECONDS', 0, problems),
    },
  };
  if (problems.length > 0) {
    throw new ConfigError(`Configuration refused, nothing was started:\n  ${problems.join('\n  ')}`);
  }
  return config;
};

let cached: Config | undefined;

export const getConfig = (): Config => (cached ??= read());

// For the start of each program: a refused configuration is one message and exit code 1, not a stack trace.
export const requireConfig = (): Config => {
  try {
    return getConfig();
  } catch (error) {
    if (error instanceof ConfigError) {
      console.error(error.message);
      process.exit(1);
    }
    throw error;
  }
};
