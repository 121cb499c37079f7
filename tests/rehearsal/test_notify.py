"""Who is told how a deploy ended: a webhook that listens on this machine, on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.listeners import Heard, webhook
from tests.rehearsal import driver, secrets
from tests.rehearsal.conftest import Deployed
from tests.rehearsal.driver import Target


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with webhook() as listener:
        yield listener


@pytest.fixture
def target(deployed: Deployed, heard: Heard) -> Target:
    return deployed.target.having(NOTIFY_WEBHOOK_URL=heard.url)


def test_release_is_told_and_an_unchanged_deploy_is_not(deployed: Deployed, target: Target, heard: Heard) -> None:
    before = driver.manifest(deployed.droplet)["id"]
    try:
        run = target.having(MAX_ORGANIZATIONS_PER_PERSON="7").run()
        assert run.exit_code == 0, str(run)
        now = driver.manifest(deployed.droplet)
        assert now["id"] != before
        (text,) = heard.texts
        assert text.startswith(
            f"Twenty on {deployed.droplet.address}: deployed release {now['id']}\nTwenty {now['twenty_version']}, by "
        )
        again = target.having(MAX_ORGANIZATIONS_PER_PERSON="7").run()
        assert (again.exit_code, again.counts[:2]) == (0, (0, 0)), str(again)
        assert len(heard.texts) == 1
        assert heard.url not in run.text + again.text
        known = secrets.control_machine_secrets(target) | secrets.droplet_secrets(deployed.droplet)
        assert secrets.shown(known, heard.texts) == {}
    finally:
        back = deployed.target.run()
    assert back.exit_code == 0, str(back)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"MINIMUM_DISK_MB": "1000000"}, "Preflight refused "),
        ({"REGISTRY_PASSWORD": None}, "Settings refused, nothing was changed: REGISTRY_PASSWORD missing"),
        ({"DROPLET_SSH_PORT": "1"}, "Could not connect"),
    ],
    ids=["preflight", "settings", "unreachable"],
)
def test_scheduled_deploy_that_is_refused_is_told(
    deployed: Deployed, target: Target, heard: Heard, changes: dict[str, str | None], says: str
) -> None:
    before = driver.fingerprint(deployed.droplet)
    run = target.having(**changes).run()
    assert run.exit_code == 1, str(run)
    (text,) = heard.texts
    assert text.startswith(f"Twenty on {deployed.droplet.address}: the deploy failed\n"), text
    assert says in text.splitlines()[1]
    assert "\nNothing was changed.\n" in text
    assert driver.fingerprint(deployed.droplet) == before


def test_lock_of_another_deploy_is_told_with_the_operation(deployed: Deployed, target: Target, heard: Heard) -> None:
    with driver.Background(deployed.target) as first:
        assert first.until(lambda _: driver.lock(deployed.droplet), "the lock")
        second = target.run()
        assert first.end().exit_code == 0
    assert second.exit_code == 1, str(second)
    (text,) = heard.texts
    assert f"at Lock | Take the deploy lock ({deployed.droplet.address}): " in text
    assert "has been deploying since" in text


def test_dry_run_and_task_alone_tell_nobody(target: Target, heard: Heard) -> None:
    for arguments in (("deploy.py", "-y", "--dry"), ("tasks/preflight.py", "-y"), ("debug-inventory",)):
        run = target.run(*arguments)
        assert run.exit_code == 0, str(run)
    assert heard.texts == []
