"""Built images of a tree survive the lab: the parts of the registry's storage that hold them are kept in the cache, by hard links, and laid
into the next lab's registry. A front build takes eight minutes, a link none.

The layout is the registry's own (docker/registry/v2): ``blobs/sha256/ab/<digest>/data`` never changes and is linked; ``link`` files, which
the registry writes in place, are copied.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lab.identity import cache_dir
from twentyops.image import Image

ROOT = Path("docker/registry/v2")
TREES = 4  # images that stay; the oldest go first. One of Twenty's takes about a gigabyte, most of it shared with the others


def shelf() -> Path:
    """Where they are kept: a directory for each tag, laid out as the registry's storage."""
    return cache_dir() / "built"


def _blob(storage: Path, digest: str) -> Path:
    return storage / ROOT / "blobs" / "sha256" / digest.removeprefix("sha256:")[:2] / digest.removeprefix("sha256:") / "data"


def _named(document: dict[str, Any]) -> Iterator[str]:
    """Digests that a manifest or an index names."""
    for entry in [document.get("config"), *document.get("layers", []), *document.get("manifests", [])]:
        if entry:
            yield str(entry["digest"])


def _digests(storage: Path, digest: str) -> dict[str, bool]:
    """``{digest: whether it is a manifest}`` of everything that a manifest or index is made of, itself first."""
    found = {digest: True}
    document = json.loads(_blob(storage, digest).read_bytes())
    for entry in document.get("manifests", []):
        if "manifest" in str(entry.get("mediaType", "")) or "image.index" in str(entry.get("mediaType", "")):
            found |= _digests(storage, str(entry["digest"]))
    for name in _named(document):
        found.setdefault(name, False)
    return found


def _copy(source: Path, target: Path, digest: str, manifests: dict[str, bool], repository: str, tag: str) -> None:
    for name, is_manifest in manifests.items():
        blob = _blob(target, name)
        if not blob.exists():
            blob.parent.mkdir(parents=True, exist_ok=True)
            os.link(_blob(source, name), blob)
        _link(target, repository, Path("_manifests/revisions" if is_manifest else "_layers"), name)
        if is_manifest:  # BuildKit asks for a manifest of its cache as a blob
            _link(target, repository, Path("_layers"), name)
    _link(target, repository, Path("_manifests/tags") / tag / "index", digest)
    current = target / ROOT / "repositories" / repository / "_manifests/tags" / tag / "current" / "link"
    current.parent.mkdir(parents=True, exist_ok=True)
    current.write_text(digest)


def _link(target: Path, repository: str, below: Path, digest: str) -> None:
    file = target / ROOT / "repositories" / repository / below / "sha256" / digest.removeprefix("sha256:") / "link"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(digest)


def _tag(storage: Path, repository: str, tag: str) -> str:
    """Digest that a tag has in a storage; empty where there is none, or a part of it is missing."""
    file = storage / ROOT / "repositories" / repository / "_manifests/tags" / tag / "current" / "link"
    if not file.is_file():
        return ""
    digest = file.read_text().strip()
    try:
        whole = all(_blob(storage, name).is_file() for name in _digests(storage, digest))
    except (FileNotFoundError, json.JSONDecodeError):
        return ""
    return digest if whole else ""


def _repository(image: Image) -> str:
    return image.repository.partition("/")[2]


def keep(storage: Path, images: Sequence[Image]) -> list[str]:
    """Keep these images and their build cache. Gives what was done, in words."""
    said = []
    for image in images:
        for tag in (image.tag, image.cache_tag):
            digest = _tag(storage, _repository(image), tag)
            place = shelf() / tag
            if not digest or _tag(place, _repository(image), tag) == digest:
                continue
            fresh = place.with_name(f".{tag}.{os.getpid()}")
            if fresh.exists():
                shutil.rmtree(fresh)
            _copy(storage, fresh, digest, _digests(storage, digest), _repository(image), tag)
            if place.exists():
                shutil.rmtree(place)
            fresh.rename(place)
            said.append(f"kept {_repository(image)}:{tag[:24]} for later labs")
        os.utime(shelf() / image.tag) if (shelf() / image.tag).exists() else None
    _prune({tag for image in images for tag in (image.tag, image.cache_tag)})
    return said


def restore(storage: Path, images: Sequence[Image]) -> list[str]:
    """Lay what is kept of these images, or of their build cache, into a registry that lacks it."""
    said = []
    for image in images:
        for tag in (image.tag, image.cache_tag):
            place = shelf() / tag
            digest = _tag(place, _repository(image), tag)
            if digest and not _tag(storage, _repository(image), tag):
                _copy(place, storage, digest, _digests(place, digest), _repository(image), tag)
                said.append(f"the registry has {_repository(image)}:{tag[:24]} from an earlier lab")
    return said


def _prune(current: set[str]) -> None:
    places = [
        path for path in shelf().glob("[!.]*") if path.is_dir() and path.name not in current and "buildcache" not in path.name
    ]
    for path in sorted(places, key=lambda path: path.stat().st_mtime, reverse=True)[TREES:]:
        shutil.rmtree(path)
