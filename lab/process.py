"""Processes of a lab. Each one carries the lab's id and its role in its environment, so that it is found without a pid
file, and a pid that the kernel gave to somebody else is never taken for ours."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.command import wait_until
from lab.identity import MARK, ROLE, Identity, LabError


@dataclass(frozen=True)
class Process:
    """One running process of a lab, as /proc tells it."""

    pid: int
    role: str
    command: str


def _environ(pid: int) -> dict[str, str]:
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return {}
    entries = raw.decode(errors="replace").split("\0")
    return {name: value for name, equals, value in (entry.partition("=") for entry in entries) if equals}


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and waits for its parent (zombie) does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def find(identity: Identity, role: str | None = None) -> list[Process]:
    """All processes that were started for the lab, or for one role in it (``droplet``, ``registry``, ``dns`` ...)."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        environ = _environ(pid)
        if environ.get(MARK) != identity.id or (role is not None and environ.get(ROLE) != role):
            continue
        if alive(pid):
            found.append(Process(pid, environ.get(ROLE, ""), command_of(pid)))
    return found


def spawn(identity: Identity, role: str, argv: Sequence[str], directory: Path) -> int:
    """Start a program that outlives us, in a session of its own; ``directory`` gets its ``pid`` and ``log``. Returns the pid."""
    directory.mkdir(parents=True, exist_ok=True)
    # nothing else of the caller's: REGISTRY_* would change the registry's configuration, and secrets do not belong there
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environ |= {MARK: identity.id, ROLE: role}
    with (directory / "log").open("ab") as log:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environ,
            cwd="/",
            umask=0o022,  # a machine's root directory must be open to its users, whatever this person's mask is
        )
    (directory / "pid").write_text(f"{child.pid}\n")
    # between the start of a program and the moment that the kernel shows its environment, it could not be recognised
    wait_until(lambda: not alive(child.pid) or _environ(child.pid).get(ROLE) == role, 10, f"{role}: does not start")
    return child.pid


def running(identity: Identity, role: str, directory: Path) -> int | None:
    """The pid in the pid file when it is alive and really this lab's role, else None."""
    try:
        pid = int((directory / "pid").read_text())
    except (FileNotFoundError, ValueError):
        return None
    environ = _environ(pid)
    deadline = time.monotonic() + 1
    while not environ and alive(pid) and time.monotonic() < deadline:  # it is just becoming another program: unshare, then ours
        time.sleep(0.01)
        environ = _environ(pid)
    return pid if alive(pid) and environ.get(MARK) == identity.id and environ.get(ROLE) == role else None


def tail(directory: Path, lines: int = 15) -> str:
    """Last lines of the log of a process, for an error message."""
    try:
        text = (directory / "log").read_text(errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n  ".join(text.strip().splitlines()[-lines:]) or "(empty log)"


def kill(pids: Iterable[int], how: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to processes; those that are gone already are fine."""
    for pid in pids:
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            continue


def end(identity: Identity, role: str, directory: Path, seconds: float = 5) -> None:
    """Ask the processes of a role to end, kill them when they do not, and remove the pid file."""
    kill([p.pid for p in find(identity, role)], signal.SIGTERM)
    try:
        wait_until(lambda: not find(identity, role), seconds, "still running")
    except LabError:
        kill([p.pid for p in find(identity, role)])
        wait_until(lambda: not find(identity, role), 5, f"{role} of lab {identity.name} cannot be killed")
    (directory / "pid").unlink(missing_ok=True)
