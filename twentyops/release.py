"""A release: what one deploy puts in place, named after its content.

``<first 8 of the content hash>-<first 8 of the config hash>``: the same sources and settings give the same release on any
machine, so a run that was killed and run again ends in the same place.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from twentyops import __version__

MANIFEST_VERSION = 1


def content_hash(source: str, patchset: str, build_arguments: dict[str, str]) -> str:
    """64 hex digits over source commit (or tree hash), overlay + rules and build arguments: the image's tag."""
    text = json.dumps([source, patchset, sorted(build_arguments.items())], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def config_hash(files: dict[str, str]) -> str:
    """64 hex digits over the rendered configuration ``{path: text}``; secrets are in it, so only their hash leaves."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path}\0{len(files[path])}\0{files[path]}".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Manifest:
    """What runs: kept as ``release.json`` in the release's directory on the droplet."""

    id: str
    content_hash: str
    config_hash: str
    images: dict[str, str]
    """``{service: full reference with digest}``"""
    image_tags: dict[str, str]
    """``{service: the tag that the digest was taken from}``"""
    twenty_source: str
    twenty_ref: str
    twenty_commit: str
    twenty_version: str
    public_url: str
    deployed_at: str
    deployed_by: str
    tool_version: str = __version__
    manifest_version: int = MANIFEST_VERSION

    def to_json(self) -> str:
        return json.dumps(self.__dict__, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest | None:
        """The manifest, or ``None`` for an empty, broken or foreign text."""
        try:
            data: dict[str, Any] = json.loads(text)
            return cls(**data)
        except (ValueError, TypeError):
            return None


def who() -> str:
    """``user@host`` of the person or job that deploys; the user's number where it has no name (a container of a CI)."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def now() -> str:
    """UTC time to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
