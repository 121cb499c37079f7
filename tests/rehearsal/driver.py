"""Runs the real commands against a lab, as a person types them, and says what they did and what a host looks like."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lab import settings
from lab.command import wait_until
from lab.identity import PROJECT
from lab.machine import Machine
from lab.rehearse import COLOUR, environment, totals
from lab.world import Lab

PYINFRA = Path(sys.executable).with_name("pyinfra")
DEPLOY = ("deploy.py", "-y")


@dataclass(frozen=True)
class Run:
    """A command that ended."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def text(self) -> str:
        """All that a person sees, without colours."""
        return COLOUR.sub("", self.stdout + self.stderr)

    @property
    def counts(self) -> tuple[int, int, int]:
        """(changed, failed, unchanged) operations over all hosts; an AssertionError where the run has no table of results."""
        found = totals(self.text.splitlines())
        assert found, f"no table of results:\n{self}"
        return found

    @property
    def operations(self) -> list[str]:
        """Names of the operations that began, in order."""
        return [m[1].strip() for m in re.finditer(r"--> Starting operation: (.+)", self.text)]

    def __str__(self) -> str:
        return f"{' '.join(self.argv)}: exit {self.exit_code} after {self.seconds:.1f} s\n{self.text}"


@dataclass
class Target:
    """Where a deploy goes: a lab, which of its machines is the droplet and which one builds, settings that differ from the lab's.

    A setting changed to ``None`` is left out of the file.
    """

    lab: Lab
    droplet: Machine
    changes: dict[str, str | None] = field(default_factory=dict)

    def having(self, **changes: str | None) -> Target:
        """The same with further settings changed."""
        return replace(self, changes={**self.changes, **changes})

    def building_on(self, builder: Machine) -> Target:
        """The same with another builder."""
        return self.having(BUILDER_HOST=builder.address, BUILDER_HOST_KEY=builder.host_key())

    def settings(self) -> dict[str, str]:
        """Every setting of a run against this target."""
        here = {
            "DROPLET_HOST": self.droplet.address,
            "DROPLET_HOST_KEY": self.droplet.host_key(),
            "SERVER_URL": f"http://{self.droplet.address}",
            "CLERK_WEBHOOK_URL": f"http://{self.droplet.address}/webhooks/clerk",
        }
        merged = {**settings.values(self.lab), **here, **self.changes}
        return {name: value for name, value in merged.items() if value is not None}

    def run(self, *arguments: str, inventory: str = "inventory.py", timeout: float = 600, **environ: str) -> Run:
        """``pyinfra inventory.py <arguments>`` to its end; without arguments the deploy. ``environ``: variables of it alone."""
        with TemporaryDirectory(prefix="rehearsal-") as directory:
            file = self.write(Path(directory))
            return command((str(PYINFRA), inventory, *(arguments or DEPLOY)), environment(file) | environ, timeout)

    def ops(self, name: str, *arguments: str, timeout: float = 120) -> Run:
        """An operator's command, ``python -m ops.<name>``, to its end, without a terminal."""
        with TemporaryDirectory(prefix="rehearsal-") as directory:
            file = self.write(Path(directory))
            return command((sys.executable, "-m", f"ops.{name}", *arguments), environment(file), timeout)

    def write(self, directory: Path) -> Path:
        """The settings file of a run, readable by its owner alone."""
        file = directory / "settings.env"
        file.touch(mode=0o600)
        file.write_text(settings.text(self.settings()))
        return file


def command(argv: Sequence[str], environ: dict[str, str], timeout: float = 600, cwd: Path = PROJECT) -> Run:
    """A command in the project's directory to its end, output and errors kept apart."""
    began = time.monotonic()
    done = subprocess.run(argv, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
    return Run(tuple(argv), done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def smoke(*arguments: str) -> Run:
    """The smoke suite by itself, as a person calls it."""
    argv = (sys.executable, "-m", "pytest", "tests/smoke", "-q", "-p", "no:cacheprovider", *arguments)
    return command(argv, environment(Path("/nonexistent")))


class Background:
    """A deploy that runs while the test does something else; killed with all its processes when left."""

    def __init__(self, target: Target, *arguments: str) -> None:
        self._directory = TemporaryDirectory(prefix="rehearsal-")
        file = target.write(Path(self._directory.name))
        self.argv = (str(PYINFRA), "inventory.py", *(arguments or DEPLOY))
        self._began = time.monotonic()
        self._lines: list[str] = []
        self._process = subprocess.Popen(
            self.argv, cwd=PROJECT, env=environment(file), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", bufsize=1, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.append(line)

    @property
    def text(self) -> str:
        return COLOUR.sub("", "".join(self._lines))

    def running(self) -> bool:
        return self._process.poll() is None

    def until(self, there: Callable[[str], Any], what: str, seconds: float = 240) -> bool:
        """Wait until its output is as asked for. False where the deploy ended well before that."""

        def ready() -> bool:
            # asked before the output is looked at: what is written last must not be missed
            ended = not self.running()
            if ended:
                self._reader.join(10)
            return bool(there(self.text)) or ended

        wait_until(ready, seconds, lambda: f"never came to {what}:\n{self.text[-4000:]}", every=0.01)
        if there(self.text):
            return True
        assert self._process.returncode == 0, f"ended before {what}:\n{self.text[-4000:]}"
        return False

    def kill(self) -> None:
        """SIGKILL to the whole process group: nothing of it can tidy up."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            self._process.wait(10)
            self._reader.join(10)

    def end(self, timeout: float = 600) -> Run:
        """Wait for its own end."""
        code = self._process.wait(timeout)
        self._reader.join(10)
        return Run(self.argv, code, "".join(self._lines), "", time.monotonic() - self._began)

    def __enter__(self) -> Background:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._directory.cleanup()


FINGERPRINT = """
find /etc /opt /usr/local /root /var/lib/twentyops /var/spool/cron -type f -exec sha256sum {} + 2> /dev/null | sort -k2
find /etc /opt /usr/local /root /var/lib/twentyops -printf '%p %y %m %u %g %l\\n' 2> /dev/null | sort
find /tmp /var/tmp -maxdepth 1 -not -name 'systemd-private-*' | sort
dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\\n'
systemctl list-units --no-legend --plain --type=service,socket,timer --state=running,listening,waiting | awk '{print $1}' \
  | grep -v '^user@' | sort
ls -d /swapfile /var/lib/docker/* 2> /dev/null
docker ps --all --quiet --no-trunc 2> /dev/null | sort
docker volume ls --quiet 2> /dev/null | sort
true
"""


def fingerprint(machine: Machine) -> str:
    """What a deploy could change on a host: files with digests and modes, packages, units, containers, volumes; as lines."""
    return machine.ssh(FINGERPRINT).stdout


def containers(machine: Machine) -> list[str]:
    """Full ids of the containers that run."""
    return sorted(machine.ssh("docker ps --quiet --no-trunc").stdout.split())


def inspect(machine: Machine) -> dict[str, dict[str, Any]]:
    """``{container name: docker inspect}`` of all containers, ended ones too."""
    found = machine.ssh("docker ps --all --quiet | xargs --no-run-if-empty docker inspect").stdout
    return {container["Name"].lstrip("/"): container for container in json.loads(found or "[]")}


def manifest(machine: Machine) -> dict[str, Any]:
    """The manifest of the release that runs."""
    found: dict[str, Any] = json.loads(machine.ssh("cat /opt/twenty/current/release.json").stdout)
    return found


def lock(machine: Machine) -> str:
    """Text of the deploy lock, empty where there is none."""
    return machine.ssh("cat /var/lib/twentyops/lock.json", check=False).stdout
