"""A deploy to Debian 12, whose own packages are at work when it begins."""

from __future__ import annotations

from tests.rehearsal import driver, secrets
from tests.rehearsal.conftest import Deployed
from twentyops import stack


def test_first_deploy_to_debian_12(bookworm: Deployed) -> None:
    run = bookworm.first
    assert run.exit_code == 0, str(run)
    assert run.counts[1] == 0
    assert "VERSION_CODENAME=bookworm" in bookworm.droplet.ssh("cat /etc/os-release").stdout
    assert len(driver.containers(bookworm.droplet)) == len(stack.SERVICES)
    again = bookworm.target.run()
    assert again.exit_code == 0, str(again)
    assert again.counts[:2] == (0, 0), str(again)


def test_docker_on_debian_12_comes_from_the_mirror_that_the_host_uses(bookworm: Deployed) -> None:
    """Four packages of Debian 13, and nothing else of it."""
    packages = "docker.io docker-cli docker-compose docker-buildx"
    versions = bookworm.droplet.ssh(f"dpkg-query -W -f '${{Version}}\\n' {packages}").stdout.split()
    assert len(versions) == 4
    # ssh() raises where a command fails; grep alone may find nothing
    bookworm.droplet.ssh("apt-get update -qq")
    planned = bookworm.droplet.ssh("LC_ALL=C apt-get -s dist-upgrade").stdout
    assert "newly installed" in planned, planned
    assert [line for line in planned.splitlines() if line.startswith("Inst") and "trixie" in line] == []


def test_process_lists(bookworm: Deployed) -> None:
    values = secrets.control_machine_secrets(bookworm.target) | secrets.droplet_secrets(bookworm.droplet)
    assert bookworm.processes.samples > 40
    assert any("pyinfra inventory.py" in line for line in bookworm.processes.seen)
    assert secrets.shown(values, bookworm.processes.seen) == {}
