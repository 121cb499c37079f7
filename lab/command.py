"""Running programs of the outer machine: one place that turns a failure into words."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lab.identity import LabError


def run(
    *argv: str,
    check: bool = True,
    input: str | None = None,
    timeout: float = 120,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, as text; with ``check`` a failure raises LabError with the command and its last lines."""
    try:
        done = subprocess.run(argv, input=input, capture_output=True, text=True, timeout=timeout, env=env, cwd=cwd, umask=0o022)
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]}: not installed") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{shlex.join(argv)}: no end after {timeout:.0f} s") from error
    if check and done.returncode != 0:
        tail = "\n  ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-15:])
        raise LabError(f"{shlex.join(argv)}: exit {done.returncode}\n  {tail}")
    return done


def wait_until(ready: Callable[[], Any], seconds: float, what: Callable[[], str] | str, every: float = 0.05) -> Any:
    """Poll ``ready`` until it answers something true and return that; after ``seconds`` raise LabError saying ``what``."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ready()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise LabError(f"{what if isinstance(what, str) else what()} (waited {seconds:.0f} s)")
        time.sleep(every)


def join(argv: Sequence[str]) -> str:
    """A command as a person would type it."""
    return shlex.join(argv)
