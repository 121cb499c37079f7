import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { logger } from '../logger';

const BEGIN = '<!-- BEGIN: Twenty Config -->';
const END = '<!-- END: Twenty Config -->';

export const frontDirectory = path.join(__dirname, '..', '..', 'front');

// At each boot the block between the markers is written anew from a fixed list: what anybody put there is gone.
export const generateFrontConfig = (serverUrl: string): void => {
  const page = path.join(frontDirectory, 'index.html');
  if (!existsSync(page)) {
    logger('front').warn(`no page at ${page}; serving the API alone`);
    return;
  }
  const settings = JSON.stringify({ REACT_APP_SERVER_BASE_URL: serverUrl }, null, 2).replaceAll('<', '\\u003c');
  const block = `${BEGIN}\n    <script id="twenty-env-config">\n      window._env_ = ${settings};\n    </script>\n    ${END}`;
  const before = readFileSync(page, 'utf8');
  const start = before.indexOf(BEGIN);
  const end = before.indexOf(END, start);
  if (start < 0 || end < 0) {
    logger('front').warn(`${page} has no block between "${BEGIN}" and "${END}"; left as it is`);
    return;
  }
  const after = before.slice(0, start) + block + before.slice(end + END.length);
  if (after === before) return;
  try {
    // written in place, as upstream: in an image the page is a link to a file that can be written
    writeFileSync(page, after, 'utf8');
  } catch (error) {
    logger('front').warn(`${page} cannot be written (${(error as Error).message}); left as it is`);
  }
};
