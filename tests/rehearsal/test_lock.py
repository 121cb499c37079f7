"""One live deploy at a time; a lock that was left behind stops nobody."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.rehearsal import driver
from tests.rehearsal.conftest import Deployed

PATH = "/var/lib/twentyops/lock.json"


@pytest.fixture
def write_lock(deployed: Deployed) -> Any:
    """Leaves a lock on the droplet, as another machine's deploy would; removed after the test."""

    def write(**fields: Any) -> None:
        now = int(time.time())
        lock = {
            "run": "f" * 32, "who": "eve@elsewhere", "machine": "another-boot", "pid": 4711, "pid_start": "1",
            "started": now - 60, "expires": now + 3600, "what": "deploy", **fields,
        }  # fmt: skip
        deployed.droplet.ssh(f"umask 077; cat > {PATH}", input=json.dumps(lock))

    yield write
    deployed.droplet.ssh(f"rm -f {PATH}")


def test_second_of_two_deploys_is_refused_and_told_who_holds_the_lock(deployed: Deployed) -> None:
    target = deployed.target
    with driver.Background(target) as first:
        assert first.until(lambda _: driver.lock(target.droplet), "the lock")
        holder = json.loads(driver.lock(target.droplet))
        second = target.run()
        ended = first.end()
    assert second.exit_code == 1, str(second)
    assert f"{holder['who']} has been deploying since" in second.text
    assert f"process {holder['pid']}" in second.text
    assert "make unlock" in second.text
    assert (ended.exit_code, ended.counts[:2]) == (0, (0, 0)), str(ended)
    assert driver.lock(target.droplet) == ""


def test_lock_of_a_killed_deploy_is_taken_over_at_once(deployed: Deployed) -> None:
    target = deployed.target
    with driver.Background(target) as killed:
        assert killed.until(lambda _: driver.lock(target.droplet), "the lock")
        killed.kill()
    holder = json.loads(driver.lock(target.droplet))
    run = target.run()
    assert run.exit_code == 0, str(run)
    assert f"taking over the lock of {holder['who']}: its process {holder['pid']} on this machine is gone" in run.text
    assert driver.lock(target.droplet) == ""


def test_live_lock_of_another_machine_refuses_and_stays(deployed: Deployed, write_lock: Any) -> None:
    write_lock()
    before = driver.fingerprint(deployed.droplet)
    run = deployed.target.run()
    assert run.exit_code == 1, str(run)
    assert "eve@elsewhere has been deploying since" in run.text
    assert "its lock lasts 59 more minutes. Nothing was changed." in run.text
    assert driver.fingerprint(deployed.droplet) == before
    status = deployed.target.ops("status")
    assert "locked by eve@elsewhere" in status.text


def test_unlock_removes_it_and_says_whose_it_was(deployed: Deployed, write_lock: Any) -> None:
    write_lock()
    nobody_answers = deployed.target.ops("unlock")
    assert nobody_answers.exit_code == 1, str(nobody_answers)
    assert "still within its time: is that deploy known to be dead?" in nobody_answers.text
    assert driver.lock(deployed.droplet) != ""
    run = deployed.target.ops("unlock", "-y")
    assert run.exit_code == 0, str(run)
    assert "removed the lock of eve@elsewhere, process 4711" in run.text
    assert driver.lock(deployed.droplet) == ""


def test_lock_whose_time_is_over_is_taken_over(deployed: Deployed, write_lock: Any) -> None:
    write_lock(expires=int(time.time()) - 1)
    run = deployed.target.run("tasks/lock.py", "-y", "--limit", "droplet")
    assert run.exit_code == 0, str(run)
    assert "taking over the lock of eve@elsewhere: its time is over" in run.text
    assert driver.lock(deployed.droplet) == ""


@pytest.mark.parametrize("text", ["", '{"run', '{"who": "x", "expires": "later"}'])
def test_damaged_lock_is_taken_over(deployed: Deployed, text: str) -> None:
    deployed.droplet.ssh(f"cat > {PATH}", input=text)
    run = deployed.target.run("tasks/lock.py", "-y", "--limit", "droplet")
    assert run.exit_code == 0, str(run)
    assert "damaged" in run.text
    assert driver.lock(deployed.droplet) == ""
