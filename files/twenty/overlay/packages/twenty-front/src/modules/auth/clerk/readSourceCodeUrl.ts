// SPDX-License-Identifier: AGPL-3.0-only
/* Address of the source that runs here, or null: not set, or none that a browser should follow. */
export const readSourceCodeUrl = (value: unknown): string | null => {
  if (typeof value !== 'string' || value === '') {
    return null;
  }

  try {
    const { protocol, href } = new URL(value);

    return protocol === 'https:' || protocol === 'http:' ? href : null;
  } catch {
    return null;
  }
};
