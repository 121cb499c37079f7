"""One lab for all rehearsal tests of a session, with one deployed droplet; bare droplets are added and removed by those who need them."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from lab.machine import Machine
from lab.world import Lab, leftovers
from tests.rehearsal.driver import Run, Target

BareDroplet = Callable[..., Target]


@dataclass(frozen=True)
class Deployed:
    """The lab's own droplet after its first deploy; ``was_bare`` unless the lab was there before."""

    target: Target
    first: Run
    was_bare: bool

    @property
    def droplet(self) -> Machine:
        return self.target.droplet


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
    """The first deploy of the session: builds the image, which all later ones find."""
    target = Target(lab, lab.droplet)
    was_bare = lab.droplet.ssh("test -e /opt/twenty", check=False).returncode != 0
    return Deployed(target, target.run(timeout=1500), was_bare)


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
