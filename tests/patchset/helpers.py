"""Synthetic trees and patchsets for the tests: small, ours, never upstream's text."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import yaml

from twentyops.patchset import MARKER, Patchset, Plan, Row, plan

WHY = "a reason of at least twelve letters"


def write_tree(root: Path, files: dict[str, str | bytes]) -> Path:
    """Files below ``root``; a path that ends in ``*`` is made executable."""
    for name, content in files.items():
        path = root / name.rstrip("*")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o755 if name.endswith("*") else 0o644)
    root.mkdir(parents=True, exist_ok=True)
    return root


def rule(id: str = "the-rule", **fields: Any) -> dict[str, Any]:
    """One rule as plain data, with a reason."""
    return {"id": id, "why": WHY, **fields}


def write_patchset(root: Path, files: dict[str, list[dict[str, Any]]], overlay: dict[str, str | bytes] | None = None) -> Patchset:
    """A patchset directory with one rule file for each upstream file, loaded."""
    (root / "rules").mkdir(parents=True)
    for number, (file, rules) in enumerate(files.items()):
        extra: dict[str, Any] = {key: rules[0].pop(key) for key in ("also_at", "language") if key in rules[0]}
        text = yaml.safe_dump({"file": file, **extra, "rules": rules}, sort_keys=False)
        (root / "rules" / f"{number:02}.yaml").write_text(text)
    write_tree(root / "overlay", overlay or {})
    return Patchset.load(root)


def run(tmp: Path, path: str, text: str, *rules: dict[str, Any], more: dict[str, str] | None = None) -> tuple[Plan, str]:
    """Plan for one file in a tree: the plan and the text that the file would have."""
    number = len(list(tmp.iterdir()))
    source = write_tree(tmp / f"source{number}", {path: text, **(more or {})})
    worked = plan(source, write_patchset(tmp / f"patchset{number}", {path: [dict(one) for one in rules]}))
    change = worked.changes.get(path)
    return worked, change.after.decode() if change else text


def marker(*rules: dict[str, Any]) -> str:
    """What a patched tree says about itself, as far as rules are concerned."""
    return json.dumps({"rules": [one["id"] for one in rules]})


def edited(tmp: Path, path: str, text: str, *rules: dict[str, Any], more: dict[str, str] | None = None) -> str:
    """Text after the rules, which must fit; and a second run must recognise all of them and change nothing."""
    worked, after = run(tmp, path, text, *rules, more=more)
    assert not worked.drift, [(row.id, row.state, row.found) for row in worked.rows]
    again, same = run(tmp, path, after, *rules, more={**(more or {}), MARKER: marker(*rules)})
    assert [row.state for row in again.rows] == ["already-applied"] * len(rules), [r.found for r in again.rows]
    assert same == after
    return after


def only_row(worked: Plan) -> Row:
    """The single row of a plan."""
    (row,) = worked.rows
    return row


def snapshot(root: Path) -> dict[str, tuple[str, bool, bytes]]:
    """Everything below ``root``: kind, owner's exec bit, content or link target."""
    found: dict[str, tuple[str, bool, bytes]] = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        name = str(path.relative_to(root))
        if stat.S_ISLNK(mode):
            found[name] = ("link", False, os.fsencode(path.readlink()))
        elif stat.S_ISDIR(mode):
            found[name] = ("dir", False, b"")
        else:
            found[name] = ("file", bool(mode & stat.S_IXUSR), path.read_bytes())
    return found
