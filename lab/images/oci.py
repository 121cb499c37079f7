"""Docker image format: layers as tar files, configuration and manifest as JSON. Pure but for ``write_layer``."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(frozen=True)
class Layer:
    """One layer: ``digest`` and ``size`` (bytes) of the compressed file, ``diff_id`` of the tar inside it."""

    digest: str
    size: int
    diff_id: str


@dataclass(frozen=True)
class RunConfig:
    """How a container of the image runs; names as in Docker's image configuration."""

    env: dict[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    workdir: str = ""
    volumes: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    stop_signal: str = ""

    def document(self) -> dict[str, Any]:
        """The ``config`` object of a Docker image; empty entries left out."""
        wanted: dict[str, Any] = {
            "Env": [f"{name}={value}" for name, value in self.env.items()],
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "WorkingDir": self.workdir,
            "Volumes": {path: {} for path in self.volumes},
            "ExposedPorts": {port: {} for port in self.ports},
            "StopSignal": self.stop_signal,
        }
        return {name: value for name, value in wanted.items() if value}


def sha256(data: bytes) -> str:
    """Digest as a registry writes it: ``sha256:<hex>``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def encode(document: dict[str, Any]) -> bytes:
    """JSON with sorted keys: the same document gives the same bytes and digest."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def image_config(layers: list[Layer], run: RunConfig, *, architecture: str, created: str) -> dict[str, Any]:
    """Image configuration document. ``created``: RFC 3339; ``layers`` from the base up."""
    return {
        "architecture": architecture,
        "os": "linux",
        "created": created,
        "config": run.document(),
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": created, "created_by": "lab.images"} for _ in layers],
    }


def manifest(layers: list[Layer], config: bytes) -> dict[str, Any]:
    """Docker schema 2 manifest over a configuration (as bytes) and its layers, from the base up."""
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "size": len(config), "digest": sha256(config)},
        "layers": [{"mediaType": LAYER_TYPE, "size": layer.size, "digest": layer.digest} for layer in layers],
    }


def _walk(root: Path, directory: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Entries below a directory, parents first, sorted by name; links are not followed."""
    with os.scandir(directory) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        path = Path(entry.path)
        status = entry.stat(follow_symlinks=False)
        yield path, status
        if stat.S_ISDIR(status.st_mode):
            yield from _walk(root, path)


def _is_whiteout(status: os.stat_result) -> bool:
    """An overlay's mark for "removed": a character device 0:0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(path: Path) -> bool:
    """An overlay's mark for "nothing of the lower directory shows"."""
    return "trusted.overlay.opaque" in os.listxattr(path, follow_symlinks=False)


class _Digesting:
    """A binary file for writing that keeps SHA-256 and length of what passed."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write, self._hash, self.size = write, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        self._write(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back here; the files below flush themselves."""

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def write_layer(tree: Path, target: Path, *, skip: tuple[str, ...] = ()) -> Layer:
    """Write a directory (an overlay's upper, or a whole root) as a gzip layer file.

    ``skip``: paths relative to ``tree`` whose content is left out (the directory itself stays). Overlay whiteouts
    become ``.wh.`` entries; file capabilities are kept. Source: OCI image layer specification.
    """
    left_out = {tree / path for path in skip}
    with target.open("wb") as raw:
        outer = _Digesting(raw.write)
        with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=outer, mtime=0) as packed:
            inner = _Digesting(packed.write)
            with tarfile.open(fileobj=inner, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as tar:  # type: ignore[call-overload]
                for path, status in _walk(tree, tree):
                    if left_out & set(path.parents):
                        continue
                    _add(tar, tree, path, status)
        return Layer(outer.digest, outer.size, inner.digest)


def _marker(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = 0o600
    return info


def _add(tar: tarfile.TarFile, tree: Path, path: Path, status: os.stat_result) -> None:
    name = path.relative_to(tree).as_posix()
    if _is_whiteout(status):
        tar.addfile(_marker(str(Path(name).parent / f".wh.{path.name}")))
        return
    if stat.S_ISSOCK(status.st_mode):
        return
    info = tar.gettarinfo(str(path), arcname=name)
    info.uname = info.gname = ""
    info.mtime = int(status.st_mtime)
    if info.isreg() and "security.capability" in os.listxattr(path, follow_symlinks=False):
        value = os.getxattr(path, "security.capability", follow_symlinks=False)
        info.pax_headers = {"SCHILY.xattr.security.capability": value.decode("utf-8", "surrogateescape")}
    if info.isreg():
        with path.open("rb") as content:
            tar.addfile(info, content)
    else:
        tar.addfile(info)
    if info.isdir() and _is_opaque(path):
        tar.addfile(_marker(f"{name}/.wh..wh..opq"), BytesIO())


def layers_as_json(layers: list[Layer]) -> list[dict[str, Any]]:
    """Layers for a cache file; ``layers_from_json`` reads them back."""
    return [asdict(layer) for layer in layers]


def layers_from_json(items: list[dict[str, Any]]) -> list[Layer]:
    """Layers as ``layers_as_json`` wrote them."""
    return [Layer(**item) for item in items]
