// SPDX-License-Identifier: AGPL-3.0-only

// Paths in the file storage, local and S3 alike. Each begins with workspace-<uuid>, put there by the server; the rest may
// hold a tenant's words (file names, versions, keys of code, paths of attachments). A path is good when it stays below
// that folder whatever reads it later decodes and normalises.

const WORKSPACE_FOLDER =
  /^workspace-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

// Longer than any path that the server makes; S3 takes 1,024 bytes, Linux 4,096.
const LONGEST = 1024;

// Decoding more often than this is somebody's play: refused rather than followed.
const MOST_DECODINGS = 8;

// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u001f\u007f]/;

// Only ASCII matters to a path's structure (dot, slash, backslash, percent, NUL), so a sequence that is no UTF-8, or a
// lone percent sign in a file's name, is no error.
const decodeOnce = (text: string): string =>
  text.replace(/%([0-7][0-9a-f])/gi, (_, digits: string) =>
    String.fromCharCode(parseInt(digits, 16)),
  );

// The text and everything that it becomes when it is decoded again and again; undefined where that does not end.
const spellingsOf = (text: string): string[] | undefined => {
  const spellings = [text];

  for (let round = 0; round <= MOST_DECODINGS; round += 1) {
    const before = spellings[spellings.length - 1];
    const after = decodeOnce(before);

    if (after === before) {
      return spellings;
    }

    spellings.push(after);
  }

  return undefined;
};

const segmentsOf = (spelling: string) => spelling.split(/[/\\]/);

// What is wrong with words of a tenant that come below a workspace's folder; undefined where nothing is.
const findProblemBelow = (words: string): string | undefined => {
  if (words.length > LONGEST) {
    return 'is too long';
  }

  const spellings = spellingsOf(words);

  if (spellings === undefined) {
    return 'is encoded too many times';
  }

  for (const spelling of spellings) {
    if (CONTROL.test(spelling)) {
      return 'holds a control character';
    }

    if (segmentsOf(spelling).includes('..')) {
      return "leaves its workspace's folder";
    }
  }

  return undefined;
};

const isText = (value: unknown): value is string => typeof value === 'string';

// A folder of the storage: the workspace's own, or one below it.
export const findFolderProblem = (folder: unknown): string | undefined => {
  if (!isText(folder)) {
    return 'is no text';
  }

  const [root] = folder.split('/', 1);

  if (!WORKSPACE_FOLDER.test(root)) {
    return 'does not begin with the folder of a workspace';
  }

  return findProblemBelow(folder);
};

// A file in a folder; its name may hold folders itself ("original/picture.png"), but must name a file.
export const findFileProblem = (
  folder: unknown,
  filename: unknown,
): string | undefined => {
  if (!isText(folder) || !isText(filename)) {
    return 'is no text';
  }

  const problem = findFolderProblem(`${folder}/${filename}`);

  if (problem !== undefined) {
    return problem;
  }

  const namesNothing = (spellingsOf(filename) ?? []).some((spelling) =>
    ['', '.'].includes(segmentsOf(spelling).pop() ?? ''),
  );

  return namesNothing ? 'names no file' : undefined;
};

// A tree of sources as a tenant sends it: {"src": {"index.ts": "..."}}. Every key ends up in a path.
export const findSourcesProblem = (
  folder: unknown,
  sources: unknown,
  depth = 0,
): string | undefined => {
  const problem = findFolderProblem(folder);

  if (problem !== undefined) {
    return problem;
  }

  if (depth > 32) {
    return 'is nested too deeply';
  }

  if (typeof sources !== 'object' || sources === null) {
    return 'is no tree of sources';
  }

  for (const [key, value] of Object.entries(sources)) {
    const found =
      typeof value === 'object' && value !== null
        ? findSourcesProblem(`${String(folder)}/${key}`, value, depth + 1)
        : findFileProblem(folder, key);

    if (found !== undefined) {
      return found;
    }
  }

  return undefined;
};

// A place outside of the storage, where a driver copies to: made by the server alone, from a temporary folder.
export const findLocalProblem = (place: unknown): string | undefined => {
  if (!isText(place) || !place.startsWith('/')) {
    return 'is no absolute path';
  }

  return findProblemBelow(place);
};

// Puts a path together without resolving it: path.join() would take ".." away before anybody could refuse it.
export const joinUnresolved = (...parts: string[]): string =>
  parts.filter((part) => part !== '').join('/');
