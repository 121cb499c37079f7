"""One lab for all rehearsal tests of a session, with one deployed droplet; bare droplets are added and removed by those who need them."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.command import wait_until
from lab.machine import Machine
from lab.settings import STANDIN
from lab.world import Lab, leftovers
from tests.rehearsal.driver import Run, Target
from tests.rehearsal.secrets import Processes

BareDroplet = Callable[..., Target]


@dataclass(frozen=True)
class Deployed:
    """A droplet after its first deploy, and that deploy. ``was_bare``: it was the first, with nothing built yet."""

    target: Target
    first: Run
    processes: Processes
    was_bare: bool

    @property
    def droplet(self) -> Machine:
        return self.target.droplet

    @property
    def builder(self) -> Machine:
        return self.target.lab.builder


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab of this session alone, of which nothing may be left at the end; or the one that ``--lab`` names."""
    if given := request.config.getoption("--lab"):
        yield Lab.open(given)
        return
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:6.1f} s] {text}", file=sys.stderr)

    lab = Lab(f"test-{os.getpid()}-{secrets.token_hex(3)}", say)
    try:
        lab.up()
        lab.ensure_images()
        yield lab
    finally:
        lab.down()
    assert leftovers(lab.name) == []


@pytest.fixture(scope="session")
def deployed(lab: Lab) -> Deployed:
    """The first deploy of the session, as talkative as it can be and watched: builds the image, which all later ones find."""
    target = Target(lab, lab.droplet)
    was_bare = lab.droplet.ssh("test -e /opt/twenty", check=False).returncode != 0
    with Processes() as processes:
        run = target.run("deploy.py", "-y", "-vvv", "--diff", timeout=1500)
    assert run.exit_code == 0, str(run)
    return Deployed(target, run, processes, was_bare)


APT_AT_WORK = """
import fcntl, time
held = [open(path, "w") for path in ("/var/lib/apt/lists/lock", "/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock")]
for file in held:
    fcntl.lockf(file, fcntl.LOCK_EX)
time.sleep(12)
"""


@pytest.fixture(scope="session")
def bookworm(lab: Lab) -> Deployed:
    """A plain deploy to a bare Debian 12, whose own first update of the packages is still at work, as on a new server.

    Nobody changes it afterwards: it is the state that a killed deploy must reach.
    """
    if "bookworm" in lab.machines:
        lab.remove_droplet("bookworm")
    target = Target(lab, lab.add_droplet("bookworm", "bookworm"))
    target.droplet.ssh("cat > /run/apt-at-work.py", input=APT_AT_WORK)
    target.droplet.ssh("systemd-run --quiet --unit=apt-at-work python3 /run/apt-at-work.py")
    wait_until(lambda: target.droplet.ssh("apt-get -q update", check=False).returncode, 10, "apt is not busy")
    with Processes() as processes:
        run = target.run(timeout=1500)
    assert run.exit_code == 0, str(run)
    return Deployed(target, run, processes, was_bare=True)


@pytest.fixture
def bare(lab: Lab) -> Iterator[BareDroplet]:
    """Makes bare droplets for one test: ``bare("name", os="bookworm")``."""
    made: list[str] = []

    def make(name: str, **options: object) -> Target:
        made.append(name)
        return Target(lab, lab.add_droplet(name, **options))  # type: ignore[arg-type]

    yield make
    for name in made:
        if name in lab.machines:
            lab.remove_droplet(name)


def standin_copy(directory: Path, mark: str) -> Path:
    """A copy of the stand-in that differs in its style sheet, so that an image of its own is built, for most of it from cache."""
    copy = directory / "twenty"
    shutil.copytree(STANDIN, copy, ignore=shutil.ignore_patterns("node_modules"))
    with (copy / "packages/twenty-front/src/style.css").open("a") as style:
        style.write(f"\n/* {mark} */\n")
    return copy
