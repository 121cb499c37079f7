"""The rehearsal: the real commands, unchanged, against the lab; what they print, how long each phase took, what changed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lab import settings
from lab.identity import PROJECT, LabError
from lab.world import Lab, Say
from twentyops.settings import ENV_FILE_VARIABLE, LAB_VARIABLE, is_setting

BEFORE = "connect, read facts, plan"
OPERATION = re.compile(r"--> Starting operation: (?:(?P<phase>[^|]+?) \| )?(?P<name>.+?)\s*$")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SAMPLE_SECONDS = 0.5
TOLD_WITHIN, ENDS_WITHIN = 5.0, 90.0
"""Seconds in which pyinfra ends after a Ctrl-C that it got from the terminal, and after SIGINT from here."""


@dataclass
class Report:
    """What one deploy did: ``phases`` in seconds, in order; ``peaks`` in bytes, per machine, page cache left out. Operations
    are counted per host; a deploy that failed ends without a count (``counted`` is off)."""

    exit_code: int = -1
    seconds: float = 0.0
    counted: bool = False
    changed: int = 0
    unchanged: int = 0
    failed: int = 0
    phases: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)


class Phases:
    """Reads pyinfra's output line by line and adds up the time of each phase (its operations' names say which)."""

    def __init__(self, now: float) -> None:
        self.seconds: dict[str, float] = {}
        self.current, self.since = BEFORE, now

    def line(self, text: str, now: float) -> None:
        """Take one line of output that came at ``now`` (seconds)."""
        match = OPERATION.search(COLOUR.sub("", text))
        if match:
            self.close(now)
            self.current = (match["phase"] or match["name"]).strip()

    def close(self, now: float) -> None:
        """Count the time since the last phase began to that phase."""
        self.seconds[self.current] = self.seconds.get(self.current, 0.0) + now - self.since
        self.since = now


def totals(lines: Iterable[str]) -> tuple[int, int, int] | None:
    """(changed, failed, unchanged) operations from the last line of pyinfra's table of results; None without a table."""
    for line in reversed([COLOUR.sub("", line) for line in lines]):
        words = line.split()
        if words[:2] == ["Grand", "total"] and len(words) == 6:
            _hosts, changed, failed, unchanged = (0 if word == "-" else int(word) for word in words[2:])
            return changed, failed, unchanged
    return None


class PeakMemory:
    """Samples what the machines hold, until left; ``bytes`` has the highest figure of each."""

    def __init__(self, lab: Lab) -> None:
        self.machines = list(lab.machines.values())
        self.bytes = {machine.name: 0 for machine in self.machines}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            for machine in self.machines:
                self.bytes[machine.name] = max(self.bytes[machine.name], machine.memory_bytes())

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def environment(settings_file: Path) -> dict[str, str]:
    """Environment of the deploy: the settings come from the lab's file alone, whatever the caller has set."""
    kept = {name: value for name, value in os.environ.items() if not is_setting(name)}
    return kept | {ENV_FILE_VARIABLE: str(settings_file), LAB_VARIABLE: "1", "PYTHONUNBUFFERED": "1"}


def deploy(lab: Lab, *arguments: str, echo: bool = True, changes: dict[str, str] | None = None) -> Report:
    """Run ``pyinfra inventory.py deploy.py -y`` against the lab and tell what it did; a failure shows in ``exit_code``.

    ``arguments`` replace ``deploy.py -y``; ``changes`` are settings that differ from the lab's.
    """
    file = settings.write(lab, **(changes or {}))
    pyinfra = Path(sys.executable).with_name("pyinfra")
    if not pyinfra.exists():
        raise LabError(f"{pyinfra} is not there: run this by the Makefile (make rehearse), which makes the environment")
    argv = [str(pyinfra), "inventory.py", *(arguments or ("deploy.py", "-y"))]
    began = time.monotonic()
    phases, lines, report = Phases(began), [], Report()
    with PeakMemory(lab) as memory, subprocess.Popen(
        argv, cwd=PROJECT, env=environment(file), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", bufsize=1,
    ) as process:  # fmt: skip
        assert process.stdout is not None  # noqa: S101
        try:
            for line in process.stdout:
                phases.line(line, time.monotonic())
                lines.append(line)
                if echo:
                    sys.stdout.write(line)
                    sys.stdout.flush()
        except BaseException as stopped:
            _end(process, told=isinstance(stopped, KeyboardInterrupt))
            raise
    phases.close(time.monotonic())
    report.exit_code, report.seconds = process.returncode, time.monotonic() - began
    report.phases, report.peaks = phases.seconds, memory.bytes
    found = totals(lines)
    if found:
        report.counted = True
        report.changed, report.failed, report.unchanged = found
    elif report.exit_code == 0:
        raise LabError("pyinfra ended well, but without a table of results: did it deploy to nobody?")
    for machine in lab.machines.values():
        machine.keep_packages()
    return report


def _end(process: subprocess.Popen[str], *, told: bool) -> None:
    """End pyinfra so that it gives its lock back: it does so after one SIGINT. A second one would interrupt that, and SIGTERM would kill it
    at once. ``told``: a terminal's Ctrl-C has probably reached it already."""
    try:
        for seconds, sends in (*(((TOLD_WITHIN, False),) if told else ()), (ENDS_WITHIN, True)):
            if sends:
                process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=seconds)
                return
    finally:
        if process.poll() is None:
            process.kill()


def rehearse(lab: Lab, say: Say) -> Report:
    """One deploy with a report for a person at its end."""
    say(f"pyinfra inventory.py deploy.py -y, with {lab.settings_file}")
    report = deploy(lab)
    print("\n".join(describe(report, lab)), flush=True)
    return report


def describe(report: Report, lab: Lab) -> list[str]:
    """The report in lines for a person."""
    width = max(len(name) for name in report.phases)
    lines = ["", "time of each phase"]
    lines += [f"  {name:{width}}  {seconds:7.1f} s" for name, seconds in report.phases.items()]
    lines += [f"  {'all':{width}}  {report.seconds:7.1f} s", "", "peak memory (page cache left out)"]
    lines += [f"  {name:{width}}  {peak / 2**20:7.0f} MiB" for name, peak in report.peaks.items()]
    if report.counted:
        lines += ["", f"{report.changed} operations changed", f"{report.unchanged} unchanged, {report.failed} failed"]
    lines.append("")
    if report.exit_code == 0:
        lines.append(f"{lab.public_url}  (ssh -F {os.path.relpath(lab.ssh_config)} droplet)")
    else:
        lines.append(f"the deploy failed with exit {report.exit_code}; what it says is above")
    return lines
