"""Names for addresses: from Clerk's slug, else transliterated; which are taken is the store's to know."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from slugify import slugify

LONGEST = 40


def candidates(organization_id: str, name: str, slug: str | None) -> Iterator[str]:
    """Slugs in the order to try them; the later ones carry a piece of the organisation's id's hash, always the same one."""
    digest = hashlib.sha256(organization_id.encode()).hexdigest()
    base = slugify(slug or name, max_length=LONGEST, word_boundary=False) or "workspace"
    yield base
    for length in (6, 12, 64):
        yield f"{base}-{digest[:length]}"
