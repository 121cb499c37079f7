"""What each container of a droplet holds at most, watched over SSH while a suite runs.

The watching program runs on the droplet and reads control groups and Docker's own files, so that a restart of Docker does not
disturb it; when SSH breaks it is started again, until the watch is left.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Sequence

from lab.accept.results import Memory

REST = 1.0  # s between two tries to come back
ENDS_WITHIN = 5.0
FIRST = 10.0

# Standard library only, Python 3.11 and later. A line of JSON a second:
# {container's name: [bytes without page cache, limit, how often started again, killed for memory]}
WATCH = r"""
import glob, json, os, sys, time

def number(path):
    try:
        text = open(path).read().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else 0

def group(container):
    for pattern in ("/sys/fs/cgroup/memory/docker/%s", "/sys/fs/cgroup/memory/system.slice/docker-%s.scope",
                    "/sys/fs/cgroup/docker/%s", "/sys/fs/cgroup/system.slice/docker-%s.scope"):
        if os.path.isdir(pattern % container):
            return pattern % container
    return None

def cache(path):
    try:
        rows = dict(line.split() for line in open(path + "/memory.stat"))
    except (OSError, ValueError):
        return 0
    return int(rows.get("total_inactive_file", rows.get("inactive_file", 0)))

while True:
    found = {}
    for file in glob.glob("/var/lib/docker/containers/*/config.v2.json"):
        container = file.split("/")[-2]
        path = group(container)
        if path is None:
            continue
        used = number(path + "/memory.usage_in_bytes")
        used = number(path + "/memory.current") if used is None else used
        if used is None:
            continue
        limit = number(path + "/memory.limit_in_bytes")
        limit = number(path + "/memory.max") if limit is None else limit
        try:
            told = json.load(open(file))
        except (OSError, ValueError):
            continue
        killed = bool(told.get("State", {}).get("OOMKilled"))
        found[told.get("Name", container).lstrip("/")] = [max(0, used - cache(path)), limit or 0, told.get("RestartCount", 0), killed]
    print(json.dumps(found), flush=True)
    time.sleep(1)
"""


class Watch:
    """Watches until it is left; ``peaks`` has what was seen of each container, ``gaps`` how often SSH had to be begun again.

    + argv: command that runs ``python3 -`` on the droplet and passes its standard input on
    + first: seconds that the first figures are waited for, so that a short suite has some
    """

    def __init__(self, argv: Sequence[str], rest: float = REST, first: float = FIRST) -> None:
        self.argv = list(argv)
        self.rest, self.first = rest, first
        self.peaks: dict[str, Memory] = {}
        self.samples = 0
        self.gaps = 0
        self._first_restarts: dict[str, int] = {}
        self._killed_before: dict[str, bool] = {}
        self._done, self._begun = threading.Event(), threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._keep, daemon=True)

    @classmethod
    def over(cls, ssh: Sequence[str]) -> Watch:
        """Of the host that a command of ssh up to its name leads to; a dead connection is noticed after 15 s."""
        program, *rest = ssh
        return cls([program, "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", *rest, "python3 -"])

    def __enter__(self) -> Watch:
        self._thread.start()
        self._begun.wait(self.first)
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        process = self._process
        if process is not None:
            process.terminate()
        self._thread.join(ENDS_WITHIN)

    def _keep(self) -> None:
        while not self._done.is_set():
            self._once()
            if self._done.wait(self.rest):
                return
            self.gaps += 1

    def _once(self) -> None:
        """One connection, from its begin to its end."""
        try:
            process = subprocess.Popen(
                self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace"
            )
        except OSError:
            return
        self._process = process
        with process:
            assert process.stdin is not None  # noqa: S101
            assert process.stdout is not None  # noqa: S101
            with contextlib.suppress(OSError):
                process.stdin.write(WATCH)
                process.stdin.close()
            for line in process.stdout:
                with contextlib.suppress(ValueError, TypeError):
                    self._take(json.loads(line))
                if self._done.is_set():
                    process.terminate()

    def _take(self, sample: dict[str, tuple[int, int, int, bool]]) -> None:
        self.samples += 1
        self._begun.set()
        for name, (used, limit, restarts, killed) in sample.items():
            before = self.peaks.get(name)
            # Docker counts from the making of the container; what was before the watch is none of the suite's
            first = self._first_restarts.setdefault(name, restarts)
            if restarts < first:
                self._first_restarts[name] = first = 0
            # Docker forgets that the kernel killed in a container when the container is started again
            if not self._killed_before.setdefault(name, killed) or not killed:
                self._killed_before[name] = False
            self.peaks[name] = Memory(
                peak=max(used, before.peak if before else 0),
                limit=limit if limit < 1 << 50 else 0,
                restarts=max(restarts - first, before.restarts if before else 0),
                oom_killed=(killed and not self._killed_before[name]) or bool(before and before.oom_killed),
            )

    def memory(self, project: str = "twenty") -> dict[str, Memory]:
        """Peaks by service: ``twenty-server-1`` is ``server``, other projects keep their name."""
        found: dict[str, Memory] = {}
        for name, told in self.peaks.items():
            prefix = f"{project}-"
            short = name.removeprefix(prefix).rpartition("-")[0] if name.startswith(prefix) else name
            before = found.get(short or name)
            if before is not None:  # one-off containers of the same service come and go
                told = Memory(
                    peak=max(before.peak, told.peak),
                    limit=max(before.limit, told.limit),
                    restarts=before.restarts + told.restarts,
                    oom_killed=before.oom_killed or told.oom_killed,
                )
            found[short or name] = told
        return found
