"""Content-Security-Policy of the page and of stored files, as text. Pure. What was decided about each third party: docs/page-csp.md."""

from __future__ import annotations

import base64
import hashlib
import json
from urllib.parse import urlsplit

from twentyops.settings import Settings, publishable_key_host

FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
"""For what tenants upload: opened by itself, it runs nothing and belongs to no origin. (The style is the browser's own, around a
picture.) The server says the same
(files/twenty/overlay/.../tenancy/files/pure/file-response.ts)."""

FILE_TYPES = (
    "audio/mp4", "audio/ogg", "audio/vnd.wave", "audio/x-m4a",
    "image/apng", "image/avif", "image/bmp", "image/gif", "image/jpeg", "image/png", "image/webp",
    "video/mp4", "video/ogg", "video/quicktime", "video/webm", "video/x-m4v",
)  # fmt: skip
"""What a stored file may be shown as; anything else is downloaded. A PDF keeps its name and is downloaded."""

TURNSTILE = "https://challenges.cloudflare.com"
"""Where Clerk's bot protection loads its script and its frame from (Clerk's docs, CSP headers)."""

CLERK_IMAGES = "https://img.clerk.com"


def page_policy(settings: Settings) -> str:
    """One line for the header. It allows this origin, Clerk's frontend API and what Clerk's documentation asks for."""
    clerk = clerk_origins(settings)
    directives = {
        "default-src": ["'self'"],
        # no 'unsafe-inline', no 'unsafe-eval'; WebAssembly lays out the PDF of a note
        "script-src": ["'self'", "'wasm-unsafe-eval'", config_script_hash(settings.public_url), *clerk, TURNSTILE],
        # both interfaces write style elements at run time
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:", "blob:", CLERK_IMAGES],
        "font-src": ["'self'", "data:"],
        "media-src": ["'self'", "blob:"],
        "connect-src": ["'self'", "blob:", "data:", *clerk],
        "worker-src": ["'self'", "blob:"],
        "frame-src": [TURNSTILE],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'self'"],
    }
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in directives.items())


def clerk_origins(settings: Settings) -> list[str]:
    """Where the page finds Clerk: the host that the publishable key names; in the lab its emulator."""
    told = [url for url in (settings.clerk_proxy_url, settings.clerk_js_url) if url]
    if not told:
        return [f"https://{publishable_key_host(settings.next_public_clerk_publishable_key)}"]
    return sorted({_origin(url) for url in told})


def config_script_hash(public_url: str) -> str:
    """Source expression for the only inline script: the server writes it into index.html when it starts
    (packages/twenty-server/src/utils/generate-front-config.ts). The smoke suite compares it with the page that is served."""
    told = json.dumps({"REACT_APP_SERVER_BASE_URL": public_url}, indent=2, ensure_ascii=False)
    return script_hash(f"\n      window._env_ = {told};\n    ")


def script_hash(text: str) -> str:
    """CSP source expression of an inline script, from the text between its tags."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
