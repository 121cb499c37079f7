"""Command line: ``check``, ``apply`` and ``diff``. Exit code 0 fine, 1 drift, 2 usage, hostile input, broken rules."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from twentyops.patchset import report
from twentyops.patchset.engine import MARKER, ROOT, Drift, Patchset, Plan, apply, plan
from twentyops.patchset.errors import PatchsetError

FINE, DRIFT, REFUSED = 0, 1, 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m twentyops.patchset", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("check", "say for every rule whether it fits this tree"),
        ("apply", "write a patched copy of the tree"),
        ("diff", "show the patched tree as a unified diff"),
    ):
        command = commands.add_parser(name, help=text, allow_abbrev=False)
        command.add_argument("source", metavar="SRC", type=Path, help="root of a Twenty checkout; never modified")
        command.add_argument(
            "--patchset", type=Path, default=ROOT, metavar="DIR", help="rules/ and overlay/ (default: %(default)s)"
        )
        if name == "apply":
            command.add_argument("--out", type=Path, required=True, metavar="DST", help="absent, empty, or made by apply")
        if name in ("check", "apply"):
            command.add_argument("--json", action="store_true", help="the report as JSON on standard output")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code. Reports go to standard output, refusals to standard error."""
    options = _parser().parse_args(arguments)
    try:
        patchset = Patchset.load(options.patchset)
        if options.command == "check":
            return _check(plan(options.source, patchset), options.json)
        if options.command == "diff":
            return _diff(plan(options.source, patchset))
        return _apply(options.source, options.out, patchset, options.json)
    except PatchsetError as error:
        print(f"patchset: {error}", file=sys.stderr)
        return REFUSED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except OSError as error:
        print(f"patchset: {error.filename or options.source}: {error.strerror}; nothing was published", file=sys.stderr)
        return REFUSED


def _code(worked: Plan) -> int:
    return REFUSED if worked.hostile else DRIFT if worked.drift else FINE


def _check(worked: Plan, as_json: bool) -> int:
    print(report.as_json(worked) if as_json else report.as_text(worked))
    return _code(worked)


def _diff(worked: Plan) -> int:
    if worked.drift:
        print(report.as_text(worked), file=sys.stderr)
        return _code(worked)
    sys.stdout.writelines(worked.diff())
    sys.stdout.flush()
    return FINE


def _apply(source: Path, out: Path, patchset: Patchset, as_json: bool) -> int:
    try:
        worked = apply(source, out, patchset)
    except Drift as drift:
        if as_json:
            print(report.as_json(drift.plan))
        print(report.as_text(drift.plan), file=sys.stderr)
        return _code(drift.plan)
    if as_json:
        print(report.as_json(worked))
    else:
        number = len(worked.changes)
        note = f"{number} file{'' if number == 1 else 's'} changed or added" if number else "nothing to change"
        print(f"{out}: {note}; {report.summary(worked)} ({MARKER} names the patchset)")
    return FINE
