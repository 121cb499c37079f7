"""A Postgres of the tests' own: installed when it is absent, started in a directory of its own, killed and started at will."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from lab.command import run, wait_until


def binaries() -> Path:
    """Where postgres and initdb are; Debian's package is installed when there are none."""
    if not (found := sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))):
        run("apt-get", "install", "-y", "--no-install-recommends", "postgresql", timeout=600)
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Postgres:
    """Postgres does not run as root: root becomes the user postgres. fsync is on: what is committed has to survive a kill."""

    def __init__(self, directory: Path) -> None:
        self.data, self.bin, self.port = directory / "data", binaries(), free_port()
        self.as_user = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
        directory.mkdir(parents=True, exist_ok=True)
        if self.as_user:
            shutil.chown(directory, "postgres", "postgres")
        run(
            *self.as_user,
            str(self.bin / "initdb"),
            "-D",
            str(self.data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            timeout=180,
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def dsn(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        log = (self.data.parent / "log").open("ab")
        self.process = subprocess.Popen(
            [*self.as_user, str(self.bin / "postgres"), "-D", str(self.data), "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
             "-c", "unix_socket_directories=", "-c", "max_connections=200", "-c", "jit=off"],
            stdout=log, stderr=log,
        )  # fmt: skip
        wait_until(self.answers, 60, lambda: f"Postgres does not start: {(self.data.parent / 'log').read_text()[-800:]}")

    def answers(self) -> bool:
        try:
            with psycopg.connect(self.dsn(), connect_timeout=2) as connection:
                return connection.execute("SELECT 1").fetchone() is not None
        except psycopg.OperationalError:
            return False

    def kill(self) -> None:
        """kill -9 of the postmaster, which takes its children along; it can be started again at once."""
        pid = int((self.data / "postmaster.pid").read_text().split()[0])
        children = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        os.kill(pid, signal.SIGKILL)
        assert self.process is not None
        self.process.wait(30)
        wait_until(lambda: not any(alive(p) for p in children), 30, "children of a killed Postgres stay")
        (self.data / "postmaster.pid").unlink()

    def stop(self) -> None:
        if (self.data / "postmaster.pid").exists():
            os.kill(int((self.data / "postmaster.pid").read_text().split()[0]), signal.SIGINT)
        if self.process:
            self.process.wait(60)

    def database(self, name: str, template: str = "template1") -> str:
        """A new database of the role ``tenants``, which may do nothing else; its address."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'tenants'").fetchone():
                connection.execute("CREATE ROLE tenants LOGIN")
            connection.execute(f'CREATE DATABASE "{name}" OWNER tenants TEMPLATE "{template}"')
        return self.dsn(name, "tenants")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@contextmanager
def temporary() -> Iterator[Postgres]:
    """A Postgres that goes with the tests that use it."""
    # not below pytest's own directory, which every other run of pytest closes to all users but its own
    with tempfile.TemporaryDirectory(prefix="tests-postgres-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o711)
        found = Postgres(Path(directory) / "cluster")
        try:
            yield found
        finally:
            found.stop()
