// SPDX-License-Identifier: AGPL-3.0-only

import { msg } from '@lingui/core/macro';

import { UserInputError } from 'src/engine/core-modules/graphql/utils/graphql-errors.util';

// A photograph of 24 megapixels passes; decoded it takes 100 MB.
export const PICTURE_LIMITS = { limitInputPixels: 25_000_000 };
export const PICTURE_TIME = { seconds: 10 };

const LARGEST_DRAWING = 256 * 1024;

/** Before an SVG is parsed. */
export const assertSmallDrawing = (file: { length: number }): void => {
  if (file.length > LARGEST_DRAWING) {
    throw new UserInputError(`An SVG has at most ${LARGEST_DRAWING} bytes`, {
      userFriendlyMessage: msg`This drawing is too large: an SVG has at most 256 KB.`,
    });
  }
};
