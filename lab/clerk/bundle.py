"""The real clerk-js: fetched from npm once, checked against a pinned digest, kept outside of the repository."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from pathlib import Path

from lab.command import run
from lab.identity import LabError, cache_dir
from lab.locks import only_one

PACKAGE, VERSION = "@clerk/clerk-js", "5.128.0"
SHA256 = "9f3363f9103a5f020b58c1390c557cbad73bd48fd40247f486af57936d09be1d"


def directory() -> Path:
    """Where the bundle's files lie, or will."""
    return cache_dir() / "clerk-js" / VERSION


def ensure() -> Path:
    """The directory with clerk-js' files (``clerk.browser.js`` and its chunks). LabError when npm cannot supply them."""
    found = directory()
    with only_one("clerk-js"):
        if not (found / "clerk.browser.js").exists():
            _fetch(found)
    return found


def _fetch(found: Path) -> None:
    """Unpack the pinned package from npm to a directory, all of it or nothing."""
    fresh = found.with_name(f"{found.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        if shutil.which("npm") is None:
            raise LabError(f"npm is missing here, and with it {PACKAGE}: apt-get install npm, then run this again")
        run("npm", "pack", "--silent", f"{PACKAGE}@{VERSION}", cwd=fresh, timeout=120)
        (archive,) = fresh.glob("*.tgz")
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if digest != SHA256:
            raise LabError(f"{PACKAGE}@{VERSION} from npm has the digest {digest}, expected {SHA256}: it is not the pinned one")
        files = fresh / "files"
        files.mkdir()
        with tarfile.open(archive) as packed:
            for member in packed:
                name = member.name.removeprefix("package/dist/")
                if member.isfile() and name.endswith(".js") and "/" not in name:
                    member.name = name
                    packed.extract(member, files, filter="data")
        shutil.rmtree(found, ignore_errors=True)
        files.rename(found)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
