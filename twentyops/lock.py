"""One live deploy at a time: a lock file on the droplet that a person can read.

``/var/lib/twentyops/lock.json`` = ``{run, who, machine, pid, started, expires, release}``; times are seconds since 1970. It is made with
``ln``, which the kernel lets one caller win. A lock whose time is over, or whose process on this same machine is gone, counts as left
behind and is taken over. A deploy that fails gives its lock back; one that is killed leaves it.
"""

from __future__ import annotations

import json
import os
import shlex
import time
import uuid
from pathlib import Path
from typing import Any

from pyinfra import host, logger, state
from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.host import Host
from pyinfra.api.state import BaseStateCallback, State

from twentyops import operations as ops
from twentyops import release

DIRECTORY = "/var/lib/twentyops"
PATH = f"{DIRECTORY}/lock.json"
RUN = uuid.uuid4().hex


def _machine() -> str:
    """This machine's boot: a process id means nothing on another one, or after a restart."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip() if Path("/proc").is_dir() else str(uuid.getnode())


def _process_start(pid: int) -> str:
    """When a process began, in clock ticks since boot; empty where there is none. A process id alone is used again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def make(minutes: int) -> dict[str, Any]:
    """Content of a lock of this process."""
    now = int(time.time())
    return {
        "run": RUN,
        "who": release.who(),
        "machine": _machine(),
        "pid": os.getpid(),
        "pid_start": _process_start(os.getpid()),
        "started": now,
        "expires": now + minutes * 60,
        "what": "deploy",
    }


def left_behind(lock: dict[str, Any], now: float) -> str:
    """Why a lock does not count any more, empty where it does."""
    if lock.get("run") == RUN:
        return "it is ours"
    if now > lock.get("expires", 0):
        return "its time is over"
    if lock.get("machine") == _machine() and _process_start(lock.get("pid", 0)) != lock.get("pid_start"):
        return f"its process {lock.get('pid')} on this machine is gone"
    return ""


def read() -> dict[str, Any] | None:
    """The lock on the host, ``None`` where there is none; a damaged or empty one is an expired one."""
    there, text = ops.remote(f"cat {PATH} 2>/dev/null")
    if not there:
        return None
    damaged = {"who": "unknown (damaged file)", "started": 0, "expires": 0}
    try:
        lock = json.loads(text)
    except ValueError:
        return damaged
    whole = isinstance(lock, dict) and isinstance(lock.get("who"), str)
    return lock if whole and all(isinstance(lock.get(name), int) for name in ("started", "expires")) else damaged


def taking(content: str) -> str:
    """Shell program that makes the lock of ``content`` on its standard input; it fails where there is one already.

    Only all of the content makes a lock: a deploy killed while it sends it leaves none.
    """
    new = f"{PATH}.{RUN}"
    return (
        f"umask 077; mkdir -p {DIRECTORY} && cat > {new} && test $(wc -c < {new}) -eq {len(content.encode())} && ln {new} {PATH};"
        f" s=$?; rm -f {new}; exit $s"
    )


def acquire(minutes: int) -> str | None:
    """Take the lock; a text says who holds it and what to do."""
    content = json.dumps(make(minutes)) + "\n"
    said = ""
    for _ in range(3):
        taken, said = ops.remote(taking(content), stdin=content)
        if taken:
            release_at_end()
            return None
        holder = read()
        if holder is None:
            continue
        reason = left_behind(holder, time.time())
        if not reason:
            minutes_left = int((holder["expires"] - time.time()) / 60)
            return (
                f"{holder['who']} has been deploying since {time.strftime('%H:%M:%S UTC', time.gmtime(holder['started']))} "
                f"(process {holder.get('pid')}); its lock lasts {minutes_left} more minutes. Nothing was changed.\n"
                "Next: wait, or when that deploy is known to be dead: make unlock"
            )
        logger.info(f"{host.print_prefix}taking over the lock of {holder['who']}: {reason}")
        # moved away only if it is still the one that was judged
        old = shlex.quote(str(holder.get("run", "")))
        ops.remote(f"if [ -z {old} ] || grep -q {old} {PATH}; then mv -f {PATH} {PATH}.taken && rm -f {PATH}.taken; fi")
    return (
        f"the lock {PATH} could not be taken in three tries: {said.strip() or 'the droplet did not say why'}. Nothing was changed.\n"
        "Next: mend that on the droplet (a full or read-only disk?), or look at the lock with make status"
    )


def give_back() -> str | None:
    """Remove the lock if it is this run's."""
    ops.remote(f"if grep -qs {RUN} {PATH}; then rm -f {PATH}; fi")
    return None


class _GiveBackAtEnd(BaseStateCallback):
    """pyinfra stops at the first failure, so the lock goes back when it disconnects, however the run ended."""

    @staticmethod
    def host_disconnect(state: State, host: Host) -> None:  # noqa: ARG004
        if "droplet" in host.groups:
            arguments = {"_sudo": True} if host.data.get("_sudo", False) else {}
            script = f"if grep -qs {RUN} {PATH}; then rm -f {PATH}; fi"
            host.run_shell_command(StringCommand("sh -c", QuoteString(script)), **arguments)


def release_at_end() -> None:
    """Give the lock back when pyinfra disconnects."""
    if not any(isinstance(handler, _GiveBackAtEnd) for handler in state.callback_handlers):
        state.add_callback_handler(_GiveBackAtEnd())  # type: ignore[no-untyped-call]
