// SPDX-License-Identifier: AGPL-3.0-only

import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

import type { NextFunction, Request, Response } from 'express';

const TYPES: Record<string, string> = {
  '.css': 'text/css; charset=UTF-8',
  '.js': 'application/javascript; charset=UTF-8',
  '.json': 'application/json; charset=UTF-8',
  '.mjs': 'application/javascript; charset=UTF-8',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};
// As the files themselves are served.
const CACHE_CONTROL = 'public, max-age=0';
const MOST_BYTES = 64_000_000;

type Asset = { body: Buffer; etag: string };

// The page's own files, compressed once and then handed to everybody from the same memory. The proxy would compress for each visitor
// anew, and holds 0.4 to 1.2 MB for as long as one of them does not read on: a hundred such visitors took all of its memory.
export const compressedAssets = (
  front: string,
): ((request: Request, response: Response, next: NextFunction) => void) => {
  const directory = join(front, 'assets');
  const names = new Set(
    existsSync(directory)
      ? readdirSync(directory).filter((name) => extname(name) in TYPES)
      : [],
  );
  const kept = new Map<string, Promise<Asset>>();
  let bytes = 0;

  const compress = async (name: string): Promise<Asset> => {
    const body = await promisify(gzip)(await readFile(join(directory, name)), {
      level: 9,
    });

    bytes += body.length;

    return {
      body,
      etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 27)}"`,
    };
  };

  return (request, response, next) => {
    const name = /^\/assets\/([\w.-]+)$/.exec(request.path)?.[1];

    // Only names that were there at the start: they are files of this directory, and their number has an end.
    if (
      name === undefined ||
      !names.has(name) ||
      !['GET', 'HEAD'].includes(request.method) ||
      request.acceptsEncodings(['gzip', 'identity']) !== 'gzip' ||
      (bytes >= MOST_BYTES && !kept.has(name))
    ) {
      next();

      return;
    }

    const asset = kept.get(name) ?? compress(name);

    kept.set(name, asset);
    asset.then(
      ({ body, etag }) => {
        response.set({
          'Access-Control-Allow-Origin': '*',
          'Cache-Control': CACHE_CONTROL,
          'Content-Encoding': 'gzip',
          'Content-Type': TYPES[extname(name)],
          ETag: etag,
          Vary: 'Accept-Encoding',
        });

        if (request.fresh) {
          response.status(304).end();

          return;
        }
        response.set('Content-Length', String(body.length));
        response.end(request.method === 'HEAD' ? undefined : body);
      },
      () => {
        kept.delete(name);
        next();
      },
    );
  };
};
