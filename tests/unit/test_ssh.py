"""Keys with a passphrase: the agent's are used, nobody is asked in the middle of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ssh_keys
from tests.ssh_keys import add, make_key
from twentyops import ssh
from twentyops.errors import Refused


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with ssh_keys.agent(tmp_path) as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        yield socket


def test_key_without_a_passphrase_is_read_from_its_file(tmp_path: Path) -> None:
    key = make_key(tmp_path)
    data = ssh.host_data("DROPLET", "root", 22, key, tmp_path / "known")
    assert (data["ssh_key"], data["identity_file"]) == (str(key), str(key))
    assert "pkey" not in data["ssh_paramiko_connect_kwargs"]


@pytest.mark.parametrize("public_half", [True, False])
def test_key_with_a_passphrase_comes_from_the_agent(tmp_path: Path, agent: str, public_half: bool) -> None:
    other = tmp_path / "other"
    other.mkdir()
    add(agent, make_key(other, "another"), "another")
    key = make_key(tmp_path, "a secret word")
    add(agent, key, "a secret word")
    if not public_half:
        key.with_name(f"{key.name}.pub").unlink()
    data = ssh.host_data("DROPLET", "root", 22, key, tmp_path / "known")
    assert "ssh_key" not in data
    assert data["identity_file"] == str(key)
    found = ssh.agent_key(data["agent_fingerprint"])
    assert found is not None
    assert found.fingerprint == ssh._fingerprint(key)


@pytest.mark.usefixtures("agent")
def test_key_that_nobody_can_open_is_refused_with_the_setting(tmp_path: Path) -> None:
    key = make_key(tmp_path, "a secret word")
    with pytest.raises(Refused) as caught:
        ssh.host_data("BUILDER", "root", 22, key, tmp_path / "known")
    (problem,) = caught.value.problems
    assert problem.setting == "BUILDER_SSH_KEY"
    assert f"ssh-add '{key}'" in problem.remedy


def test_key_with_a_passphrase_and_no_agent_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(Refused, match="no SSH agent holds it"):
        ssh.host_data("DROPLET", "root", 22, make_key(tmp_path, "a secret word"), tmp_path / "known")
