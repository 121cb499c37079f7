// SPDX-License-Identifier: AGPL-3.0-only
import { type Readable } from 'stream';
import { pipeline } from 'stream/promises';

import { type Response } from 'express';
import FileType from 'file-type';

import { getFileResponseHeaders } from 'src/tenancy/files/pure/file-response';

/* Sends a stored file so that it can act as nothing but data. Throws while an error can still be answered; afterwards the connection
   is cut, so that half a file is not taken for a whole one. */
export const sendFile = async (file: Readable, response: Response) => {
  const stream = await FileType.stream(file);

  response.set(getFileResponseHeaders(stream.fileType?.mime));

  try {
    await pipeline(stream, response);
  } catch {
    file.destroy();
    response.destroy();
  }
};
