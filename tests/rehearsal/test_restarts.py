"""Docker is started again, the droplet reboots, its power is cut: everything comes back by itself, and as closed as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.command import wait_until
from lab.machine import Machine
from tests.rehearsal import driver
from tests.rehearsal.conftest import Deployed
from twentyops import firewall, stack


def restart_docker(droplet: Machine) -> None:
    droplet.ssh("systemctl restart docker")


def cut_power(droplet: Machine) -> None:
    droplet.kill()
    droplet.up()


def tables(droplet: Machine) -> set[str]:
    """Our tables of the packet filter that are loaded."""
    return {line for line in droplet.ssh("nft list tables").stdout.splitlines() if "twentyops" in line}


def health(droplet: Machine) -> dict[str, str]:
    found = driver.inspect(droplet)
    return {name: c["State"].get("Health", {}).get("Status", c["State"]["Status"]) for name, c in found.items()}


@pytest.mark.parametrize("restart", [restart_docker, Machine.reboot, cut_power], ids=["docker", "reboot", "power-cut"])
def test_everything_comes_back_by_itself(deployed: Deployed, restart: Callable[[Machine], None]) -> None:
    droplet = deployed.droplet
    before, loaded = driver.containers(droplet), tables(droplet)
    assert len(before) == len(stack.SERVICES)
    assert loaded
    if restart is not restart_docker:
        # the kernel of this machine goes on in a lab's reboot, so what the boot does not load must not be there already
        for table in loaded:
            droplet.ssh(f"nft delete {table}")
    restart(droplet)
    assert tables(droplet) == loaded
    wait_until(lambda: set(health(droplet).values()) == {"healthy"}, 240, lambda: f"not healthy: {health(droplet)}")
    assert driver.containers(droplet) == before
    assert droplet.ssh(f"systemctl is-active {firewall.UNIT}").stdout.strip() == "active"
    run = driver.smoke(f"--hosts=ssh://root@{droplet.address}", f"--ssh-config={deployed.target.lab.ssh_config}")
    assert run.exit_code == 0, str(run)
    again = deployed.target.run()
    assert again.exit_code == 0, str(again)
    assert again.counts[:2] == (0, 0), str(again)
