"""``python -m lab accept``: ask every suite that has no result yet, and print one table."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Protocol

from lab.accept import recorder, results
from lab.accept.memory import Watch
from lab.accept.place import DeployFailed, Deployment
from lab.accept.results import Result, Shelf
from lab.accept.suites import Place, Suite, by_name
from lab.identity import OTHER_PROJECT, PROJECT, LabError
from lab.world import Lab, Say
from twentyops.settings import LAB_VARIABLE, is_setting

INTERRUPTED = 130
# a shell's background jobs ignore SIGINT, and so would pytest: its fixtures would never end in order
PYTEST = ("env", "--default-signal=INT", sys.executable, "-m", "pytest")
ENDS_WITHIN = 90.0  # s that pytest has for its fixtures' ends after an interruption


class Wanted(Place, Protocol):
    """A place that can be brought to what a suite wants."""

    release: str
    directory: Path

    def have(self, suite: Suite) -> list[str]: ...
    def used(self) -> None: ...
    def edited(self) -> str: ...
    def put_away(self) -> None: ...


class Interrupted(Exception):
    """Somebody ended the run; what was found is kept."""


def environment(suite: Suite, place: Place, record: Path) -> dict[str, str]:
    """Of a suite's pytest: no setting of a deploy but what the suite's own deploys need, and where to record."""
    kept = {name: value for name, value in os.environ.items() if not is_setting(name) and not name.startswith("PYTEST")}
    if suite.deploys:
        kept |= {name: value for name in ("TWENTY_SOURCE", "TWENTY_REF", "TWENTY_VERSION") if (value := os.environ.get(name))}
        kept |= suite.sizes
    return (
        kept
        | suite.variables(place)
        | {LAB_VARIABLE: "1", recorder.VARIABLE: str(record), "COLUMNS": "160", "PYTHONUNBUFFERED": "1"}
    )


def command(suite: Suite, place: Place) -> list[str]:
    """pytest for a suite."""
    return [
        *PYTEST, "-p", "lab.accept.recorder", "-p", "no:cacheprovider", "-v", "--no-header", "--tb=short",
        *suite.tests, *(f"--deselect={test}" for test in suite.left_out), *suite.options(place),
    ]  # fmt: skip


def ask(suite: Suite, place: Wanted, shelf: Shelf, say: Say, watch: Callable[[], AbstractContextManager[Watch]]) -> Result:
    """Ask one suite and keep its result, whatever becomes of it. Raises Interrupted where a person ends it, DeployFailed where
    there is nothing to ask."""
    try:
        return _ask(suite, place, shelf, say, watch)
    finally:
        place.put_away()


def _ask(suite: Suite, place: Wanted, shelf: Shelf, say: Say, watch: Callable[[], AbstractContextManager[Watch]]) -> Result:
    result = Result(
        suite=suite.name, release=shelf.release, tests=suite.fingerprint(), sizes=dict(suite.sizes),
        began_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    )  # fmt: skip
    record, log = shelf.file(suite, "jsonl"), shelf.file(suite, "log")
    record.parent.mkdir(parents=True, exist_ok=True)
    for file in (record, log):
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)  # pytest's output may show what a server told
    if absent := [test for test in suite.tests if not (PROJECT / test.partition("::")[0]).exists()]:
        result.refused = f"{', '.join(absent)} is not in this checkout"
        return result
    try:
        result.notes += place.have(suite)
        argv, environ = command(suite, place), environment(suite, place, record)
    except DeployFailed:
        raise
    except (LabError, OSError, subprocess.TimeoutExpired) as error:
        result.refused = str(error)
        return result
    place.used()
    say(f"{suite.name}: {suite.about}")
    began = time.monotonic()
    broken_off = False
    try:
        with watch() as seen:
            try:
                result.process_exit = _stream(argv, environ, log)
            except (KeyboardInterrupt, Interrupted):
                broken_off = True
        result.memory = seen.memory()
        if seen.gaps:
            result.notes.append(f"the watch on memory had to connect again {seen.gaps} times")
    finally:
        result.seconds = time.monotonic() - began
        result.read(results.recorded(record))
        if broken_off:
            result.ended = False
        result.edited = place.edited()
        if not result.edited and suite.fingerprint() != result.tests:
            result.edited = "its tests were edited while it ran"
        shelf.save(suite, result)
    if broken_off:
        raise Interrupted
    return result


def _stream(argv: Sequence[str], environ: dict[str, str], log: Path) -> int:
    """Run a command to its end, its output shown and kept, and give its exit code. Interrupted, the command gets time to tidy up, unless
    it is interrupted again. Processes that it started in its own process group end with it."""
    with log.open("w") as sink, subprocess.Popen(
        argv, cwd=PROJECT, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", bufsize=1, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None  # noqa: S101
        try:
            for line in process.stdout:
                sink.write(line)
                sink.flush()
                sys.stdout.write(line)
                sys.stdout.flush()
            return process.wait()
        except (KeyboardInterrupt, Interrupted):
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=ENDS_WITHIN)
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def accept(
    asked: Sequence[Suite], place: Wanted, say: Say, watch: Callable[[], AbstractContextManager[Watch]], *, again: bool = False
) -> int:
    """Ask the suites that have no result for this release, print the table of all that were asked for. Gives the exit code."""
    shelf = Shelf(place.directory, place.release)
    found: dict[str, Result | None] = {suite.name: None if again else shelf.load(suite) for suite in asked}
    told_before = [name for name, result in found.items() if result]
    missing = [suite for suite in asked if not found[suite.name]]
    say(f"release {place.release}: {len(missing)} of {len(asked)} suites to ask")
    if told_before:
        say(f"kept from an earlier run: {', '.join(told_before)} (--again asks them anew)")
    code = 0
    # one deploy for each size; the default sizes come first
    for suite in sorted(missing, key=lambda suite: sorted(suite.sizes.items())):
        try:
            found[suite.name] = result = ask(suite, place, shelf, say, watch)
        except (Interrupted, KeyboardInterrupt):
            code = INTERRUPTED
            say("stopped; the same command goes on with the suites that are missing")
            break
        except DeployFailed as error:
            code = 1
            say(f"error: {error}")
            break
        say(f"{suite.name}: {', '.join(results.problems(suite, result)) or 'ok'}, {results.duration(result.seconds)}")
    pairs = [(suite, found[suite.name]) for suite in asked]
    print("\n" + "\n".join([f"release {place.release}", *results.table(pairs)]), flush=True)
    return code or int(any(results.problems(suite, result) for suite, result in pairs))


def _as_interruption(_signum: int, _frame: FrameType | None) -> None:
    raise Interrupted


def catch_signals() -> None:
    """End in order after SIGTERM and after a closed terminal (SIGHUP), unless the caller ignores that (nohup)."""
    signal.signal(signal.SIGTERM, _as_interruption)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _as_interruption)


def main(name: str, suites: list[str], say: Say, *, again: bool = False) -> int:
    """Take the lab that is up, or bring it up, and ask. With LAB_PROJECT the lab of another checkout is asked as it is."""
    try:
        asked = by_name(suites)
    except KeyError as error:
        raise LabError(str(error.args[0])) from None
    other = os.environ.get(OTHER_PROJECT, "")
    as_it_is = bool(other) and Path(other).resolve() != PROJECT
    catch_signals()
    if as_it_is:
        lab = Lab.open(name, say)
    else:
        from lab.accept.place import check_sizes, check_source

        check_source(os.environ.get("TWENTY_SOURCE", ""))
        check_sizes(os.environ)
        lab = Lab(name, say)
        if not lab.is_up():
            lab.up(images=True)
        elif not lab.images:
            lab.ensure_images()
    place = Deployment(lab, say, as_it_is=as_it_is)
    try:
        return accept(asked, place, say, lambda: Watch.over(place.ssh), again=again)
    finally:
        place.close()


def describe(suites: Sequence[Suite]) -> list[str]:
    """The table of suites for a person."""
    lines = []
    for suite in suites:
        marks = ["an emptied CRM"] if suite.fresh else []
        marks += [f"{' '.join(f'{k}={v}' for k, v in suite.sizes.items())}: {suite.why_larger}"] if suite.sizes else []
        lines.append(f"{suite.name:15} {suite.about}" + (f"  ({'; '.join(marks)})" if marks else ""))
        lines += [f"{'':15}   may skip {allowed.what}: {allowed.because}" for allowed in suite.allowed]
    return lines
