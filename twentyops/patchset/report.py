"""The outcome of a check for people and, with a stable shape, for programs."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from dataclasses import asdict
from typing import Any

from twentyops.patchset.engine import ENGINE_VERSION, Plan, Row

SCHEMA = 1


def as_json(plan: Plan) -> str:
    """The report as JSON: ``{schema, engine, patchset, source, drift, hostile, already_patched, summary, results}``."""
    return json.dumps(as_data(plan), indent=2)


def as_data(plan: Plan) -> dict[str, Any]:
    """The report as plain data; keys are only ever added, never renamed, under the same ``schema`` number."""
    return {
        "schema": SCHEMA,
        "engine": ENGINE_VERSION,
        "patchset": plan.patchset.fingerprint,
        "source": str(plan.source),
        "drift": plan.drift,
        "hostile": plan.hostile,
        "already_patched": plan.already_patched,
        "summary": dict(sorted(Counter(row.state for row in plan.rows).items())),
        "results": [asdict(row) for row in plan.rows],
    }


def as_text(plan: Plan) -> str:
    """The report as a table: a line for each rule, and below each that does not fit what was expected and found."""
    width = max((len(row.id) for row in plan.rows if row.kind == "rule"), default=0)
    lines: list[str] = []
    file = None
    for row in plan.rows:
        if row.kind == "rule" and row.file != file:
            lines.append(row.file)
            file = row.file
        if row.kind == "overlay":
            if file != "overlay":
                lines.append("overlay (files of ours)")
                file = "overlay"
            lines.append(f"  {row.state:<16} {row.file}")
        else:
            at = f"  line {', '.join(map(str, row.lines[:4]))}" if row.lines and row.good else ""
            lines.append(f"  {row.state:<16} {row.id:<{width}}{at}".rstrip())
        if not row.good:
            lines += _detail(row)
    return "\n".join([*lines, "", summary(plan)])


def _detail(row: Row) -> list[str]:
    out: list[str] = []
    rows = [("expected", row.expected), ("found", row.found)]
    if row.candidates:
        places = [f"{c.file}{f':{c.line}' if c.line else ''} ({c.matches} rule(s) match)" for c in row.candidates]
        rows.append(("look at", "; ".join(places)))
    if row.kind == "rule":
        rows.append(("why", row.why))
    for label, text in rows:
        wrapped = textwrap.wrap(" ".join(text.split()), 100, break_long_words=False, break_on_hyphens=False) or [""]
        out.append(f"      {label + ':':<10} {wrapped[0]}")
        out += [f"      {'':<10} {more}" for more in wrapped[1:]]
    return out


def summary(plan: Plan) -> str:
    """One line: how many rows of which state, and what that means."""
    counts = ", ".join(f"{number} {state}" for state, number in sorted(Counter(row.state for row in plan.rows).items()))
    if plan.hostile:
        return f"{counts}. Refused: the source holds input that is not edited."
    if plan.drift:
        return f"{counts}. Drift: adapt the rules named above (docs/patchset.md)."
    return f"{counts}. {'The tree is patched already.' if plan.already_patched else 'The patchset fits this tree.'}"
