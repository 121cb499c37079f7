"""Visitors of a deployed lab, good and bad ones, in a network namespace of their own that is plugged into the lab's bridge."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.clerk.control import Control
from lab.command import run, wait_until
from lab.machine import Machine
from lab.world import Lab
from tests.tenants.conftest import Server

Json = dict[str, Any]
CLIENT = Path(__file__).with_name("crowd.py")
CROWD, VISITOR = range(120, 220), 230
"""Last octets; the lab's machines have lower ones."""
SITE_V6 = "fd77"
"""First group of the addresses that droplet and visitors get for the time of a test, ``fd77::/16`` on the bridge."""


@dataclass(frozen=True)
class Child:
    """A client at work."""

    process: subprocess.Popen[str]

    def end(self, seconds: float = 120) -> Json:
        """What it found; an AssertionError where it failed."""
        out, errors = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, errors
        found: Json = json.loads(out)
        return found


class Outside:
    """A namespace with a hundred addresses of a crowd and one of a visitor."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.droplet = lab, lab.droplet
        self.name = f"{lab.identity.key}-out"
        self.link = f"to{secrets.token_hex(4)}"
        self.children: list[Child] = []
        self.crowd = [lab.network.address(n) for n in CROWD]
        self.visitor = lab.network.address(VISITOR)

    def up(self) -> None:
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        run("ip", "link", "set", self.link, "master", self.lab.network.bridge, "up")
        addresses = [f"address add {a}/{self.lab.network.cidr.prefixlen} dev eth0" for a in (*self.crowd, self.visitor)]
        lines = ["link set lo up", "link set eth0 up", *addresses]
        run("ip", "-n", self.name, "-batch", "-", input="\n".join(lines) + "\n")

    def down(self) -> None:
        for child in self.children:
            if child.process.poll() is None:
                child.process.kill()
                child.process.wait(10)
        run("ip", "netns", "del", self.name, check=False)  # takes the pair of links with it

    def start(self, what: str, sources: list[str], seconds: float, *more: str, target: str = "") -> Child:
        """One of crowd.py's clients; ``target`` is the droplet unless another address of it is given.

        The crowd has no machine of its own here: at the lowest priority it takes no processor time from the server and its visitor.
        """
        command = [
            *(["nice", "-n", "19"] if what == "crowd" else []), "ip", "netns", "exec", self.name, sys.executable, "-I", str(CLIENT), what, target or self.droplet.address,
            "--sources", ",".join(sources), "--seconds", str(seconds), *more,
        ]  # fmt: skip
        child = Child(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        self.children.append(child)
        return child


class Containers:
    """What became of the deployment's containers."""

    def __init__(self, droplet: Machine) -> None:
        self.droplet = droplet

    def id(self, service: str) -> str:
        found = self.droplet.ssh(f"docker ps --quiet --filter label=com.docker.compose.service={service}").stdout.split()
        assert len(found) == 1, f"{len(found)} containers of {service}"
        return found[0]

    def lives(self) -> dict[str, tuple[Any, ...]]:
        """``{service: (id, since when, how often started again, killed for memory)}`` of those that run."""
        text = self.droplet.ssh("docker inspect $(docker ps --quiet --filter label=com.docker.compose.project=twenty)").stdout
        return {
            c["Config"]["Labels"]["com.docker.compose.service"]: (
                c["Id"][:12], c["State"]["StartedAt"], c["RestartCount"], c["State"]["OOMKilled"],
            )
            for c in json.loads(text)
        }  # fmt: skip

    def healthy(self) -> bool:
        states = self.droplet.ssh("docker ps --filter label=com.docker.compose.project=twenty --format '{{.Status}}'").stdout
        return all("(healthy)" in line for line in states.splitlines())

    def megabytes(self) -> dict[str, str]:
        """What Docker says that each holds now, for the note."""
        rows = self.droplet.ssh("docker stats --no-stream --format '{{.Name}} {{.MemUsage}}'").stdout.splitlines()
        return {row.split()[0].removeprefix("twenty-").rpartition("-")[0]: row.split()[1] for row in rows}


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Lab:
    if not (name := request.config.getoption("--lab")):
        pytest.skip("needs a lab with a deployment: --lab=NAME; make accept runs this suite against the real Twenty")
    return Lab.open(name)


@pytest.fixture(scope="session")
def outside(lab: Lab) -> Iterator[Outside]:
    found = Outside(lab)
    run("ip", "netns", "del", found.name, check=False)  # of a run that was killed
    found.up()
    yield found
    found.down()


@pytest.fixture(scope="session")
def containers(lab: Lab) -> Containers:
    return Containers(lab.droplet)


@pytest.fixture(scope="session")
def member(request: pytest.FixtureRequest, lab: Lab) -> Iterator[str]:
    """An access token of a tenant of its own, made by the server's internal API (on its own port: the proxy does not pass it on)."""
    options = {name: request.config.getoption(f"--{name}") for name in ("internal-url", "internal-secret")}
    if missing := [f"--{name}" for name, value in options.items() if not value]:
        pytest.skip(f"needs a signed-in member: give {', '.join(missing)}; make accept does")
    secret, told = {"Authorization": f"Bearer {options['internal-secret']}"}, lab.state().clerk
    with (
        httpx.Client(base_url=lab.public_url, timeout=60, trust_env=False) as public,
        httpx.Client(base_url=options["internal-url"], headers=secret, timeout=60, trust_env=False) as internal,
        Control(told.admin, told.admin_token) as clerk,
    ):
        server = Server(public, internal, "", clerk)
        tenant = server.tenant("Outside")
        yield server.session(tenant.workspace, tenant.owner.email).access


@pytest.fixture
def all_stay_up(containers: Containers) -> Iterator[Containers]:
    """No container may end, be started again, or stay unhealthy because of the test."""
    before = containers.lives()
    yield containers
    wait_until(containers.healthy, 60, "a container stays unhealthy")
    assert containers.lives() == before
    time.sleep(1)  # the kernel forgets closed connections


@pytest.fixture(scope="session")
def over_ipv6(outside: Outside) -> Iterator[str]:
    """The droplet's IPv6 address for the time of the tests; visitors have ``fd77:0:0:a::/64`` and ``fd77:0:0:b::/64``."""
    address = f"{SITE_V6}::10"
    on, off = "sysctl -qw net.ipv6.conf.host0.disable_ipv6=0", f"ip -6 address del {address}/16 dev host0"
    outside.droplet.ssh(f"{on} && ip -6 address replace {address}/16 dev host0 nodad")
    own = [f"{SITE_V6}:0:0:{network}::{host}" for network in "ab" for host in (2, 3)]
    lines = [f"address replace {a}/16 dev eth0 nodad" for a in own]
    run("ip", "-n", outside.name, "-6", "-batch", "-", input="\n".join(lines) + "\n")
    yield address
    outside.droplet.ssh(off, check=False)
