"""What no kept release needs goes: directories and images of releases, images on the builder, patched trees in the cache.

Never what runs, what would be put back, a volume, or an image that no release of ours has named.
"""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyinfra import logger

from twentyops.stack import HOME

Remote = Callable[[str], tuple[bool, str]]
"""Runs a shell command on the host now: (succeeded, output); twentyops.operations.remote."""
LIST_RELEASES = (
    f"cd {HOME}/releases && c=$(readlink -e {HOME}/current) && echo current ${{c##*/}} && for r in $(ls -1t); do "
    'test -f "$r/release.json" && s=recorded || s=failed; '
    "echo $s $r $(cat $r/release.json $r/compose.yaml 2> /dev/null | grep -oE '[^\" ]+@sha256:[0-9a-f]{64}' | sort -u); done"
)
DAY = 86_400


@dataclass(frozen=True)
class Kept:
    """A release's directory on the droplet, with the images that it names."""

    name: str
    recorded: bool
    """Whether it served once; the others failed or were killed."""
    images: frozenset[str]


def read(text: str) -> tuple[str, list[Kept]]:
    """(name of what runs, all releases, newest first) of what LIST_RELEASES prints."""
    current, found = "", []
    for line in text.splitlines():
        state, name, *images = line.split()
        if state == "current":
            current = name
        else:
            found.append(Kept(name, state == "recorded", frozenset(images)))
    return current, found


def superseded(current: str, releases: list[Kept], keep: int) -> tuple[list[str], list[str]]:
    """(directories, images) that go, when ``keep`` releases stay, the running one included; of those that never served none does."""
    served = [release.name for release in releases if release.recorded and release.name != current]
    kept = {current, *served[: keep - 1]}
    needed = {image for release in releases if release.name in kept for image in release.images}
    gone = [release for release in releases if release.name not in kept]
    return [release.name for release in gone], sorted({image for release in gone for image in release.images} - needed)


def releases(remote: Remote, keep: int) -> str | None:
    """Let go on the droplet what no kept release needs. A text says why that failed."""
    succeeded, text = remote(LIST_RELEASES)
    if not succeeded:
        return f"the releases could not be listed, or {HOME}/current names none: {text}"
    current, found = read(text)
    names, images = superseded(current, found, keep)
    if not names:
        return None
    succeeded, text = remote(f"cd {HOME}/releases && rm -rf -- {shlex.join(names)}")
    if not succeeded:
        return f"former releases could not be removed: {text}"
    _remove_images(remote, images)
    return None


def built_images(remote: Remote, repository: str, keep: int) -> None:
    """Let go on the builder all but the newest ``keep`` images of our repository; BuildKit's cache is its own and stays."""
    succeeded, text = remote(f"docker image ls --format '{{{{.Repository}}}}:{{{{.Tag}}}}' {shlex.quote(repository)}")
    if succeeded:
        _remove_images(remote, [name for name in text.split() if not name.endswith(":<none>")][keep:])


def _remove_images(remote: Remote, images: list[str]) -> None:
    """Without force: Docker keeps what a container uses, also a stopped one. What stays is no reason to fail a deploy."""
    if images:
        succeeded, text = remote(f"docker image rm {shlex.join(images)}")
        if not succeeded:
            logger.warning(
                f"    some images of former releases stay: {text.strip().splitlines()[-1] if text.strip() else 'no reason'}"
            )


def trees(directory: Path, keep: int) -> None:
    """Let go the patched trees beyond the ``keep`` that were used last, and what killed runs left half made; nothing of the last day,
    which another deploy may be at work with."""
    entries = sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    whole = [path for path in entries if path.is_dir() and "." not in path.name]
    half = [path for path in entries if path not in whole]
    for path in [*whole[keep:], *half]:
        if path.stat().st_mtime > time.time() - DAY:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def used(tree: Path) -> None:
    """Note that a tree was used now."""
    os.utime(tree)
