"""Keeper of one machine: started as a program of its own (standard library only) inside a private mount namespace.

Joins the machine's control groups, mounts its disk and its root, and runs systemd-nspawn again whenever the machine
reboots itself. With it go its mounts: they exist in no other namespace.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
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
    mount_root(spec)
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


def mount_root(spec: dict[str, Any]) -> None:
    """Mount the disk (an image file), put the machine's own files on it, and lay its layer over the tree."""
    tree, disk, root = Path(spec["tree"]), Path(spec["disk"]), spec["root"]
    check = subprocess.run(["e2fsck", "-p", spec["image"]], check=False)
    if check.returncode > 1:  # 1: mended
        raise SystemExit(f"e2fsck {spec['image']}: exit {check.returncode}")
    # the disk need not survive a power cut of the outer machine, so nothing waits for it: dpkg, Postgres and Docker
    # would otherwise spend most of a deploy in fsync
    subprocess.run(["mount", "-o", "loop,noatime,nobarrier", spec["image"], str(disk)], check=True)
    for part in ("upper", "work", "docker", "containerd"):
        (disk / part).mkdir(mode=0o755, exist_ok=True)
    for file in spec["files"]:
        write(tree, disk / "upper", file["path"], file["text"], file["mode"])
    layers = f"lowerdir={tree},upperdir={disk / 'upper'},workdir={disk / 'work'}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, root], check=True)


def write(tree: Path, upper: Path, name: str, text: str, mode: int) -> None:
    """Write a file into the machine's layer, its directories as they are in the tree."""
    for parent in reversed(Path(name).parents[:-1]):
        if not (upper / parent).exists():
            (upper / parent).mkdir()
            if (tree / parent).is_dir():
                shutil.copystat(tree / parent, upper / parent)
    target = upper / name
    target.unlink(missing_ok=True)
    target.touch(mode=mode)
    target.write_text(text)
    target.chmod(mode)


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
