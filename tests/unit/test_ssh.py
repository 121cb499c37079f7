"""One SSH configuration for every client; keys with a passphrase are the agent's, nobody is asked in the middle of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra.connectors.sshuserclient.client import SSHClient

from tests import ssh_keys
from tests.ssh_keys import add, make_key
from tests.unit.test_settings import GOOD
from twentyops import ssh
from twentyops.errors import Refused
from twentyops.settings import load

KEY = GOOD["DROPLET_HOST_KEY"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of this test alone, with an empty ~/.ssh. OpenSSH reads the one of the password file: its own is given where it counts."""
    found = tmp_path / "home"
    (found / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(found))
    return found


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with ssh_keys.agent(tmp_path) as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        yield socket


def data(tmp_path: Path, prefix: str = "DROPLET", **changed: str) -> dict[str, Any]:
    """pyinfra's data for a machine of these settings."""
    settings = load({**GOOD, "SERVER_URL": "https://crm.example.com", **changed})
    config = ssh.write_config(settings, tmp_path / "ssh")
    (login,) = (login for login in ssh.logins(settings) if login.prefix == prefix)
    return ssh.host_data(login, config)


def known(found: dict[str, Any]) -> list[str]:
    return Path(found["ssh_known_hosts_file"]).read_text().splitlines()


def told(found: dict[str, Any], name: str = "") -> dict[str, str]:
    return ssh.resolved(Path(found["ssh_config_file"]), name or found["ssh_name"])


def test_settings_reach_every_client(tmp_path: Path) -> None:
    found = data(tmp_path, DROPLET_SSH_PORT="2222", DROPLET_SSH_USER="deployer")
    assert (found["ssh_user"], found["ssh_port"], found["_sudo"]) == ("deployer", 2222, True)
    options = told(found)
    assert (options["user"], options["port"], options["stricthostkeychecking"], options["batchmode"]) == (
        "deployer",
        "2222",
        "true",
        "yes",
    )
    assert options["userknownhostsfile"].strip('"') == found["ssh_known_hosts_file"]
    assert known(found) == [f"10.77.0.11 {KEY}", f"[10.77.0.11]:2222 {KEY}"]


def test_alias_is_read_from_the_operators_configuration(tmp_path: Path, home: Path) -> None:
    """Address, user, port, key and the machine in between, for OpenSSH and for pyinfra alike."""
    key = make_key(tmp_path)
    text = f'Host crm\n  HostName 203.0.113.7\n  Port 2200\n  User ops\n  IdentityFile "{key}"\n  ProxyJump jump\nHost jump\n  HostName 203.0.113.9\n'
    (home / ".ssh/config").write_text(text)
    found = data(tmp_path, DROPLET_HOST="crm")
    assert (found["ssh_user"], found["ssh_port"], found["_sudo"]) == ("ops", 2200, True)
    assert known(found) == [f"[203.0.113.7]:2200 {KEY}", f"crm {KEY}"]
    options = told(found)
    assert (options["hostname"], options["proxyjump"], options["identityfile"].strip('"')) == ("203.0.113.7", "jump", str(key))
    assert options["hostkeyalias"] == "crm"
    assert told(found, "jump")["stricthostkeychecking"] == "true", "nobody is there to answer a question"

    class Hop(SSHClient):
        """Stops where the first connection would be made."""

        def connect(self, hostname: str, **_: Any) -> None:  # type: ignore[override]
            raise ConnectionAbortedError(hostname)

    client: Any = SSHClient()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pyinfra.connectors.sshuserclient.client.SSHClient", Hop)
        with pytest.raises(ConnectionAbortedError, match="jump"):
            client.parse_config("crm", {}, ssh_config_file=found["ssh_config_file"], strict_host_key_checking="yes")


def test_what_the_settings_say_comes_before_the_operators_configuration(tmp_path: Path, home: Path) -> None:
    (home / ".ssh/config").write_text(
        "Host crm\n  HostName 203.0.113.7\n  User ops\n  StrictHostKeyChecking no\nHost *\n  Port 2200\n"
    )
    found = data(tmp_path, DROPLET_HOST="crm", DROPLET_SSH_USER="root", DROPLET_SSH_PORT="22")
    assert (found["ssh_user"], found["ssh_port"]) == ("root", 22)
    assert told(found)["stricthostkeychecking"] == "true"


def test_droplet_by_ipv6_has_a_name_without_colons(tmp_path: Path) -> None:
    found = data(tmp_path, DROPLET_HOST="2001:db8::11")
    assert found["ssh_name"] == "twentyops-droplet"
    for name in (found["ssh_name"], "2001:db8::11"):
        assert (told(found, name)["hostname"], told(found, name)["user"]) == ("2001:db8::11", "root")
    assert known(found) == [f"2001:db8::11 {KEY}"]


def test_builder_has_a_login_of_its_own(tmp_path: Path) -> None:
    found = data(tmp_path, "BUILDER", BUILDER_HOST="10.77.0.12", BUILDER_HOST_KEY=KEY + "B", BUILDER_SSH_PORT="2201")
    assert (found["ssh_port"], told(found)["port"], told(found, "10.77.0.11")["port"]) == (2201, "2201", "22")
    assert f"[10.77.0.12]:2201 {KEY}B" in known(found)


def test_configuration_that_openssh_cannot_read_is_refused_in_its_words(tmp_path: Path, home: Path) -> None:
    (home / ".ssh/config").write_text("Host crm\n  Hostnaem 203.0.113.7\n")
    with pytest.raises(Refused, match=r"(?i)hostnaem"):
        data(tmp_path, DROPLET_HOST="crm")


def test_key_without_a_passphrase_is_read_from_its_file(tmp_path: Path) -> None:
    key = make_key(tmp_path)
    found = data(tmp_path, DROPLET_SSH_KEY=str(key))
    assert found["ssh_key"] == str(key)
    assert "agent_fingerprint" not in found
    assert (told(found)["identityfile"].strip('"'), told(found)["identitiesonly"]) == (str(key), "yes")


@pytest.mark.parametrize("public_half", [True, False])
def test_key_with_a_passphrase_comes_from_the_agent(tmp_path: Path, agent: str, public_half: bool) -> None:
    other = tmp_path / "other"
    other.mkdir()
    add(agent, make_key(other, "another"), "another")
    key = make_key(tmp_path, "a secret word")
    add(agent, key, "a secret word")
    if not public_half:
        key.with_name(f"{key.name}.pub").unlink()
    found = data(tmp_path, DROPLET_SSH_KEY=str(key))
    assert "ssh_key" not in found
    assert told(found)["identityfile"].strip('"') == str(key)
    held = ssh.agent_key(found["agent_fingerprint"])
    assert held is not None
    assert held.fingerprint == ssh._fingerprint(key)


@pytest.mark.usefixtures("agent")
def test_key_that_nobody_can_open_is_refused_with_the_setting(tmp_path: Path) -> None:
    key = make_key(tmp_path, "a secret word")
    with pytest.raises(Refused) as caught:
        data(tmp_path, "BUILDER", BUILDER_HOST="10.77.0.12", BUILDER_HOST_KEY=KEY, BUILDER_SSH_KEY=str(key))
    (problem,) = caught.value.problems
    assert problem.setting == "BUILDER_SSH_KEY"
    assert f"ssh-add '{key}'" in problem.remedy


def test_key_with_a_passphrase_and_no_agent_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(Refused, match="no SSH agent holds it"):
        data(tmp_path, DROPLET_SSH_KEY=str(make_key(tmp_path, "a secret word")))
