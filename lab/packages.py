"""Debian packages of this machine, for the lab and its tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.command import run
from lab.identity import LabError
from lab.locks import only_one

LOCK = "packages"
"""Of apt's state on this machine (lab.locks)."""
POLICY = Path("/usr/sbin/policy-rc.d")
"""Asked by packages whether they may start their service (Debian's invoke-rc.d; exit code 101: no)."""


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Packages only bring their programs: what runs is started by the lab, on ports of its own."""
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink()


def update() -> None:
    """Fetch apt's lists, one process at a time: apt itself refuses a second one at once."""
    with only_one(LOCK):
        run("apt-get", "-q", "update", timeout=300)


def install(packages: Sequence[str], say: Callable[[str], None] = lambda _: None) -> None:
    """Install Debian packages, one process at a time; LabError names them and the command to type."""
    if not packages:
        return
    command = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise LabError(f"missing here: {' '.join(packages)} (Debian's names); install them, then run this again")
    if os.geteuid() != 0:
        raise LabError(f"missing here: {' '.join(packages)}; install them as root, then run this again: {command}")
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    wait = ("-o", "DPkg::Lock::Timeout=300")
    with (
        only_one(LOCK, lambda: say("another process installs packages on this machine: waiting for it")),
        _no_service_starts(),
    ):
        say(f"installing on this machine: {' '.join(packages)}")
        try:
            run("apt-get", *wait, "-q", "update", timeout=300, env=environ)
            run("apt-get", *wait, "-qy", "install", "--no-install-recommends", *packages, timeout=600, env=environ)
        except LabError as error:
            raise LabError(f"{error}\n  install by hand, then run this again: {command}") from error


def install_programs(programs: dict[str, str], say: Callable[[str], None] = lambda _: None) -> None:
    """Install the packages of those programs that are missing: ``{program: Debian package}``."""
    install(sorted({package for program, package in programs.items() if shutil.which(program) is None}), say)
