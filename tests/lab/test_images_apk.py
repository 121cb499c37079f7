"""The lab's ``apk``: translates what it knows, refuses everything else before anything is installed."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lab.images.recipes import FOLDER

SHIM = FOLDER / "node/rootfs/usr/local/bin/apk"
TABLE = json.loads((FOLDER / "node/rootfs/opt/apk-shim/packages.json").read_text())


@pytest.fixture(scope="module")
def apk() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("apk_shim", str(SHIM))
    spec = importlib.util.spec_from_loader("apk_shim", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A shim home with an ``apt-get`` on PATH that only notes how it was called."""
    (tmp_path / "packages.json").write_text(json.dumps(TABLE))
    fake = tmp_path / "bin" / "apt-get"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nexit ${{APT_EXIT:-0}}\n')
    fake.chmod(0o755)
    return tmp_path


def run(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SHIM), *arguments],
        env={**os.environ, "APK_SHIM_HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def calls(home: Path) -> list[str]:
    path = home / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_what_twentys_dockerfile_adds_is_known(apk: ModuleType) -> None:
    assert apk.translate(["curl", "jq", "postgresql-client"], TABLE) == ["curl", "jq", "postgresql-client"]


def test_names_that_differ_are_translated_each_once(apk: ModuleType) -> None:
    assert apk.translate(["build-base", "xz", "libc6-compat", "xz"], TABLE) == ["build-essential", "xz-utils"]


def test_command_line_as_dockerfiles_write_it(apk: ModuleType) -> None:
    assert apk.parse(["add", "--no-cache", "curl", "jq"]) == ("add", ["curl", "jq"], "")
    assert apk.parse(["--update", "add", "-t", ".build", "g++"]) == ("add", ["g++"], ".build")
    assert apk.parse(["add", "--virtual=.build", "g++"]) == ("add", ["g++"], ".build")


def test_add_installs_the_translated_names(home: Path) -> None:
    done = run(home, "add", "--no-cache", "curl", "xz")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(calls(home)) == 1
    assert calls(home)[0].endswith("install --no-install-recommends curl xz-utils")


def test_unknown_names_are_refused_together_and_nothing_is_installed(home: Path) -> None:
    done = run(home, "add", "--no-cache", "curl", "nosuch", "other-one")
    assert done.returncode == 1
    assert "nosuch (no such package)" in done.stderr
    assert "required by: world[other-one]" in done.stderr
    assert "packages.json" in done.stderr
    assert calls(home) == []


@pytest.mark.parametrize("name", ["curl=8.1.2-r0", "curl~8", "curl>8", "curl@edge"])
def test_versions_are_refused(home: Path, name: str) -> None:
    done = run(home, "add", name)
    assert done.returncode == 1
    assert "version" in done.stderr
    assert calls(home) == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("add", "--allow-untrusted", "curl"), "--allow-untrusted"),
        (("fetch", "curl"), "fetch"),
        ((), "(none)"),
        (("add",), "package names"),
        (("add", "curl", "-t"), "-t needs a name"),
    ],
)
def test_calls_that_it_does_not_know_end_with_2(home: Path, arguments: tuple[str, ...], named: str) -> None:
    done = run(home, *arguments)
    assert done.returncode == 2
    assert named in done.stderr
    assert calls(home) == []


def test_failed_install_is_tried_with_fresh_lists_and_then_reported(home: Path) -> None:
    done = run(home, "add", "curl", APT_EXIT="100")
    assert done.returncode == 1
    assert "could not install curl" in done.stderr
    assert [call.split()[-1] for call in calls(home)] == ["curl", "update"]


def test_virtual_group_is_removed_as_it_was_added(home: Path) -> None:
    assert run(home, "add", "--virtual", ".build", "build-base", "xz").returncode == 0
    assert run(home, "del", ".build").returncode == 0
    assert calls(home)[-1].endswith("purge --auto-remove build-essential xz-utils")
    again = run(home, "del", ".build")
    assert again.returncode == 1
    assert ".build (no such package)" in again.stderr
