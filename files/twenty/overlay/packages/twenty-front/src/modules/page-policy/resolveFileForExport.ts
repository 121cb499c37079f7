// SPDX-License-Identifier: AGPL-3.0-only
import { REACT_APP_SERVER_BASE_URL } from '~/config';

/* One transparent pixel: stands where a picture of another site would be, which the page may not fetch. */
const NO_PICTURE =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR4nGNgAAIAAAUAAXpeqz8AAAAASUVORK5CYII=';

const getNoPicture = () =>
  new Blob(
    [Uint8Array.from(atob(NO_PICTURE), (sign) => sign.charCodeAt(0))],
    { type: 'image/png' },
  );

const isOwn = (url: string) => {
  try {
    const { origin } = new URL(url, window.location.href);

    return [
      window.location.origin,
      new URL(REACT_APP_SERVER_BASE_URL).origin,
    ].includes(origin);
  } catch {
    return false;
  }
};

/* A file of a note that is exported. BlockNote's default asks a proxy of its maker's for it, and hands over the signed link. */
export const resolveFileForExport = async (url: string): Promise<Blob> => {
  if (!isOwn(url)) {
    return getNoPicture();
  }

  const response = await fetch(url);

  return response.ok ? await response.blob() : getNoPicture();
};
