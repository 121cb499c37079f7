"""A deploy that is killed, whenever it is, and run again ends where one that was never killed ends."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator

import pytest

from lab import cgroups
from lab.machine import Machine
from lab.process import command_of
from lab.world import Lab
from tests.rehearsal import driver, final_state
from tests.rehearsal.conftest import Deployed, standin_copy
from tests.rehearsal.driver import Target
from twentyops import stack

# What shows on the host that an operation is in the middle of its work: then it is killed. The others are killed as they begin.
AT_WORK = {
    "Base packages": r"dpkg .*--(unpack|configure)",
    "Docker Engine, Compose, buildx": r"dpkg .*--(unpack|configure)",
    "Docker runs with our limits": r"^/usr/s?bin/dockerd",
    "Build ": r"npm ",
    "Images by digest": r"docker pull",
    "Caddyfile": r"caddy validate",
    "Run postgres, redis": r"compose .* up .*postgres",
    "Migrations of twenty": r"twentyops-migrat",
    "Run server": r"compose .* up .*server",
    "Run worker": r"compose .* up .*worker",
    "Certificates belong": r"compose .* run .*caddy-volume",
    "Run caddy": r"caddy run",
}
POWER_CUT = ("Provision the droplet | Docker Engine, Compose, buildx", "Services | Run server")
"""Here the droplet itself loses its power too."""
HEADER = re.compile(r"--> Starting operation: (.+?) *$", re.MULTILINE)


def plain(name: str) -> str:
    """Name of an operation without what differs between two sources."""
    return re.sub(r"(Build |Source ).*", r"\1", name)


def begun(text: str) -> list[str]:
    return [plain(name) for name in HEADER.findall(text)]


@pytest.fixture(scope="module")
def target(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A bare Debian 12, a bare builder, and a source of which no image was built yet."""
    droplet, builder = lab.add_droplet("killed", "bookworm"), lab.add_droplet("killed-builder")
    source = standin_copy(tmp_path_factory.mktemp("killed"), secrets.token_hex(8))
    yield Target(lab, droplet).building_on(builder).having(TWENTY_SOURCE=str(source))
    lab.remove_droplet("killed")
    lab.remove_droplet("killed-builder")


def at_work(machine: Machine, pattern: str) -> bool:
    """Whether a process of that command line runs on the machine."""
    return any(re.search(pattern, command_of(pid)) for pid in cgroups.pids(machine.identity, machine.name))


def kill_at_next(target: Target, killed: list[str], only: str = "") -> bool:
    """Run the deploy and kill it at the first operation that it was not killed at yet; False where it ended before.

    ``only``: beginning of the names of the operations that count.
    """

    def new(text: str) -> list[str]:
        return [name for name in begun(text) if name not in killed and name.startswith(only)]

    builder, began = target.lab.machine("killed-builder"), time.monotonic()
    with driver.Background(target) as deploy:
        if not deploy.until(new, "an operation that was not killed yet"):
            return False
        now = new(deploy.text)[0]
        killed.append(now)
        pattern = next((p for name, p in AT_WORK.items() if f"| {name}" in now), None)
        if pattern:
            machine = builder if re.search(r"builder|Image \| B", now) else target.droplet
            deploy.until(lambda text: begun(text)[-1] != now or at_work(machine, pattern), f"work at {now}")
        if now in POWER_CUT:
            target.droplet.kill()
        deploy.kill()
        if now in POWER_CUT:
            target.droplet.up()
        print(f"{time.monotonic() - began:6.1f} s  killed at {now}{' while at work' if pattern else ''}")
    return True


def test_killed_at_every_operation_and_run_again(target: Target, bookworm: Deployed) -> None:
    killed: list[str] = []
    while kill_at_next(target, killed):
        assert len(killed) < 100
    everything = {plain(name) for name in bookworm.first.operations}
    assert everything <= set(killed), f"never killed at {everything - set(killed)}"
    assert [name for name in AT_WORK if not any(f"| {name}" in operation for operation in everything)] == []
    end_well(target)


def end_well(target: Target) -> None:
    """Run the deploy to its end, then again without a change."""
    last = target.run()
    assert last.exit_code == 0, str(last)
    assert last.counts[1] == 0
    before = driver.containers(target.droplet)
    again = target.run()
    assert again.exit_code == 0, str(again)
    assert again.counts[:2] == (0, 0), str(again)
    assert driver.containers(target.droplet) == before


def test_state_is_that_of_a_deploy_that_was_never_killed(target: Target, bookworm: Deployed) -> None:
    wanted, found = final_state.of(bookworm.droplet), final_state.of(target.droplet)
    assert len(wanted["files"]) > 500
    assert len(wanted["packages"]) > 150
    assert len(wanted["containers"]) == 6 * len(stack.SERVICES)
    assert final_state.half_done(wanted) == []
    assert final_state.half_done(found) == []
    assert final_state.differences(wanted, found) == []


def test_builder_is_as_one_that_was_never_killed(target: Target, bookworm: Deployed) -> None:
    builder = target.lab.machine("killed-builder")
    listing = "dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\\n'; dpkg --audit; find /etc/docker /root/.docker/config.json -printf '%p %m\\n' | sort"
    assert builder.ssh(listing).stdout == bookworm.builder.ssh(listing).stdout


SMALLER = {
    "POSTGRES_MEMORY_MB": "500",
    "REDIS_MEMORY_MB": "150",
    "REDIS_CACHE_MEMORY_MB": "200",
    "SERVER_MEMORY_MB": "1200",
    "WORKER_MEMORY_MB": "1000",
    "TENANT_MANAGER_MEMORY_MB": "180",
    "CADDY_MEMORY_MB": "90",
}


def test_killed_while_containers_are_replaced(target: Target) -> None:
    """A second release over the first, every container made anew, killed at each step."""
    before = final_state.of(target.droplet)
    changed, killed = target.having(**SMALLER), list[str]()
    while kill_at_next(changed, killed, only="Services | Run "):
        assert len(killed) < 10
    assert len(killed) == len(stack.ORDER)
    end_well(changed)
    limits = {name: c["HostConfig"]["Memory"] >> 20 for name, c in driver.inspect(target.droplet).items()}
    services = {name: name.removesuffix("_MEMORY_MB").lower().replace("_", "-") for name in SMALLER}
    assert limits == {f"twenty-{services[name]}-1": int(size) for name, size in SMALLER.items()}
    assert sorted(services.values()) == sorted(stack.SERVICES), "a service is left out of the second release"
    after = final_state.of(target.droplet)
    assert final_state.half_done(after) == []
    first_release = re.compile(r"/opt/twenty/releases/(?!RELEASE)")
    after["files"] = [line for line in after["files"] if not first_release.match(line)]
    for state in (before, after):  # Redis is told its size in its command
        state["containers"] = [re.sub(r"maxmemory \d+mb", "SIZE", line) for line in state["containers"]]
    assert final_state.differences(before, after) == []
