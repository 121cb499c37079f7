"""Where root may not log in: another user, who may use sudo without a password, deploys the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.command import run, wait_until
from lab.machine import Machine
from tests.rehearsal.conftest import BareDroplet, Deployed, standin_copy

USER = """
useradd --create-home --shell /bin/bash deployer
install -d -m 700 -o deployer -g deployer ~deployer/.ssh
install -m 600 -o deployer -g deployer /root/.ssh/authorized_keys ~deployer/.ssh/authorized_keys
apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install sudo > /dev/null
echo 'deployer ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/deployer
groupadd --system docker && usermod --append --groups docker deployer
"""
CHRONY = "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install chrony > /dev/null"
NOT_ROOT = "echo 'PermitRootLogin no' > /etc/ssh/sshd_config.d/00-not-root.conf; systemctl reload ssh"


def give_to_deployer(machine: Machine) -> None:
    machine.ssh(USER)
    machine.ssh(NOT_ROOT)
    # a reload starts sshd anew: for a moment nobody listens
    wait_until(lambda: "Permission denied" in machine.ssh("true", check=False).stderr, 30, "root may still log in")


def test_user_with_sudo_deploys_where_root_may_not_log_in(deployed: Deployed, bare: BareDroplet, tmp_path: Path) -> None:
    target, builder = bare("operated"), bare("operated-builder").droplet
    target.droplet.ssh(CHRONY)
    for machine in (target.droplet, builder):
        give_to_deployer(machine)
    source = standin_copy(tmp_path, "another user")
    target = target.building_on(builder).having(
        DROPLET_SSH_USER="deployer", BUILDER_SSH_USER="deployer", TWENTY_SOURCE=str(source)
    )
    first = target.run(timeout=1500)
    assert first.exit_code == 0, str(first)
    assert first.counts[1] == 0
    again = target.run()
    assert again.exit_code == 0, str(again)
    assert again.counts[:2] == (0, 0), str(again)
    # the operator's service for the clock, which systemd's own would push out
    installed = target.droplet.ssh_argv("dpkg-query -W -f '${db:Status-Status}' chrony")
    assert run("ssh", "-l", "deployer", *installed[1:]).stdout == "installed"


@pytest.mark.parametrize("who", ["DROPLET_SSH_USER", "BUILDER_SSH_USER"])
def test_user_without_sudo_is_refused(deployed: Deployed, bare: BareDroplet, who: str) -> None:
    machine = bare("ordinary").droplet
    machine.ssh(USER.replace("NOPASSWD: ", ""))
    target = deployed.target.having(**{who: "deployer"})
    if who == "BUILDER_SSH_USER":
        target = target.building_on(machine)
    else:
        target.droplet = machine
    run = target.run()
    assert run.exit_code == 1, str(run)
    assert re.search(rf"{who}:? +deployer may not use sudo without a password", run.text), str(run)
    assert "Traceback" not in run.text, str(run)
    assert "nothing was changed" in run.text, str(run)
