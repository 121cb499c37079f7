// SPDX-License-Identifier: AGPL-3.0-only
// A stored file comes from a tenant and is served from the CRM's own origin: it must never act as a page, a script or a style sheet.

/* What a browser may show by itself. Decided by the file's first bytes, not by its name or by what the uploader said. MP3 is not here:
   its mark is so weak that UTF-16 text is taken for it. */
const SHOWN_TYPES = new Set([
  'audio/mp4',
  'audio/ogg',
  'audio/vnd.wave',
  'audio/x-m4a',
  'image/apng',
  'image/avif',
  'image/bmp',
  'image/gif',
  'image/jpeg',
  'image/png',
  'image/webp',
  'video/mp4',
  'video/ogg',
  'video/quicktime',
  'video/webm',
  'video/x-m4v',
]);

/* Named truthfully, but downloaded: a browser's PDF viewer does not start under `sandbox`. The CRM's preview fetches the file. */
const NAMED_TYPES = new Set(['application/pdf']);

export const FILE_CONTENT_SECURITY_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'";

/* Headers of a stored file whose first bytes are of `detectedType` (undefined: no type known). */
export const getFileResponseHeaders = (
  detectedType: string | undefined,
): Record<string, string> => {
  const isShown = detectedType !== undefined && SHOWN_TYPES.has(detectedType);
  const isNamed = detectedType !== undefined && NAMED_TYPES.has(detectedType);

  return {
    'Content-Type':
      isShown || isNamed ? detectedType : 'application/octet-stream',
    'Content-Disposition': isShown ? 'inline' : 'attachment',
    'Content-Security-Policy': FILE_CONTENT_SECURITY_POLICY,
    'X-Content-Type-Options': 'nosniff',
    // a workspace's own address in subdomain mode is another origin of the same site
    'Cross-Origin-Resource-Policy': 'same-site',
  };
};
