// SPDX-License-Identifier: AGPL-3.0-only
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

import { type Plugin } from 'vite';

/* Where the page finds them: build/copies/. The code editor's place is named in twenty-ui's CodeEditor too (a rule). */
const FOLDER = 'copies';

/* The PDF preview takes its worker from a script CDN, of a version that it spells out at run time. */
const PDF_WORKER_OF_A_CDN =
  /`https:\/\/unpkg\.com\/pdfjs-dist@\$\{\w+\}\/build\/pdf\.worker\.min\.mjs`/g;

/* Serves from our own origin what packages of the page would load from script CDNs, in the versions that yarn.lock names. */
export const ownCopies = (): Plugin => {
  const require = createRequire(path.join(__dirname, 'package.json'));
  const viewer = path.dirname(require.resolve('@cyntler/react-doc-viewer'));
  const monaco = path.dirname(require.resolve('monaco-editor/package.json'));
  let replaced = 0;

  return {
    name: 'twentyops-own-copies',
    apply: 'build',

    transform: (code, id) => {
      if (!id.includes('@cyntler/react-doc-viewer') || !PDF_WORKER_OF_A_CDN.test(code)) {
        return null;
      }

      replaced += 1;

      return {
        code: code.replace(
          PDF_WORKER_OF_A_CDN,
          `"/${FOLDER}/pdf.worker.mjs", window.location.origin`,
        ),
        map: null,
      };
    },

    writeBundle: (options) => {
      if (replaced !== 1) {
        throw new Error(
          `The PDF preview names its worker's address in ${replaced} files instead of 1: adapt vite-plugin-own-copies.ts to this version of @cyntler/react-doc-viewer`,
        );
      }

      const target = path.join(options.dir ?? 'build', FOLDER);

      fs.mkdirSync(target, { recursive: true });
      fs.copyFileSync(
        path.join(viewer, 'pdf.worker.mjs'),
        path.join(target, 'pdf.worker.mjs'),
      );
      fs.cpSync(
        path.join(monaco, 'min', 'vs'),
        path.join(target, 'monaco', 'vs'),
        { recursive: true },
      );
    },
  };
};
