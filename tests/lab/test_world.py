"""One small lab for real: boots, is closed to the world, repairs itself, and leaves nothing. Needs root, as the lab does."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Lab, LabError, leftovers, network, process, state
from lab.clerk.control import Control
from lab.command import wait_until
from lab.machine import Machine

NAME, NEIGHBOUR = "selftest", "selftest-two"
ELSEWHERE = "198.51.100.7"  # TEST-NET-2: nobody is there, and the wall must refuse it before anybody is asked
REFUSED = f"bash -c '</dev/tcp/{ELSEWHERE}/443'"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    Lab(NAME).down()
    made = Lab(NAME).up(builder=False)
    yield made
    made.down()


@pytest.fixture(scope="module")
def droplet(lab: Lab) -> Machine:
    return lab.droplet


def seconds_of(command: str, droplet: Machine) -> tuple[float, int]:
    """(seconds, exit code) of a command, by the machine's own clock."""
    script = f"s=$(date +%s%N); {command} 2>/dev/null; r=$?; echo $(( ($(date +%s%N) - s) / 1000000 )) $r"
    milliseconds, code = droplet.ssh(script).stdout.split()
    return int(milliseconds) / 1000, int(code)


def test_machine_is_a_bare_debian_with_systemd(lab: Lab, droplet: Machine) -> None:
    answer = droplet.ssh("hostname; . /etc/os-release; echo $VERSION_CODENAME; cat /proc/1/comm; command -v docker || echo none")
    assert answer.stdout.split() == ["droplet", "trixie", "systemd", "none"]
    known = state.load(lab.identity).machines["droplet"]
    assert (known.host, known.host_key) == (droplet.address, droplet.host_key())
    assert Lab.open(NAME).droplet.ssh("id -u").stdout == "0\n"


def test_what_is_no_registry_is_refused_at_once(lab: Lab, droplet: Machine) -> None:
    def refused() -> int:
        counted = subprocess.run(
            ["iptables", "-w", "-nvxL", lab.identity.forward_chain], capture_output=True, text=True, check=True
        )
        return sum(int(line.split()[0]) for line in counted.stdout.splitlines() if "REJECT" in line)

    before = refused()
    seconds, code = seconds_of(REFUSED, droplet)
    assert code != 0
    assert seconds < 0.5  # refused, not timed out
    assert refused() > before
    outer = subprocess.run(["ip", "-4", "-o", "addr", "show", "scope", "global"], capture_output=True, text=True, check=True)
    own = re.findall(r"inet ([0-9.]+)/", outer.stdout)
    for address in (a for a in own if a != lab.network.gateway):
        seconds, code = seconds_of(f"bash -c '</dev/tcp/{address}/22'", droplet)
        assert (code, seconds < 0.5) == (1, True), f"{address} of the outer machine answered in {seconds} s"


def test_names_outside_of_the_lab_do_not_exist(lab: Lab, droplet: Machine) -> None:
    for name in ("example.com", "clerk.accounts.dev", "api.clerk.com"):
        assert droplet.ssh(f"getent hosts {name}", check=False).returncode == 2
    assert droplet.ssh(f"getent hosts {lab.clerk_domain}").stdout.split()[0] == lab.network.gateway
    lab.add_name("emulator.lab.test")
    found = droplet.ssh("for i in $(seq 50); do getent hosts emulator.lab.test && exit; sleep 0.1; done; exit 1").stdout
    assert found.split()[0] == lab.network.gateway


def test_package_registries_are_reached(droplet: Machine) -> None:
    assert "Packages" in droplet.ssh("apt-get update && apt-get indextargets --format '$(CREATED_BY)'", timeout=120).stdout


def test_registry_wants_its_login_and_shows_the_labs_certificate(lab: Lab, droplet: Machine) -> None:
    registry = lab.registry
    ca = droplet.ssh("cat > /root/lab-ca.crt", input=registry.ca_file.read_text())
    assert ca.returncode == 0
    ask = f"curl -sS --cacert /root/lab-ca.crt -o /dev/null -w '%{{http_code}}' {registry.url}/v2/"
    assert droplet.ssh(ask).stdout == "401"
    assert droplet.ssh(f"{ask} --config -", input=f'user = "{registry.username}:{registry.password}"').stdout == "200"
    assert droplet.ssh(f"{ask} --config -", input=f'user = "{registry.username}:wrong"').stdout == "401"
    assert droplet.ssh(f"curl -sS {registry.url}/v2/", check=False).returncode == 60


def test_clerk_answers_the_machines_and_is_told_only_to_its_owner(lab: Lab, droplet: Machine) -> None:
    found = state.load(lab.identity).clerk
    assert state.path(lab.identity).stat().st_mode & 0o777 == 0o600
    assert json.loads(droplet.ssh(f"curl -sS {found.jwks}").stdout)["keys"]
    ask = f"curl -sS -o /dev/null -w '%{{http_code}}' {found.backend}/v1/users"
    assert droplet.ssh(ask).stdout == "401"
    assert droplet.ssh(f"{ask} --config -", input=f'header = "Authorization: Bearer {found.secret_key}"').stdout == "200"
    (running,) = process.find(lab.identity, "clerk")
    assert found.frontend.removeprefix("http://") in running.command
    assert not [secret for secret in (found.secret_key, found.webhook_secret, found.admin_token) if secret in running.command]
    with Control(found.admin, found.admin_token) as control:
        assert control.overview()["endpoint"]["url"] == f"{lab.public_url}/webhooks/clerk"


def test_it_reboots_as_a_server_does(droplet: Machine) -> None:
    droplet.ssh("echo kept > /root/kept")
    before = droplet.boots()
    droplet.reboot()
    assert droplet.boots() == before + 1
    assert droplet.ssh("cat /root/kept").stdout == "kept\n"
    assert float(droplet.ssh("cut -d' ' -f1 /proc/uptime").stdout) < 30  # its own clock, not the outer machine's


def test_a_guest_changes_neither_clock_nor_swap_of_this_machine(droplet: Machine) -> None:
    assert droplet.ssh("date -s 2020-01-01", check=False).returncode != 0
    make = "dd if=/dev/zero of=/var/lib/docker/swap bs=1M count=1 status=none; chmod 600 /var/lib/docker/swap; mkswap -q /var/lib/docker/swap"
    assert (
        "not permitted" in droplet.ssh(f"{make}; swapon /var/lib/docker/swap; rm /var/lib/docker/swap 2>&1", check=False).stderr
    )


def test_further_droplets_have_the_size_that_was_asked_for(lab: Lab) -> None:
    small = lab.add_droplet("small", memory_mib=256, disk_gib=2)
    total = small.ssh("awk '/MemTotal/ {print $2}' /proc/meminfo").stdout
    assert int(total) == 256 * 1024
    sizes = small.ssh("df --output=size -BM / /var/lib/docker /var/lib/containerd | grep -v blocks").stdout.split()
    assert all(1800 < int(size.removesuffix("M")) <= 2048 for size in sizes), sizes
    assert small.ssh("python3 -c 'len(bytearray(100 << 20))'", check=False).returncode == 0
    assert small.ssh("python3 -c 'len(bytearray(400 << 20))'", check=False).returncode != 0
    with pytest.raises(LabError, match="already"):
        lab.add_droplet("small")
    lab.remove_droplet("small")
    assert "small" not in state.load(lab.identity).machines
    assert not [line for line in leftovers(NAME) if "small" in line]


def test_reset_gives_a_bare_machine_and_another_host_key_is_noticed(lab: Lab, droplet: Machine) -> None:
    key, known = droplet.host_key(), lab.known_hosts.read_text()
    droplet.ssh("echo there > /root/mark")
    lab.reset("droplet")
    assert droplet.ssh("cat /root/mark", check=False).returncode == 1
    assert droplet.host_key() == key
    droplet.reset(new_host_key=True)
    assert droplet.host_key() != key
    pinned = lab.identity.state_dir / "known_before"
    pinned.write_text(known)
    argv = ["ssh", "-F", str(lab.ssh_config), "-o", f"UserKnownHostsFile={pinned}", "droplet", "true"]
    refused = subprocess.run(argv, capture_output=True, text=True, check=False)
    pinned.unlink()
    assert refused.returncode == 255
    assert "verification failed" in refused.stderr


def test_snapshot_is_a_disk_for_further_machines(lab: Lab, droplet: Machine) -> None:
    droplet.ssh("echo kept > /root/kept; mkdir -p /var/lib/docker/d; echo kept > /var/lib/docker/d/f")
    droplet.snapshot("before")
    droplet.ssh("rm /root/kept")
    twin = lab.add_droplet("twin", snapshot="before")
    assert twin.ssh("hostname; cat /root/kept /var/lib/docker/d/f").stdout.split() == ["twin", "kept", "kept"]
    assert twin.host_key() != droplet.host_key()
    lab.remove_droplet("twin")
    assert droplet.ssh("cat /root/kept", check=False).returncode == 1
    droplet.restore("before")
    assert droplet.ssh("cat /root/kept").stdout == "kept\n"
    with pytest.raises(LabError, match="no snapshot 'other', only before"):
        droplet.restore("other")


def test_up_mends_what_died(lab: Lab, droplet: Machine) -> None:
    droplet.ssh("echo kept > /root/kept; sync")
    clerk = lab.state().clerk
    with Control(clerk.admin, clerk.admin_token) as control:
        control.seed([{"email": "kept@lab.test"}], quiet=True)
    kept = lab.identity.runtime / "clerk" / "instance.json"
    wait_until(lambda: "kept@lab.test" in kept.read_text(), 5, "the instance is not written down")
    for found in process.find(lab.identity):
        os.kill(found.pid, signal.SIGKILL)
    subprocess.run(["ip", "link", "del", lab.network.bridge], check=True)
    state.path(lab.identity).unlink()
    mended = Lab(NAME).up(builder=False)
    assert mended.droplet.ssh("cat /root/kept").stdout == "kept\n"
    assert mended.registry.answers()
    assert mended.state().clerk == clerk
    with Control(clerk.admin, clerk.admin_token) as control:
        assert control.overview()["counts"]["users"] == 1
    began = time.monotonic()
    Lab(NAME).up(builder=False)
    assert time.monotonic() - began < 15  # nothing to do; the figure of the report is lower, this is a busy machine's bound


def test_another_size_than_it_has_is_refused(lab: Lab) -> None:
    with pytest.raises(LabError, match="take it down first"):
        lab.up("bookworm")


def test_two_labs_do_not_see_each_other_and_go_one_by_one(lab: Lab, droplet: Machine) -> None:
    Lab(NEIGHBOUR).down()
    other = Lab(NEIGHBOUR).up(builder=False)
    try:
        assert other.network.cidr != lab.network.cidr
        for address, port in ((other.droplet.address, 22), (other.network.gateway, 5000)):
            seconds, code = seconds_of(f"bash -c '</dev/tcp/{address}/{port}'", droplet)
            assert (code, seconds < 0.5) == (1, True)
        key = other.identity.key
        # the worst case: everything that it knew about itself is lost, and half of it is dead
        keeper = process.find(other.identity, "droplet")[0]
        os.kill(keeper.pid, signal.SIGKILL)
        shutil.rmtree(other.identity.state_dir)
        (other.identity.runtime / "lab.json").unlink()
    finally:
        Lab(NEIGHBOUR).down()
    assert leftovers(NEIGHBOUR) == []
    assert traces(key) == []
    assert droplet.ssh("true").returncode == 0
    assert lab.registry.answers()


def test_down_leaves_nothing(lab: Lab) -> None:
    key = lab.identity.key
    assert len(traces(key)) > 10  # the search finds a lab that is there
    lab.down()
    assert leftovers(NAME) == []
    assert traces(key) == []
    assert not lab.identity.state_dir.exists()
    assert not lab.identity.runtime.exists()
    lab.down()  # again: nothing to do, no complaint
    if not network.labs_in_kernel():
        assert not (network.RUN / "host.json").exists()


def traces(key: str) -> list[str]:
    """Lines about a lab in what the kernel lists, found by its key alone and not by the lab's own code."""
    listings = [
        ["iptables-save"],
        ["ipset", "list", "-name"],
        ["ip", "-o", "link"],
        ["ip", "-o", "addr"],
        ["cat", "/proc/self/mountinfo"],
        ["losetup", "-a"],
    ]
    found = []
    for argv in listings:
        listing = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        found += [line for line in listing.splitlines() if key in line]
    metric = str(0x1000_0000 | int(key[:7], 16))
    routes = subprocess.run(["ip", "route", "show", "table", "all"], capture_output=True, text=True, check=True).stdout
    found += [line for line in routes.splitlines() if metric in line or key in line]
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        found += [command] if key in command else []
    return found + [str(path) for path in Path("/sys/fs/cgroup").rglob(f"*{key}*")]
