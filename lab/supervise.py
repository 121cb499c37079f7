"""Keeper of one machine: started as a program of its own (standard library only) inside a private mount namespace.

Joins the machine's control groups, mounts its root, and runs systemd-nspawn again whenever the machine reboots itself.
With it go its mounts: they exist in no other namespace.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

REBOOT = 133  # what systemd-nspawn --keep-unit exits with when the machine asked for a reboot
PR_SET_PDEATHSIG = 1


def main(spec_file: str) -> int:
    """Run the machine that the JSON file describes until it powers off; the exit status is systemd-nspawn's."""
    spec: dict[str, Any] = json.loads(Path(spec_file).read_text())
    enter(spec["cgroups"])
    overlay = spec["overlay"]
    layers = f"lowerdir={overlay['lower']},upperdir={overlay['upper']},workdir={overlay['work']}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, overlay["root"]], check=True)
    stopping: list[int] = []
    child: list[subprocess.Popen[bytes]] = []

    def stop(signum: int, _frame: FrameType | None) -> None:
        stopping.append(signum)
        if child:
            pass_on(child[-1].pid)

    signal.signal(signal.SIGTERM, stop)
    boots = 0
    while True:
        boots += 1
        Path(spec["boots"]).write_text(f"{boots}\n")
        argv = [*fresh_clock(), *spec["nspawn"]]
        child.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, env={**os.environ, **spec["env"]}, preexec_fn=die_with_us))
        code = child[-1].wait()
        print(f"boot {boots} ended: {code}", flush=True)
        if code != REBOOT or stopping:
            return code


def enter(cgroups: list[dict[str, Any]]) -> None:
    """Make each control group with its limits and move this process into it."""
    for group in cgroups:
        path = Path(group["path"])
        path.mkdir(parents=True, exist_ok=True)
        for file in group["inherit"]:
            (path / file).write_text((path.parent / file).read_text())
        for file, value in group["limits"].items():
            (path / file).write_text(value)
        (path / "cgroup.procs").write_text(f"{os.getpid()}\n")


def fresh_clock() -> list[str]:
    """The command that starts the machine's uptime at 0: who waits for a reboot looks at it."""
    boottime, monotonic = int(time.clock_gettime(time.CLOCK_BOOTTIME)), int(time.clock_gettime(time.CLOCK_MONOTONIC))
    clock = ["--time", "--boottime", f"-{boottime}", "--monotonic", f"-{monotonic}"]
    return ["unshare", *clock, "--fork", "--kill-child=TERM"]


def die_with_us() -> None:
    """In the child: be killed when the keeper is, so that no machine runs without one."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def pass_on(unshare: int) -> None:
    """Ask systemd-nspawn, the child of ``unshare`` (which ignores signals), for an orderly power-off."""
    for pid in Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split():
        os.kill(int(pid), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
