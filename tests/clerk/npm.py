"""The npm packages that these tests hold the emulator to: installed once by the lock file, kept in the lab's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from lab.identity import cache_dir
from lab.locks import only_one
from tests.contract.native import ensure_node

SOURCE = Path(__file__).parent / "page"


class NpmError(RuntimeError):
    """A program of node's failed; the message has its last lines."""


def run(*argv: str | Path, cwd: Path, env: dict[str, str] | None = None, timeout: float = 120) -> str:
    """Run a program of node's to its end and return what it printed."""
    environ = {**os.environ, "PATH": f"{ensure_node()}:{os.environ['PATH']}", **(env or {})}
    done = subprocess.run([str(a) for a in argv], cwd=cwd, env=environ, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise NpmError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{(done.stdout + done.stderr)[-6000:]}")
    return done.stdout


def packages() -> Path:
    """Directory that holds ``node_modules`` as the lock file says."""
    key = hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()[:16]
    place = cache_dir() / "clerk-tests" / key
    with only_one("clerk-tests"):
        if place.exists():
            return place
        work = place.with_name(f"{place.name}.{os.getpid()}")
        work.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCE / name, work)
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", cwd=work, timeout=300)
        work.rename(place)
    return place


def workspace(directory: Path) -> Path:
    """A directory in which programs find the packages."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "node_modules").symlink_to(packages() / "node_modules")
    return directory


def page(directory: Path) -> Path:
    """The page, built into ``page.js``. Returns that file."""
    place = workspace(directory)
    shutil.copy(SOURCE / "main.tsx", place)
    tool = packages() / "node_modules" / ".bin" / "esbuild"
    define = "--define:process.env.NODE_ENV='production'"
    run(tool, "main.tsx", "--bundle", "--jsx=automatic", define, "--outfile=page.js", "--log-level=warning", cwd=place)
    return place / "page.js"
