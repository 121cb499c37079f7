"""Control groups of the machines: version 1 where the outer machine has its controllers there, else version 2.

Docker enforces memory, CPU and process limits only through the hierarchy that holds the controllers, so it is looked up,
never assumed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.identity import Identity

ROOT = Path("/sys/fs/cgroup")
V1_WANTED = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "name=systemd")
V2_WANTED = ("cpuset", "cpu", "io", "memory", "pids")


@dataclass(frozen=True)
class Hierarchies:
    """``version`` 1 or 2; ``parents`` maps a controller to the directory that a machine's group goes into; ``limits``
    says whether memory limits work at all."""

    version: int
    parents: dict[str, Path]
    limits: bool


def mounts(mountinfo: str) -> tuple[dict[str, Path], Path | None]:
    """From the text of /proc/self/mountinfo: version 1 controllers with their mount points, and the version 2 mount."""
    v1: dict[str, Path] = {}
    v2: Path | None = None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        point, (kind, _source, options) = Path(left.split()[4]), right.split()[:3]
        if kind == "cgroup":
            v1.update({o: point for o in options.split(",") if o in V1_WANTED})
        elif kind == "cgroup2":
            v2 = point
    return v1, v2


def detect(mountinfo: str | None = None, own: str | None = None) -> Hierarchies:
    """How machines can be confined here; the arguments are the texts of /proc/self/mountinfo and /proc/self/cgroup."""
    v1, v2 = mounts(Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo)
    if "memory" in v1:
        ours: dict[str, str] = {}
        for line in (Path("/proc/self/cgroup").read_text() if own is None else own).splitlines():
            _, controllers, path = line.split(":", 2)
            ours.update({name: path.strip("/") for name in controllers.split(",")})
        # below the group that we are in: the accounting of who started the lab stays whole
        return Hierarchies(1, {name: point / ours.get(name, "") for name, point in v1.items()}, limits=True)
    if v2 is None:
        return Hierarchies(2, {}, limits=False)
    controllers_file = v2 / "cgroup.controllers"
    available = controllers_file.read_text().split() if controllers_file.exists() else []
    return Hierarchies(2, {"": v2}, limits="memory" in available)


def groups(identity: Identity, machine: str, memory_mib: int | None) -> list[dict[str, Any]]:
    """What the keeper of a machine has to create and enter: ``{path, inherit, limits}`` each, limits as file: text."""
    found = detect()
    name = identity.cgroup(machine)
    if found.version == 2:
        for parent in found.parents.values():
            _delegate(parent)
        limit = {"memory.max": str(memory_mib << 20)} if memory_mib and found.limits else {}
        return [{"path": str(parent / name), "inherit": [], "limits": limit} for parent in found.parents.values()]
    made = []
    for controller, parent in found.parents.items():
        limits = {"memory.limit_in_bytes": str(memory_mib << 20)} if memory_mib and controller == "memory" else {}
        inherit = ["cpuset.cpus", "cpuset.mems"] if controller == "cpuset" else []
        made.append({"path": str(parent / name), "inherit": inherit, "limits": limits})
    return made


def _delegate(parent: Path) -> None:
    available = (parent / "cgroup.controllers").read_text().split()
    for controller in V2_WANTED:
        if controller in available:
            (parent / "cgroup.subtree_control").write_text(f"+{controller}")


def find(identity: Identity, machine: str | None = None) -> list[Path]:
    """Every control group of the lab, or of one machine of it, in any hierarchy, inner ones not listed."""
    prefix = identity.cgroup(machine or "")
    found: list[Path] = []
    for directory, names, _ in os.walk(ROOT):
        mine = [n for n in names if (n == prefix if machine else n.startswith(prefix))]
        found += [Path(directory) / name for name in mine]
        names[:] = [n for n in names if n not in mine and not n.startswith("twentylab-")]
    return sorted(found)


def pids(identity: Identity, machine: str | None = None) -> set[int]:
    """All processes inside the control groups of the lab or of one machine of it."""
    inside: set[int] = set()
    for group in find(identity, machine):
        for directory, _, _ in os.walk(group):
            with contextlib.suppress(FileNotFoundError, OSError):
                inside.update(int(pid) for pid in (Path(directory) / "cgroup.procs").read_text().split())
    return inside


def _bottom_up(group: Path) -> Iterator[Path]:
    for directory, _, _ in os.walk(group, topdown=False):
        yield Path(directory)


def remove(identity: Identity, machine: str | None = None) -> bool:
    """Remove the empty control groups; False when one is still busy (the kernel lags behind the last process)."""
    gone = True
    for group in find(identity, machine):
        for path in _bottom_up(group):
            try:
                path.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                gone = False
    return gone


def memory_bytes(identity: Identity, machine: str) -> int:
    """Memory that a machine's processes hold now, page cache left out; 0 when it does not run."""
    for group in find(identity, machine):
        stat = group / "memory.stat"
        if stat.exists():
            figures = {key: int(value) for key, value in (line.split() for line in stat.read_text().splitlines())}
            if "total_rss" in figures:
                return figures["total_rss"] + figures.get("total_shmem", 0)
            return figures.get("anon", 0) + figures.get("shmem", 0)
    return 0
