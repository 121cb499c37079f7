"""Bad input is refused: not exit 0, one message that names the remedy, and the host is as it was before."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.command import wait_until
from lab.rehearse import environment
from lab.settings import STANDIN
from lab.world import Lab
from tests.rehearsal import driver
from tests.rehearsal.driver import Run, Target
from tests.ssh_keys import make_key, public

Refusal = Callable[..., Run]


@pytest.fixture(scope="module")
def target(lab: Lab) -> Iterator[Target]:
    """A bare droplet: the first thing that a deploy does to it would show."""
    yield Target(lab, lab.add_droplet("refusing"))
    lab.remove_droplet("refusing")


@pytest.fixture
def refused(target: Target) -> Refusal:
    """Runs the deploy, asserts that it refuses with all of ``says`` in one message and changes nothing."""

    def run(*says: str, **changes: str | None) -> Run:
        before = driver.fingerprint(target.droplet)
        ended = target.having(**changes).run()
        assert ended.exit_code == 1, str(ended)
        for part in says:
            assert part in ended.text, str(ended)
        assert len(re.findall("nothing was changed", ended.text, re.IGNORECASE)) == 1, f"not one message: {ended}"
        assert "Traceback" not in ended.text, str(ended)
        assert "Starting operation" not in ended.text, str(ended)
        assert driver.fingerprint(target.droplet) == before
        return ended

    return run


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"REGISTRY_PASSWORD": None}, ["REGISTRY_PASSWORD", "missing; Password or access token"]),
        ({"CLERK_SECRET_KEY": ""}, ["CLERK_SECRET_KEY", "empty; For the server and the tenant manager"]),
        ({"CLERK_SECRET_KEY": "sk_test_xxx"}, ["CLERK_SECRET_KEY", "still a placeholder"]),
        ({"SEVER_URL": "http://10.77.0.1"}, ["SEVER_URL (settings.env line ", "did you mean SERVER_URL?"]),
        ({"NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY": "pk_test_notbase64!"}, ["NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY", "copy it"]),
        (
            {"NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY": "pk_test_bm90LWEtaG9zdA"},
            ["NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY", "does not decode to a host name"],
        ),
        (
            {"SERVER_URL": "http://10.77.255.9", "CLERK_WEBHOOK_URL": None},
            ["SERVER_URL", "10.77.255.9 is not the droplet", "visitors would land elsewhere"],
        ),
        (
            {"SERVER_URL": "http://localhost:3000", "CLERK_WEBHOOK_URL": None},
            ["SERVER_URL", "not reachable for visitors; give the droplet's public address"],
        ),
        ({"SERVER_URL": "http://10.77.0.1:http", "CLERK_WEBHOOK_URL": None}, ["SERVER_URL", "give a full address such as"]),
        ({"DROPLET_HOST_KEY": ""}, ["DROPLET_HOST_KEY", "ssh-keyscan -t ed25519"]),
        ({"DROPLET_SSH_KEY": "/nonexistent/key"}, ["DROPLET_SSH_KEY", "no file at /nonexistent/key", "ssh-keygen"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_setting(refused: Refusal, changes: dict[str, str | None], says: list[str]) -> None:
    refused("Settings refused", *says, **changes)


def test_all_bad_settings_are_told_at_once(refused: Refusal) -> None:
    run = refused(
        "missing; Who pushes and pulls",
        "did you mean SERVER_URL?",
        "still a placeholder",
        "lower-case path",
        REGISTRY_USERNAME=None,
        SEVER_URL="x",
        CLERK_SECRET_KEY="sk_test_xxx",
        IMAGE_NAME="UPPER",
    )
    assert run.text.count("Settings refused") == 1


def test_unreachable_host(lab: Lab, refused: Refusal) -> None:
    nobody = lab.network.address(250)
    refused(
        f"{nobody}: it cannot be reached: check DROPLET_HOST, DROPLET_SSH_PORT",
        DROPLET_HOST=nobody,
        SERVER_URL=f"http://{nobody}",
        CLERK_WEBHOOK_URL=None,
    )


def test_closed_ssh_port(refused: Refusal) -> None:
    refused("it cannot be reached: check DROPLET_HOST, DROPLET_SSH_PORT", DROPLET_SSH_PORT="2222")


def test_unreachable_builder(lab: Lab, refused: Refusal) -> None:
    nobody = lab.network.address(250)
    refused(f"{nobody}: it cannot be reached: check BUILDER_HOST", BUILDER_HOST=nobody)


def test_changed_host_key(refused: Refusal, tmp_path: Path) -> None:
    other = public(make_key(tmp_path))
    refused("its host key is not the pinned one", "compare and update DROPLET_HOST_KEY", DROPLET_HOST_KEY=other)


def test_host_key_of_a_kind_that_is_not_pinned(refused: Refusal, tmp_path: Path) -> None:
    other = public(make_key(tmp_path, kind="ecdsa"))
    refused("its host key is not the pinned one", "compare and update DROPLET_HOST_KEY", DROPLET_HOST_KEY=other)


def test_wrong_ssh_key(refused: Refusal, tmp_path: Path) -> None:
    key = make_key(tmp_path)
    refused("it refuses the key: check DROPLET_SSH_USER and DROPLET_SSH_KEY", DROPLET_SSH_KEY=str(key))


def test_key_with_a_passphrase_that_nobody_can_open(refused: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    key = make_key(tmp_path, "a secret word")
    refused("DROPLET_SSH_KEY", f"{key} has a passphrase, and no SSH agent holds it: ssh-add", DROPLET_SSH_KEY=str(key))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("ForceCommand echo only this", ["does not run what it is told (it answers 'only this')", "ForceCommand"]),
        ("Subsystem sftp /bin/false", ["may not transfer files", "Subsystem sftp internal-sftp"]),
    ],
    ids=["forced-command", "no-sftp"],
)
def test_login_that_does_not_do_what_it_is_told(target: Target, line: str, says: list[str]) -> None:
    """One message with the remedy, before anything starts. A timer mends the configuration, for the login cannot."""
    droplet, before = target.droplet, driver.fingerprint(target.droplet)
    droplet.ssh("cp -p /etc/ssh/sshd_config /etc/ssh/sshd_config.orig")
    mend = "mv /etc/ssh/sshd_config.orig /etc/ssh/sshd_config; systemctl reload ssh"
    droplet.ssh(f"systemd-run --quiet --on-active=20 sh -c '{mend}'")
    droplet.ssh(f"sed -i -e '/^Subsystem/d' -e '1i {line}' /etc/ssh/sshd_config; systemctl reload ssh")
    run = target.run()
    gone = "test ! -e /etc/ssh/sshd_config.orig && echo back"
    wait_until(lambda: droplet.ssh(gone, check=False).stdout == "back\n", 90, "sshd stays as it is")
    assert run.exit_code == 1, str(run)
    for part in ["DROPLET_SSH_USER", *says]:
        assert part in run.text, str(run)
    assert "Traceback" not in run.text, str(run)
    assert "Starting operation" not in run.text, str(run)
    assert driver.fingerprint(droplet) == before


def test_unsupported_distribution(target: Target, refused: Refusal) -> None:
    target.droplet.ssh(
        "cp /etc/os-release /root/os-release && sed -i 's/^ID=.*/ID=fedora/; s/^VERSION_ID=.*/VERSION_ID=42/' /etc/os-release"
    )
    try:
        refused("runs fedora 42; supported are Debian 12 and 13, Ubuntu 22.04 and 24.04: rebuild it with one of these")
    finally:
        target.droplet.ssh("cat /root/os-release > /etc/os-release")


def test_too_little_disk(refused: Refusal) -> None:
    refused(
        "MINIMUM_DISK_MB asks for 1000000: free some (docker system df), lower RELEASE_RETENTION, or take a larger disk",
        MINIMUM_DISK_MB="1000000",
    )


def test_too_little_memory(refused: Refusal) -> None:
    refused("lower the *_MEMORY_MB settings or take a larger droplet", SERVER_MEMORY_MB="900000")


def test_small_machine(lab: Lab) -> None:
    droplet = lab.add_droplet("small", memory_mib=2048)
    try:
        run = Target(lab, droplet).run()
    finally:
        lab.remove_droplet("small")
    assert run.exit_code == 1, str(run)
    assert "has 2048 MB of memory; the limits (postgres 512, " in run.text, str(run)


def test_port_80_is_taken(target: Target, refused: Refusal) -> None:
    target.droplet.ssh("systemd-run --quiet --unit=web python3 -m http.server 80")
    try:
        target.droplet.ssh("for i in $(seq 100); do ss -Hltn 'sport = :80' | grep -q . && exit 0; sleep 0.1; done; exit 1")
        refused("port 80 is taken by python3: stop and disable it")
    finally:
        target.droplet.ssh("systemctl stop web")


def test_registry_is_down(lab: Lab, refused: Refusal) -> None:
    lab.registry.stop()
    try:
        refused("REGISTRY ", f"{lab.registry.address} cannot be reached", "check the address and that it runs")
    finally:
        lab.registry.start(lab.say)


def test_wrong_registry_password(refused: Refusal) -> None:
    refused(
        "REGISTRY_PASSWORD", "refuses this user name and password", "make a new access token", REGISTRY_PASSWORD="no-" + "x" * 20
    )


def test_base_image_that_does_not_exist(lab: Lab, refused: Refusal) -> None:
    refused(
        "REDIS_IMAGE",
        "has no library/redis:99; name an image that is there",
        REDIS_IMAGE=f"{lab.registry.address}/library/redis:99",
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The stand-in in a git repository of its own."""
    copy = tmp_path / "twenty"
    shutil.copytree(STANDIN, copy, ignore=shutil.ignore_patterns("node_modules"))
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    for arguments in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "--message", "state"]):
        subprocess.run(["git", "-C", str(copy), *arguments], check=True)
    return copy


def test_source_ref_that_does_not_exist(refused: Refusal, checkout: Path) -> None:
    refused("TWENTY_REF", f"v99 does not exist in {checkout}", "fetch it there", TWENTY_SOURCE=str(checkout), TWENTY_REF="v99")


def test_source_ref_that_does_not_exist_at_a_git_address(refused: Refusal, checkout: Path) -> None:
    url = f"file://{checkout}"
    refused("TWENTY_REF", f"v99 is no tag or branch of {url}", TWENTY_SOURCE=url, TWENTY_REF="v99")


def test_git_address_where_nothing_is(refused: Refusal, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/nothing.git"
    refused("TWENTY_SOURCE", f"{url} cannot be read", TWENTY_SOURCE=url, TWENTY_REF="v1.10.0")


def test_dirty_source(refused: Refusal, checkout: Path) -> None:
    (checkout / "package.json").write_text("{}")
    before = subprocess.run(
        ["git", "-C", str(checkout), "status", "--porcelain"], capture_output=True, text=True, check=True
    ).stdout
    refused(
        "TWENTY_SOURCE",
        "has 1 uncommitted changes (package.json); commit or stash them",
        TWENTY_SOURCE=str(checkout),
        TWENTY_REF="",
    )
    after = subprocess.run(
        ["git", "-C", str(checkout), "status", "--porcelain"], capture_output=True, text=True, check=True
    ).stdout
    assert after == before


def test_missing_source(refused: Refusal, tmp_path: Path) -> None:
    refused("TWENTY_SOURCE", f"no directory at {tmp_path}/twenty; give a checkout", TWENTY_SOURCE=f"{tmp_path}/twenty")


def test_source_that_is_not_twenty(refused: Refusal, tmp_path: Path) -> None:
    refused("TWENTY_SOURCE", "is it Twenty's repository?", TWENTY_SOURCE=str(tmp_path))


def test_source_that_the_patchset_does_not_fit(refused: Refusal, checkout: Path) -> None:
    entrypoint = checkout / "packages/twenty-docker/twenty/entrypoint.sh"
    entrypoint.write_text('#!/bin/sh\nexec "$@"\n')
    shutil.rmtree(checkout / ".git")
    refused("patchset", "do not fit", "twenty/entrypoint.sh: ", "docs/patchset.md", TWENTY_SOURCE=str(checkout), TWENTY_REF="")


def test_lab_without_root(tmp_path: Path) -> None:
    # may read everything, so that the checkout is found wherever it lies, but is not root
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+dac_read_search"]
    nobody += ["--ambient-caps=+dac_read_search"]
    argv = (*nobody, sys.executable, "-m", "lab", "up", "--name", f"nobody-{os.getpid()}")
    run = driver.command(argv, environment(Path("/nonexistent")) | {"HOME": str(tmp_path)})
    assert run.exit_code == 1, str(run)
    assert "it needs root" in run.text
    assert "apt-get install" in run.text
    assert "systemd-container" in run.text
    assert "Traceback" not in run.text
    assert not any(tmp_path.iterdir())
