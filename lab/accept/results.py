"""What a suite answered: kept as JSON for each release, judged, and shown as one table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab import state
from lab.accept.suites import Suite

MANY = 12  # of the same kind that a person reads; the rest is in the suite's log


class Case(BaseModel):
    """One test with a text: why it did not simply pass, or a line that it printed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    test: str
    reason: str = ""


class Memory(BaseModel):
    """A container during a suite: bytes without page cache, its limit (0: none), how often Docker started it again, whether the
    kernel killed in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    peak: int
    limit: int = 0
    restarts: int = 0
    oom_killed: bool = False


class Result(BaseModel):
    """One suite asked of one release. ``ended``: pytest came to its own end; else it was killed, or never began."""

    model_config = ConfigDict(extra="forbid")

    suite: str
    release: str
    tests: str
    sizes: dict[str, str] = Field(default_factory=dict)
    began_at: str = ""
    seconds: float = 0.0
    ended: bool = False
    exit_code: int | None = None
    """What pytest recorded at its end."""
    process_exit: int | None = None
    """What its process really ended with."""
    collected: int | None = None
    outcomes: int = 0
    """Collected tests whose outcome was recorded."""
    passed: int = 0
    failed: list[Case] = Field(default_factory=list)
    skipped: list[Case] = Field(default_factory=list)
    memory: dict[str, Memory] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    printed: list[Case] = Field(default_factory=list)
    """Lines that tests printed, which are their figures (``reason``: the line)."""
    refused: str = ""
    """Why it could not be asked at all; such a result is not kept."""
    edited: str = ""
    """What was edited while it ran: the result is of no release, and is not kept."""

    def read(self, lines: Iterable[Mapping[str, Any]]) -> Result:
        """Take over what the recorder wrote."""
        for line in lines:
            if "exit" in line:
                self.exit_code, self.ended = int(line["exit"]), True
            if "collected" in line:
                self.collected = int(line["collected"])
            if "outcome" not in line:
                continue
            self.outcomes += not line.get("collecting", False)
            case = Case(test=str(line["test"]), reason=str(line.get("reason", "")))
            if line["outcome"] == "passed":
                self.passed += 1
                self.printed += [Case(test=case.test, reason=str(text)) for text in line.get("printed", [])]
            else:
                (self.failed if line["outcome"] == "failed" else self.skipped).append(case)
        return self


def recorded(file: Path) -> list[dict[str, Any]]:
    """The recorder's lines; the last may have been cut off by a kill."""
    found = []
    for line in file.read_text().splitlines() if file.exists() else ():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


class Shelf:
    """Results of one release, a file for each suite below ``directory``."""

    def __init__(self, directory: Path, release: str) -> None:
        self.release = release
        self.directory = directory / release

    def file(self, suite: Suite, ending: str = "json") -> Path:
        return self.directory / f"{suite.name}.{ending}"

    def save(self, suite: Suite, result: Result) -> None:
        state.write_private(self.file(suite), result.model_dump_json(indent=1) + "\n")

    def load(self, suite: Suite) -> Result | None:
        """The result of an earlier run, when the suite came to its end then and its tests are still the same."""
        try:
            found = Result.model_validate_json(self.file(suite).read_text())
        except (FileNotFoundError, ValidationError):
            return None
        return found if found.ended and not found.edited and found.tests == suite.fingerprint() else None


def allowance(suite: Suite, case: Case) -> str:
    """Why this test may be skipped; empty where it may not."""
    return next((allowed.because for allowed in suite.allowed if allowed.what in case.test or allowed.what in case.reason), "")


def problems(suite: Suite, result: Result | None) -> list[str]:
    """Why the suite does not count as shown; nothing where it does."""
    if result is None:
        return ["was not asked"]
    if result.refused:
        return [f"could not be asked: {result.refused}"]
    found = []
    if not result.ended:
        found.append("was broken off")
    else:
        if result.process_exit not in (None, result.exit_code):
            found.append(f"pytest's process ended with {result.process_exit}, its record says {result.exit_code}")
        if result.exit_code not in (0, 1):
            found.append(f"pytest ended with {result.exit_code}")
        elif result.exit_code == 1 and not result.failed:
            found.append("pytest ended with 1, and no failure was recorded")
        if result.collected is not None and result.collected != result.outcomes:
            found.append(f"{result.collected - result.outcomes} of {result.collected} collected tests have no outcome")
    if result.edited:
        found.append(result.edited)
    if not suite.deploys:
        for name, told in sorted(result.memory.items()):
            found += [f"the kernel killed in {name} for memory"] if told.oom_killed else []
            found += [f"{name} was restarted {told.restarts}x"] if told.restarts else []
    if result.failed:
        found.append(f"{len(result.failed)} failed")
    if refused := [case for case in result.skipped if not allowance(suite, case)]:
        found.append(f"{len(refused)} skipped that a real server could have answered")
    if not result.passed and not result.failed:
        found.append("ran no test")
    return found


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def memory(found: Mapping[str, Memory]) -> str:
    """``server 1043/1280`` in MiB for each container, the fullest first."""

    def one(name: str, told: Memory) -> str:
        text = f"{name} {told.peak / 2**20:.0f}" + (f"/{told.limit / 2**20:.0f}" if told.limit else "")
        marks = [f"started again {told.restarts}x"] if told.restarts else []
        marks += ["out of memory"] if told.oom_killed else []
        return text + (f" ({', '.join(marks)})" if marks else "")

    ordered = sorted(found.items(), key=lambda item: (-(item[1].peak / item[1].limit if item[1].limit else 0), item[0]))
    return ", ".join(one(name, told) for name, told in ordered) or "not seen"


def table(asked: Iterable[tuple[Suite, Result | None]]) -> list[str]:
    """One row a suite, then everything that a row only counts."""
    pairs = list(asked)
    rows = [("suite", "result", "passed", "failed", "skipped", "time", "peak memory of each container, MiB of its limit")]
    for suite, result in pairs:
        verdict = "ok" if not problems(suite, result) else "NOT SHOWN" if result is None or not result.failed else "FAILED"
        if result is None or result.refused:
            rows.append((suite.name, verdict, "-", "-", "-", "-", "-"))
        else:
            counts = (str(result.passed), str(len(result.failed)), str(len(result.skipped)))
            rows.append((suite.name, verdict, *counts, duration(result.seconds), memory(result.memory)))
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    right = {2, 3, 4, 5}
    lines = [
        "  ".join(
            text.rjust(width) if i in right else text.ljust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=False))
        )
        + f"  {row[6]}"
        for row in rows
    ]
    for suite, result in pairs:
        lines += _below(suite, result)
    return lines


def _below(suite: Suite, result: Result | None) -> list[str]:
    lines = [f"  why not: {reason}" for reason in problems(suite, result)]
    if suite.sizes:
        larger = " ".join(f"{name}={value}" for name, value in suite.sizes.items())
        lines.append(f"  larger than the default: {larger}: {suite.why_larger}")
    if result:
        lines += [f"  note: {note}" for note in result.notes]
        lines += [f"  {case.test.rpartition('::')[2]}: {case.reason}" for case in result.printed]
        lines += _cases("failed", [(case.test, case.reason) for case in result.failed])
        for allowed, word in ((False, "skipped, NOT allowed"), (True, "skipped, allowed")):
            cases = [case for case in result.skipped if bool(allowance(suite, case)) is allowed]
            lines += _cases(
                word, [(case.test, f"{case.reason} ({allowance(suite, case)})" if allowed else case.reason) for case in cases]
            )
    return ["", suite.name, *lines] if lines else []


def _cases(word: str, cases: list[tuple[str, str]]) -> list[str]:
    lines = [f"  {word}: {test}: {reason}" for test, reason in cases[:MANY]]
    return lines + ([f"  {word}: and {len(cases) - MANY} more, see the log"] if len(cases) > MANY else [])
