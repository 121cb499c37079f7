"""Overlay and rules against a source tree: first a plan of the whole, then all of it or nothing."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel

from twentyops.patchset import tree
from twentyops.patchset.actions import (
    Context,
    add_import,
    edits_at,
    end_of_file,
    new_breakage,
    own_texts,
    trace,
    without_own,
)
from twentyops.patchset.document import Document, Edit, read_target
from twentyops.patchset.errors import Conflict, HostileInput, NoPlace, PatchsetError, RulesError, UsageError
from twentyops.patchset.model import Rule, RuleFile, load_rules
from twentyops.patchset.places import describe, locate, locate_any

ENGINE_VERSION = "1"
ROOT = Path(__file__).resolve().parents[2] / "files" / "twenty"
MARKER = ".twentyops-patchset.json"

State = Literal["ok", "already-applied", "not-found", "ambiguous", "conflict", "file-moved", "refused", "left-out"]
GOOD: tuple[State, ...] = ("ok", "already-applied", "left-out")


@dataclass(frozen=True)
class Candidate:
    """A file where a lost rule would find what it looks for: path, how many of the file's rules match, first line."""

    file: str
    matches: int
    line: int | None


@dataclass(frozen=True)
class Row:
    """What became of one rule (or overlay file). ``hostile`` marks input that is refused for what it is."""

    kind: Literal["rule", "overlay"]
    file: str
    id: str
    why: str
    state: State
    expected: str
    found: str
    lines: tuple[int, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    hostile: bool = False

    @property
    def good(self) -> bool:
        """Whether this row lets an apply go on."""
        return self.state in GOOD


@dataclass(frozen=True)
class OverlayFile:
    """A file of ours: its bytes and whether it is executable."""

    data: bytes
    executable: bool


@dataclass(frozen=True)
class Patchset:
    """Rules and overlay of a directory like ``files/twenty``."""

    root: Path
    files: list[RuleFile]
    overlay: dict[str, OverlayFile]

    @classmethod
    def load(cls, root: Path = ROOT) -> Patchset:
        """Read ``rules/*.yaml`` and ``overlay/``. Raises ``RulesError`` with every problem."""
        if not root.is_dir():
            raise UsageError(f"{root} is no directory; a patchset has rules/ and overlay/")
        files = load_rules(root / "rules")
        overlay: dict[str, OverlayFile] = {}
        problems: list[str] = []
        folder = root / "overlay"
        if folder.is_symlink():
            problems.append("overlay: is a symbolic link")
        elif folder.is_dir():
            try:
                items = tree.scan(folder)
            except HostileInput as error:
                raise RulesError([f"overlay: {error}"]) from error
            hidden = sorted({str(p.relative_to(root)) for name in tree.LEFT_OUT for p in folder.rglob(name)})
            problems += [f"{path}: .git and node_modules are never copied" for path in hidden]
            for item in items:
                if item.kind == "link":
                    problems.append(f"overlay/{item.path}: is a symbolic link; the overlay holds regular files")
                elif item.kind == "file":
                    overlay[item.path] = OverlayFile((folder / item.path).read_bytes(), item.executable)
        edited = {path for rule_file in files for path in (rule_file.file, *rule_file.also_at)}
        problems += [
            f"overlay/{path}: is edited by rules as well; a file is ours or upstream's" for path in edited & set(overlay)
        ]
        if MARKER in edited | set(overlay):
            problems.append(f"{MARKER}: is the engine's own file")
        if not files and not overlay:
            problems.append(f"{root}: neither rules nor overlay")
        if problems:
            raise RulesError(sorted(problems))
        return cls(root, files, overlay)

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of overlay and rules and of the engine's version: 64 hex digits."""
        return fingerprint(self.root)


def fingerprint(root: Path = ROOT) -> str:
    """SHA-256 (hex) over overlay, rules and the engine's version; ``root`` is a directory like ``files/twenty``."""
    whole = hashlib.sha256(f"twentyops.patchset {ENGINE_VERSION}\n".encode())
    for part in ("overlay", "rules"):
        digest = tree.tree_fingerprint(root / part) if (root / part).is_dir() else "-"
        whole.update(f"{part} {digest}\n".encode())
    return whole.hexdigest()


@dataclass(frozen=True)
class Change:
    """A file of the tree before and after; ``before`` is ``None`` for a new file."""

    before: str | None
    after: bytes
    executable: bool


@dataclass(frozen=True)
class Plan:
    """Every row, and the files that differ. Nothing has been written."""

    source: Path
    patchset: Patchset
    rows: list[Row]
    changes: dict[str, Change] = field(default_factory=dict)

    @property
    def drift(self) -> bool:
        """Whether any row stands in the way of an apply."""
        return not all(row.good for row in self.rows)

    @property
    def hostile(self) -> bool:
        """Whether input was refused for what it is, not for where upstream moved to."""
        return any(row.hostile for row in self.rows)

    @property
    def already_patched(self) -> bool:
        """Whether every rule and overlay file is there already."""
        return {row.state for row in self.rows} - {"left-out"} == {"already-applied"}

    def diff(self) -> Iterator[str]:
        """The changes as a unified diff that ``git apply`` takes too; lines with their line feed."""
        for path, change in sorted(self.changes.items()):
            yield from _file_diff(path, change)


# --- one rule -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Verdict:
    state: State
    found: str
    lines: tuple[int, ...] = ()
    edits: tuple[Edit, ...] = ()


def _expected(rule: Rule) -> str:
    if rule.find is None:
        return "the end of the imports" if rule.action == "add_import" else "the end of the file"
    times = f"{rule.count} match{'es' if rule.count > 1 else ''} of "
    return times + " or ".join(describe(find) for find in rule.find)


def _judge(document: Document, rule: Rule, context: Context) -> _Verdict:
    """What is to be done for one rule in one document."""
    if rule.present is not None:
        _, marks = locate_any(document, rule.present)
        if marks:
            return _Verdict("already-applied", "its mark is there", tuple(document.line_of(p.start) for p in marks))
    if rule.action == "add_import":
        edits = add_import(document, rule.add_import or "")
        return _Verdict("ok", "the imports", edits=tuple(edits)) if edits else _Verdict("already-applied", "imported already")
    if rule.find is None:
        places = [end_of_file(document)]
        find: BaseModel | None = None
    else:
        find, places = locate_any(document, rule.find)
        if len(places) > rule.count:
            places = without_own(document, rule, places, context.others)
    lines = tuple(document.line_of(place.start) for place in places)
    if not places and rule.present is None and context.marked:
        shape = trace(rule)
        traces = [match.start() for match in shape.finditer(document.text)] if shape else []
        if len(traces) == rule.count:
            return _Verdict("already-applied", "its text is there", tuple(document.line_of(at) for at in traces))
    if not places:
        return _Verdict("not-found", "no match")
    if len(places) != rule.count:
        shown = ", ".join(map(str, lines[:8])) + (", ..." if len(lines) > 8 else "")
        return _Verdict("ambiguous", f"{len(places)} matches (lines {shown})", lines)
    each = [edits_at(document, rule, place, context) for place in places]
    done = sum(not edits for edits in each)
    if done == len(each):
        return _Verdict("already-applied", "its text is there", lines)
    if done:
        return _Verdict("ambiguous", f"applied at {done} of {len(each)} places", lines)
    found = describe(find) if find is not None else "the end of the file"
    return _Verdict("ok", found, lines, tuple(edit for edits in each for edit in edits))


def _row(path: str, rule: Rule, verdict: _Verdict) -> Row:
    return Row("rule", path, rule.id, rule.why, verdict.state, _expected(rule), verdict.found, verdict.lines)


def _run_rules(rule_file: RuleFile, document: Document, tree_says: _TreeSays) -> tuple[list[Row], Document]:
    """All rules of one file in order; a rule that does not fit leaves the text as it is for the next."""
    rows: list[Row] = []
    start = document
    for rule in rule_file.rules:
        try:
            verdict = _judge(document, rule, tree_says.context(rule_file, rule))
        except Conflict as error:
            verdict = _Verdict("conflict", str(error))
        except NoPlace as error:
            verdict = _Verdict("not-found", str(error))
        if verdict.edits:
            try:
                edited = document.edited(verdict.edits)
                broken = new_breakage(document, edited)
            except (ValueError, NoPlace) as error:
                edited, broken = document, str(error)
            if broken:
                verdict = _Verdict("refused", f"the edit would break the file: {broken}", verdict.lines)
            else:
                document = edited
        rows.append(_row(document.path, rule, verdict))
    if document is not start and all(row.good for row in rows):
        rows = _recognised(rule_file, document, tree_says, rows)
    return rows, document


def _recognised(rule_file: RuleFile, document: Document, tree_says: _TreeSays, rows: list[Row]) -> list[Row]:
    """Every rule must know its own result again: otherwise a second apply would do it twice."""
    checked: list[Row] = []
    for rule, row in zip(rule_file.rules, rows, strict=True):
        try:
            again = _judge(document, rule, replace(tree_says.context(rule_file, rule), marked=True))
        except (Conflict, NoPlace) as error:
            again = _Verdict("conflict", str(error))
        if again.state == "already-applied":
            checked.append(row)
            continue
        found = f"after the edits it is {again.state} ({again.found}): say by 'present' how it is recognised"
        checked.append(replace(row, state="refused", found=found))
    return checked


# --- the whole tree -------------------------------------------------------------------------------------------------


def plan(source: Path, patchset: Patchset | None = None) -> Plan:
    """Work out every edit without writing anything. Raises ``UsageError`` where ``source`` is no directory.

    Rules that do not fit are rows, not exceptions: see ``Plan.drift``.
    """
    source = Path(source)
    patchset = patchset or Patchset.load()
    if not source.is_dir():
        raise UsageError(f"{source} is no directory; give the root of a Twenty checkout")
    search = _Search(source)
    rows: list[Row] = []
    changes: dict[str, Change] = {}
    tree_says = _TreeSays.of(source)
    for rule_file in patchset.files:
        if tree_says.unpatched(rule_file.file):
            rows += _left_out(rule_file)
            continue
        path, text, refusal = _open(source, rule_file)
        if text is None:
            rows += _lost_file(rule_file, refusal, search)
            continue
        before = Document(path, text, rule_file.effective_language)
        file_rows, after = _run_rules(rule_file, before, tree_says)
        rows += [_with_candidates(row, rule_file, search) for row in file_rows]
        if after.text != text:
            changes[path] = Change(text, after.text.encode("utf-8"), _executable(source / path))
    for path, ours in patchset.overlay.items():
        row = _overlay_row(source, path, ours)
        rows.append(row)
        if row.state == "ok":
            changes[path] = Change(None, ours.data, ours.executable)
    return Plan(source, patchset, rows, changes)


def _executable(path: Path) -> bool:
    return bool(path.lstat().st_mode & stat.S_IXUSR)


def _open(source: Path, rule_file: RuleFile) -> tuple[str, str | None, str]:
    """``(path, text, refusal)``: the first of the file's places that exists; text is ``None`` when none can be read."""
    for path in (rule_file.file, *rule_file.also_at):
        try:
            text = read_target(source, path)
        except HostileInput as error:
            return path, None, str(error)
        if text is not None:
            return path, text, ""
    return rule_file.file, None, ""


@dataclass(frozen=True)
class _TreeSays:
    """What the source tree says about itself: yarn's ``resolutions``, the rules that an earlier apply made, and where it is not
    Twenty's: a stand-in names files and folders in ``twentyops.unpatched`` of its package.json."""

    resolutions: Mapping[str, str]
    applied: frozenset[str]
    foreign: tuple[str, ...] = ()

    @classmethod
    def of(cls, source: Path) -> _TreeSays:
        package = _mapping(source, "package.json")
        resolutions, ours = package.get("resolutions"), package.get("twentyops")
        foreign = ours.get("unpatched") if isinstance(ours, dict) else None
        applied = _mapping(source, MARKER).get("rules")
        return cls(
            {k: v for k, v in resolutions.items() if isinstance(v, str)} if isinstance(resolutions, dict) else {},
            frozenset(map(str, applied)) if isinstance(applied, list) else frozenset(),
            tuple(map(str, foreign)) if isinstance(foreign, list) else (),
        )

    def unpatched(self, path: str) -> bool:
        """Whether rules for this file are none of this tree's business."""
        return any(PurePosixPath(path).is_relative_to(place) for place in self.foreign)

    def context(self, rule_file: RuleFile, rule: Rule) -> Context:
        """What one rule needs to know beyond its file."""
        others = [text for other in rule_file.rules if other is not rule for text in own_texts(other)]
        return Context(others, self.resolutions, rule.id in self.applied)


def _mapping(source: Path, path: str) -> dict[str, object]:
    """A JSON object at the root of the tree; empty where there is none that can be read."""
    try:
        found = json.loads(read_target(source, path) or "{}")
    except (HostileInput, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _overlay_row(source: Path, path: str, ours: OverlayFile) -> Row:
    row = Row("overlay", path, f"overlay:{path}", "a file of ours", "ok", "no file at this path", "nothing there")
    place = source
    for part in PurePosixPath(path).parts:
        if place != source and not place.is_dir():
            return replace(row, state="conflict", found=f"{place.relative_to(source)} is no directory")
        place = place / part
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            return row
        if stat.S_ISLNK(mode):
            found = f"{place.relative_to(source)} is a symbolic link; files of ours are not written through links"
            return replace(row, state="refused", found=found, hostile=True)
    if not stat.S_ISREG(mode):
        return replace(row, state="conflict", found="something else than a file")
    if place.stat().st_size == len(ours.data) and place.read_bytes() == ours.data:
        if bool(mode & stat.S_IXUSR) == ours.executable:
            return replace(row, state="already-applied", found="the same file")
        return replace(row, state="conflict", found="the same file with another executable bit")
    return replace(row, state="conflict", found="upstream has another file at this path")


# --- where lost things went -----------------------------------------------------------------------------------------


def _lost_file(rule_file: RuleFile, refusal: str, search: _Search) -> list[Row]:
    if refusal:
        return [
            Row("rule", rule_file.file, rule.id, rule.why, "refused", _expected(rule), refusal, hostile=True)
            for rule in rule_file.rules
        ]
    candidates = search.for_file(rule_file)
    state: State = "file-moved" if candidates else "not-found"
    found = "no such file" + ("" if candidates else ", and nothing in the tree that looks like it")
    return [
        Row("rule", rule_file.file, rule.id, rule.why, state, _expected(rule), found, candidates=candidates)
        for rule in rule_file.rules
    ]


def _left_out(rule_file: RuleFile) -> list[Row]:
    found = "the tree says by twentyops.unpatched in its package.json that it is not Twenty here"
    return [Row("rule", rule_file.file, rule.id, rule.why, "left-out", _expected(rule), found) for rule in rule_file.rules]


def _with_candidates(row: Row, rule_file: RuleFile, search: _Search) -> Row:
    if row.state != "not-found":
        return row
    rule = next(rule for rule in rule_file.rules if rule.id == row.id)
    return replace(row, candidates=search.for_rule(rule_file, rule, row.file))


_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{3,}")
_PATTERN_HOLE = re.compile(r"\$+[A-Z_][A-Z0-9_]*")
_PLAIN_REGEX = re.compile(r"\^?[\w :/@.-]+\$?")
_AT_MOST = 3


class _Search:
    """Looks through the tree for places that a rule would match. The tree is listed once, and only when needed."""

    def __init__(self, source: Path) -> None:
        self.source = source

    @cached_property
    def _paths(self) -> list[str]:
        paths = [item.path for item in tree.scan(self.source) if item.kind == "file"]
        return [path for path in paths if path.isprintable()]  # what a report cannot show is no candidate

    def for_file(self, rule_file: RuleFile) -> tuple[Candidate, ...]:
        """Files of the same name, and files of the same kind where the rules match; the best first."""
        return self._best(rule_file, rule_file.rules, skip="")

    def for_rule(self, rule_file: RuleFile, rule: Rule, skip: str) -> tuple[Candidate, ...]:
        """Other files where one rule matches."""
        return tuple(c for c in self._best(rule_file, [rule], skip=skip) if c.matches)

    def _best(self, rule_file: RuleFile, rules: Iterable[Rule], skip: str) -> tuple[Candidate, ...]:
        wanted = PurePosixPath(rule_file.file)
        rules = [rule for rule in rules if rule.find]
        words = {rule.id: _words_of(rule) for rule in rules}
        found: list[tuple[int, bool, str, Candidate]] = []
        for path in self._paths:
            pure = PurePosixPath(path)
            if path == skip or pure.suffix != wanted.suffix or (not wanted.suffix and pure.name != wanted.name):
                continue
            same_name = pure.name == wanted.name
            hits, line = self._hits(path, same_name, rule_file, rules, words)
            if hits or same_name:
                found.append((hits, same_name, path, Candidate(path, hits, line)))
        found.sort(key=lambda item: (-item[0], not item[1], item[2]))
        return tuple(candidate for *_, candidate in found[:_AT_MOST])

    def _hits(
        self,
        path: str,
        same_name: bool,
        rule_file: RuleFile,
        rules: list[Rule],
        words: Mapping[str, list[list[bytes]]],
    ) -> tuple[int, int | None]:
        place = self.source / path
        try:
            raw = place.read_bytes()
        except OSError:
            return 0, None
        likely = [
            rule
            for rule in rules
            if any((choice or same_name) and all(word in raw for word in choice) for choice in words[rule.id])
        ]
        if not likely:
            return 0, None
        try:
            text = read_target(self.source, path)
        except HostileInput:
            return 0, None
        document = Document(path, text or "", rule_file.effective_language)
        hits, first = 0, None
        for rule in likely:
            try:
                places = [place for find in rule.find or [] for place in locate(document, find)]
            except NoPlace:
                continue
            if places:
                hits += 1
                first = first or document.line_of(places[0].start)
        return hits, first


def _words_of(rule: Rule) -> list[list[bytes]]:
    """For each alternative, the words without which it cannot match: a quick sieve before anything is parsed."""
    choices: list[list[bytes]] = []
    for find in rule.find or []:
        needed = [_PATTERN_HOLE.sub(" ", text) for text in _needed_texts(find.model_dump(exclude_none=True))]
        choices.append([word.encode() for word in dict.fromkeys(_WORD.findall(" ".join(needed)))])
    return choices


def _needed_texts(value: object) -> Iterator[str]:
    """Texts that every match holds: patterns, names, lines, and regular expressions that are plain words."""
    if isinstance(value, list):
        for item in value:
            yield from _needed_texts(item)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if key in ("pattern", "decorator", "line", "text", "instruction", "workspace", "key", "on"):
            parts = item if isinstance(item, list) else [item.get("context", "") if isinstance(item, dict) else item]
            yield from map(str, parts)
        elif key in ("regex", "line_matches", "matches"):
            yield from [str(item)] if _PLAIN_REGEX.fullmatch(str(item)) else []
        elif key in ("rule", "has", "inside", "follows", "precedes", "all"):
            yield from _needed_texts(item)


class Drift(PatchsetError):
    """At least one rule or overlay file does not fit the tree: ``plan`` holds every row. Exit code 1."""

    def __init__(self, worked: Plan) -> None:
        self.plan = worked
        bad = [row for row in worked.rows if not row.good]
        told = "".join(f"\n  {row.file} {row.id}: {row.state}" for row in bad)
        super().__init__(
            f"{len(bad)} of {len(worked.rows)} rules and files do not fit {worked.source}; nothing was written{told}"
        )


# --- apply ----------------------------------------------------------------------------------------------------------


def apply(source: Path, out: Path, patchset: Patchset | None = None) -> Plan:
    """Write the patched copy of ``source`` to ``out``: all of it or nothing, and never a byte in ``source``.

    ``out`` must be absent, empty, or made by an earlier apply (then it is replaced in one step).
    Raises ``Drift`` where a rule does not fit, ``UsageError`` and ``HostileInput``: all before anything is written.
    """
    source, out = Path(source), Path(os.path.abspath(out))  # noqa: PTH100 (resolve() would follow a link at OUT)
    if not source.is_dir():
        raise UsageError(f"{source} is no directory; give the root of a Twenty checkout")
    tree.check_target(source, out, MARKER)
    worked = plan(source, patchset)
    if worked.drift:
        raise Drift(worked)
    items = tree.scan(source)
    tree.refuse_escapes(source, items)
    with tree.workshop(out) as shop:
        built = shop / "tree"
        built.mkdir()
        tree.copy(source, items, built, {*worked.changes, MARKER})
        for path, change in worked.changes.items():
            place = built / path
            _make_folders(built, place.parent)
            tree.write_file(place, change.after, change.executable)
        tree.write_file(built / MARKER, _marker(worked), executable=False)
        tree.publish(built, out)
    return worked


def _make_folders(built: Path, folder: Path) -> None:
    missing = []
    while folder != built and not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir()
        each.chmod(0o755)


def _marker(worked: Plan) -> bytes:
    """What the tree says about itself: no time, no path of this machine."""
    content = {
        "made_by": "twentyops.patchset",
        "engine": ENGINE_VERSION,
        "patchset": worked.patchset.fingerprint,
        "rules": sorted(row.id for row in worked.rows if row.kind == "rule" and row.state != "left-out"),
        "overlay": sorted(worked.patchset.overlay),
    }
    return (json.dumps(content, indent=2) + "\n").encode()


# --- diff -----------------------------------------------------------------------------------------------------------


def _file_diff(path: str, change: Change) -> Iterator[str]:
    yield f"diff --git a/{path} b/{path}\n"
    if change.before is None:
        yield f"new file mode {'100755' if change.executable else '100644'}\n"
    try:
        after = change.after.decode("utf-8")
    except UnicodeDecodeError:
        after = "\0"
    if "\0" in after:
        yield f"Binary files {'/dev/null' if change.before is None else f'a/{path}'} and b/{path} differ\n"
        return
    old = f"a/{path}" if change.before is not None else "/dev/null"
    for line in difflib.unified_diff(_lines(change.before or ""), _lines(after), old, f"b/{path}"):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(text: str) -> list[str]:
    """Lines with their line feed; only a line feed ends a line."""
    return re.findall(r"[^\n]*\n|[^\n]+\Z", text)
