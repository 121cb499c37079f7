"""The Postgres stand-in's first start, killed before each of its steps: the next start must give the whole database.

Runs the real image content (root file system and entrypoint) in namespaces of its own, without Docker.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.images.store import build

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts, namespaces, other users")

DEADLINE = 90.0  # seconds for a start; it takes 2-3 on an idle machine
POSTGRES_UID = 999
ENTER = """
set -eu
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$2/merged"
mount -t proc proc "$2/merged/proc"
mount --rbind /dev "$2/merged/dev"
mount -t tmpfs tmpfs "$2/merged/tmp"
mkdir -p "$2/merged/trace"
mount --bind "$2/trace" "$2/merged/trace"
mount --bind "$3" "$2/merged/var/lib/postgresql/data"
mount --bind "$2/initdb.d" "$2/merged/docker-entrypoint-initdb.d"
home=$2
shift 3
exec chroot "$home/merged" /usr/bin/env -i "$@" docker-entrypoint.sh postgres
"""
# stands before a program: notes the call; at the chosen call it does half of the work (mv) or none, and stands still
STEP = """#!/bin/bash
name=${0##*/}
printf '%s\\n' "$name" >> /trace/calls
if [ "$(wc -l < /trace/calls)" = "${STOP_AT:-0}" ]; then
  if [ "$name $1" = "mv -t" ]; then PATH=$REAL_PATH mv -t "$2" "$3"; fi
  touch_real=$(PATH=$REAL_PATH type -P touch); "$touch_real" /trace/stopped
  exec -a standing /bin/sleep infinity
fi
PATH=$REAL_PATH exec "$name" "$@"
"""
STEPS = ("initdb", "pg_ctl", "psql", "sync", "touch", "mv", "rm")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/16/bin"


@dataclass(frozen=True)
class Server:
    """A started entrypoint: process outside, its process id inside the machine's numbering, its folder."""

    process: subprocess.Popen[bytes]
    home: Path

    @property
    def inner(self) -> int:
        listing = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end and self.process.poll() is None:
            if children := listing.read_text().split():
                return int(children[0])
            time.sleep(0.02)
        raise AssertionError(f"nothing runs: {self.log()}")

    def sql(self, statement: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", f"--target={self.inner}", "--mount", "--net", "--pid", "chroot", str(self.home / "merged"),
             "/usr/bin/env", f"PATH={PATH}", "psql", "-U", "twenty", "-d", "default", "-tAc", statement],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def log(self) -> str:
        return (self.home / "log").read_text()

    def kill(self) -> None:
        """All of it at once: the kernel ends a process namespace with its first process.

        Not by unshare's own --kill-child: the entrypoint becomes another user, which undoes that.
        """
        if self.process.poll() is None:
            os.kill(self.inner, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def lower(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image's content as overlay lower directories."""
    _, folder = build(("postgres",))["postgres"]
    base, top = (Path(path) for path in json.loads((folder / "layers.json").read_text()))
    tree = tmp_path_factory.mktemp("layer")
    subprocess.run(["tar", "-xzf", str(top), "-C", str(tree)], check=True)
    return f"{tree}:{base.parent / 'rootfs'}"


@contextmanager
def started(lower: str, home: Path, data: Path, stop_at: int = 0) -> Iterator[Server]:
    """The entrypoint as root over a data folder; all of it is killed at the end, without a word."""
    for name in ("upper/steps", "work", "merged", "trace", "initdb.d"):
        (home / name).mkdir(parents=True)
    data.mkdir(exist_ok=True)
    (home / "trace").chmod(0o777)
    (home / "initdb.d" / "10-table.sql").write_text("CREATE TABLE from_init AS SELECT 42 AS answer;\n")
    for name in STEPS:
        program = home / "upper" / "steps" / name
        program.write_text(STEP)
        program.chmod(0o755)
    environment = {
        "PATH": f"/steps:{PATH}", "REAL_PATH": PATH, "LANG": "en_US.utf8", "PGDATA": "/var/lib/postgresql/data",
        "POSTGRES_USER": "twenty", "POSTGRES_DB": "default", "POSTGRES_PASSWORD": "secret",
        "POSTGRES_INITDB_ARGS": "--no-sync", "STOP_AT": str(stop_at),
    }  # fmt: skip
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "--pid", "--net", "--ipc", "--fork",
             "/bin/sh", "-c", ENTER, "enter", lower, str(home), str(data),
             *(f"{name}={value}" for name, value in environment.items())],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    server = Server(process, home)
    try:
        yield server
    finally:
        server.kill()


def wait_until_it_serves(server: Server) -> None:
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        assert server.process.poll() is None, server.log()
        # during the first start a server without network answers too: only the final one listens
        if server.sql("SHOW listen_addresses").stdout.strip() == "*":
            return
        time.sleep(0.1)
    raise AssertionError(f"no server within {DEADLINE:.0f} s:\n{server.log()}")


def stopped_or_serving(server: Server) -> bool:
    """True when it stands still at the chosen step, False when it passed all steps and serves."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if (server.home / "trace" / "stopped").exists():
            return True
        assert server.process.poll() is None, server.log()
        if "database system is ready to accept connections" in server.log().split("init process complete")[-1] and (
            "init process complete" in server.log()
        ):
            return False
        time.sleep(0.05)
    raise AssertionError(f"neither stopped nor serving within {DEADLINE:.0f} s:\n{server.log()}")


def test_first_start_killed_before_each_step_begins_anew_or_goes_on(lower: str, tmp_path: Path) -> None:
    steps_tried = 0
    for step in range(1, 40):
        data = tmp_path / f"data-{step}"
        with started(lower, tmp_path / f"killed-{step}", data, stop_at=step) as server:
            if not stopped_or_serving(server):
                break
        called = (tmp_path / f"killed-{step}" / "trace" / "calls").read_text().split()[-1]
        with started(lower, tmp_path / f"again-{step}", data) as server:
            wait_until_it_serves(server)
            answer = server.sql("SELECT answer FROM from_init")
            assert answer.stdout == "42\n", f"killed before step {step} ({called}): {answer.stderr}{server.log()}"
            rules = (data / "pg_hba.conf").read_text()
            assert rules.count("host all all all scram-sha-256") == 1, f"killed before step {step} ({called})"
            assert not (data / ".initialising").exists(), f"killed before step {step} ({called})"
        steps_tried = step
        for name in (f"killed-{step}", f"again-{step}", f"data-{step}"):
            shutil.rmtree(tmp_path / name)
    assert steps_tried >= len(STEPS), "the entrypoint no longer calls the programs that this test stops"


def test_data_survives_a_restart_and_the_first_start_is_not_repeated(lower: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with started(lower, tmp_path / "first", data) as server:
        wait_until_it_serves(server)
        assert server.sql("CREATE TABLE mine AS SELECT 1 AS one").returncode == 0
        # killed without a word: Postgres recovers from its log
    with started(lower, tmp_path / "second", data) as server:
        wait_until_it_serves(server)
        assert server.sql("SELECT one FROM mine").stdout == "1\n"
        assert server.sql("SELECT answer FROM from_init").stdout == "42\n"
        assert "Skipping initialization" in server.log()
    assert (data / "PG_VERSION").stat().st_uid == POSTGRES_UID


def test_folder_with_somebody_elses_files_is_refused_and_left_alone(lower: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "precious.txt").write_text("keep me")
    with started(lower, tmp_path / "home", data) as server:
        assert server.process.wait(timeout=DEADLINE) == 1
        assert "is not empty and holds no cluster" in server.log()
    assert (data / "precious.txt").read_text() == "keep me"
    assert not (data / "PG_VERSION").exists()
