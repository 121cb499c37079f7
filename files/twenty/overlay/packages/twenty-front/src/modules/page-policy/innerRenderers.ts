// SPDX-License-Identifier: AGPL-3.0-only
import {
  DocViewerRenderers,
  HTMLRenderer,
  MSDocRenderer,
} from '@cyntler/react-doc-viewer';

/* Previews that stay in the page. Office files would be opened by an outside viewer, which gets the signed link; an HTML file would be
   written into a frame of the CRM's own origin. Both are offered for download. */
export const INNER_RENDERERS = DocViewerRenderers.filter(
  (renderer) => renderer !== MSDocRenderer && renderer !== HTMLRenderer,
);
