"""pytest plugin (``-p lab.accept.recorder``): each test's outcome as a line of JSON, written when it is known, so that a run that is
killed leaves what it had found.

The file is named by ACCEPT_RECORD. Lines: ``{"collected": n}``, ``{"test", "outcome": passed, failed or skipped, "seconds",
"reason", "printed": [lines]}``, with ``"collecting": true`` for a file that could not be collected (not counted in n), and at the end of
an orderly run ``{"exit": code}``. What tests print are their figures: at most 20 lines of 400 characters each are kept.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "ACCEPT_RECORD"
MOST_LINES, WIDEST = 20, 400


class Recorder:
    """One line a test, at the end of its last phase."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.open: dict[str, dict[str, Any]] = {}

    def write(self, **line: Any) -> None:
        with self.file.open("a") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._not_collected(report, "failed", _last_line(report.longreprtext))
        elif report.skipped:
            self._not_collected(report, "skipped", _why_skipped(report))

    def _not_collected(self, report: pytest.CollectReport, outcome: str, reason: str) -> None:
        self.write(test=report.nodeid, outcome=outcome, seconds=0.0, reason=reason, collecting=True)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.write(collected=len(session.items))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = self.open.setdefault(report.nodeid, {"outcome": "passed", "seconds": 0.0, "reason": ""})
        found["seconds"] += report.duration
        if report.failed:
            found |= {
                "outcome": "failed",
                "reason": f"{'' if report.when == 'call' else f'{report.when}: '}{_last_line(report.longreprtext)}",
            }
        elif report.skipped and found["outcome"] == "passed":
            found |= {"outcome": "skipped", "reason": _why_skipped(report)}
        if report.when == "teardown":
            printed = [line[:WIDEST] for line in report.capstdout.splitlines() if line.strip()][:MOST_LINES]
            self.write(test=report.nodeid, **self.open.pop(report.nodeid), printed=printed)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.write(exit=int(exitstatus))


def _why_skipped(report: pytest.TestReport | pytest.CollectReport) -> str:
    if hasattr(report, "wasxfail"):
        return f"expected to fail: {report.wasxfail}"
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _last_line(text: str) -> str:
    """The line of a failure that says what was wrong: pytest marks it with ``E``."""
    lines = [line.removeprefix("E").strip() for line in text.splitlines() if line.startswith("E ")]
    return (lines or text.strip().splitlines() or ["no text"])[0][:400]


def pytest_configure(config: pytest.Config) -> None:
    if file := os.environ.get(VARIABLE):
        config.pluginmanager.register(Recorder(Path(file)), "accept-recorder")
