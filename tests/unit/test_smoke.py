"""The smoke suite at the end of a deploy: what the operator is told when a test failed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.ssh_keys import make_key
from tests.unit.test_settings import GOOD
from twentyops import smoke, ssh
from twentyops.settings import load

OUTPUT = """\
F.
all the details
FAILED tests/smoke/test_http.py::test_page_answers - AssertionError: 502
1 failed, 1 passed in 2.00s
"""


def test_a_failed_test_names_the_file_with_the_whole_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The previous release is restored afterwards, so the same failure cannot be seen again."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    answer = subprocess.CompletedProcess([], 1, OUTPUT, "a warning\n")
    monkeypatch.setattr(smoke.subprocess, "run", lambda *_, **__: answer)
    plan: Any = SimpleNamespace(directory="/opt/twenty/releases/r1", release_id="r1")
    told = smoke.run(plan, {"ssh_name": "203.0.113.7", "ssh_config_file": "/dev/null"})
    assert told is not None
    assert "test_page_answers: AssertionError: 502" in told
    assert told.endswith("Next: docs/runbook/promise-broken.md")
    found = re.search(r"Whole output: (\S+)", told)
    assert found
    assert Path(found[1]).read_text() == OUTPUT + "a warning\n"
    assert Path(found[1]).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["plain", "with a blank", "100%h", "%d and more"])
def test_every_path_is_the_same_for_openssh(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    key = make_key(directory)
    settings = load({**GOOD, "DROPLET_SSH_KEY": str(key)})
    config = ssh.write_config(settings, directory)
    (login,) = ssh.logins(settings)
    (tmp_path / "ssh_config").write_text(smoke.ssh_config(ssh.host_data(login, config)))
    read = ssh.resolved(tmp_path / "ssh_config", login.host)
    shown = [read[option].strip('"').replace("%%", "%") for option in ("userknownhostsfile", "identityfile")]
    assert shown == [f"{directory}/10.77.0.11.known_hosts", str(key)]
    assert read["controlmaster"] == "auto"
