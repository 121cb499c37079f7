"""The images that this project builds: what goes into each, how it is named, which digest the registry has for it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from twentyops.errors import NotYetKnown

ROOT = Path(__file__).parent.parent
MANAGER = ROOT / "files" / "tenant_manager"


@dataclass
class Image:
    """An image of ours, tagged with its content hash. ``digest`` is empty until the registry has it.

    + title: what a person calls it
    + context: gives the directory that it is built from, made when it is asked for
    + dockerfile: path below the context
    + arguments: ``{build argument: value}``, given at each build
    + replaced: gives for that directory ``{image that the Dockerfile names: the same or another one, with digest}``
    """

    title: str
    repository: str
    tag: str
    content_hash: str
    context: Callable[[], Path] = field(repr=False)
    dockerfile: str
    arguments: Callable[[], Mapping[str, str]] = field(repr=False)
    replaced: Callable[[Path], Mapping[str, str]] = field(default=lambda _: {}, repr=False)
    cache_tag: str = "buildcache"
    digest: str = ""

    @property
    def name(self) -> str:
        """With its tag."""
        return f"{self.repository}:{self.tag}"

    @property
    def reference(self) -> str:
        """With its digest; ``NotYetKnown`` while it is still to be built."""
        if not self.digest:
            raise NotYetKnown(f"{self.title} is built in this run")
        return f"{self.repository}@{self.digest}"


def manager_files() -> list[Path]:
    """What the tenant manager's image is made from, sorted; the same that its .dockerignore lets through."""
    wanted = [MANAGER / "Dockerfile", MANAGER / ".dockerignore", MANAGER / "requirements.lock"]
    package = [path for path in (MANAGER / "tenant_manager").rglob("*") if path.suffix in {".py", ".mako"}]
    return sorted([*wanted, *package])


def manager_hash(base: str) -> str:
    """64 hex digits over the tenant manager's files and the name of the image that it starts from."""
    digest = hashlib.sha256(f"{base}\0".encode())
    for path in manager_files():
        content = path.read_bytes()
        digest.update(f"{path.relative_to(MANAGER)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
