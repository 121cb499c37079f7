// SPDX-License-Identifier: AGPL-3.0-only
// A file link is /files/<folder>/<token>/<name>. Its token names the whole path (`<folder>/<name>`) and the workspace, and opens nothing else.

/* What people are shown. Sources of functions are not: they are read by their id. */
const SERVED_FOLDERS = new Set([
  'agent-chat',
  'attachment',
  'file',
  'person-picture',
  'profile-picture',
  'workspace-logo',
]);

/* Faces and logos stay on a page that is open for days; upstream lets their links live for ever. */
const LONG_FOLDERS = new Set(['profile-picture', 'workspace-logo']);
const LONG_LIFETIME = '30d';

const LONGEST_PATH = 1024;

// Control characters, a backslash (a separator elsewhere) and the per cent sign (what is left of something encoded twice).
// eslint-disable-next-line no-control-regex
const FORBIDDEN_CHARACTERS = /[\u0000-\u001f\u007f\\%]/;

/* The path below a workspace's folder as it is stored and signed; null for one that is not served, or that could leave the folder.
   Takes a decoded path. */
export const toServedPath = (path: unknown): string | null => {
  if (typeof path !== 'string' || path.length > LONGEST_PATH) {
    return null;
  }

  const bare = path.startsWith('/') ? path.slice(1) : path;
  const segments = bare.split('/');

  if (
    segments.length < 2 ||
    !SERVED_FOLDERS.has(segments[0]) ||
    FORBIDDEN_CHARACTERS.test(bare) ||
    segments.some((segment) => ['', '.', '..'].includes(segment))
  ) {
    return null;
  }

  return bare;
};

/* How long a link to this path lives; `usual` is FILE_TOKEN_EXPIRES_IN. */
export const getFileLinkLifetime = <T>(path: unknown, usual: T): T | string =>
  LONG_FOLDERS.has(String(path).split('/')[0]) ? LONG_LIFETIME : usual;

export type FileLinkParams = { 0?: unknown; filename?: unknown };

/* The path that a request asks for: `params` as the router decoded them, `0` being `<folder>/<token>`. */
export const readRequestedPath = (params: FileLinkParams): string | null => {
  const folders = String(params[0] ?? '').split('/');

  folders.pop(); // the token

  return toServedPath([...folders, params.filename].join('/'));
};

export type FileLinkClaims = { path?: unknown; exp?: unknown };

/* Does a token, whose signature was checked, open what is asked for? One without a path or an end (made before this rule, or by code
   that upstream adds later) opens nothing; pages get new links whenever they read a record. */
export const doesFileLinkOpen = (
  claims: FileLinkClaims | null | undefined,
  params: FileLinkParams,
  nowInMs: number = Date.now(),
): boolean => {
  const requested = readRequestedPath(params);

  return (
    requested !== null &&
    claims?.path === requested &&
    typeof claims.exp === 'number' &&
    claims.exp * 1000 > nowInMs
  );
};
