"""Dependency lines and entries of a yarn.lock (berry), put where yarn itself would write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from twentyops.patchset.document import Document, Edit
from twentyops.patchset.errors import Conflict, NoPlace
from twentyops.patchset.model import Lock
from twentyops.patchset.places import Place

_KEY = re.compile(r'^(?:\? )?(?:"((?:[^"\\]|\\.)*)"|([^\s"#][^\n]*?)):?$', re.MULTILINE)
_RESOLUTION = re.compile(r'^  resolution: "([^"\n]+)"$', re.MULTILINE)
_DEPENDENCIES = re.compile(r"^  dependencies:\n((?:    .+\n?)+)", re.MULTILINE)
_DEPENDENCY = re.compile(r'^    (?:"([^"\n]+)"|([^\s":]+)): "?([^"\n]+)"?$', re.MULTILINE)
_PLAIN_KEY = re.compile(r"^[A-Za-z0-9_.][A-Za-z0-9_./-]*$")


@dataclass(frozen=True)
class Entry:
    """One block: where it stands, the descriptors that it answers, its resolution and what it depends on."""

    start: int
    end: int
    key: str
    key_end: int
    resolution: str
    dependencies: dict[str, str]

    @property
    def descriptors(self) -> list[str]:
        """``name@npm:range`` of all ranges that this entry answers."""
        return self.key.split(", ")


def entries(text: str) -> list[Entry]:
    """All blocks of a lock in order, the header and ``__metadata`` left out. Raises ``NoPlace`` for another format."""
    found: list[Entry] = []
    at = 0
    for block in re.split(r"(\n\n+)", text):
        start, at = at, at + len(block)
        body = block.rstrip("\n")
        if not body.strip() or body.startswith(("#", "__metadata:")) or body.lstrip().startswith("#"):
            continue
        first, _, _ = body.partition("\n")
        key = _KEY.match(first)
        resolution = _RESOLUTION.search(body)
        if key is None or resolution is None:
            raise NoPlace(f"no lock entry as yarn 2 and later write them: {first[:80]}")
        section = _DEPENDENCIES.search(body)
        depends = _dependency_lines(section.group(1)) if section else {}
        found.append(
            Entry(start, start + len(body), key.group(1) or key.group(2), start + len(first), resolution.group(1), depends)
        )
    return found


def _dependency_lines(section: str) -> dict[str, str]:
    return {quoted or plain: value for quoted, plain, value in _DEPENDENCY.findall(section)}


def _name(descriptor: str) -> str:
    return descriptor[: descriptor.index("@", 1)]


def _override(parent: str, name: str, wanted: str, resolutions: Mapping[str, str]) -> str:
    """The range that yarn looks for once the root's ``resolutions`` have had their say."""
    forced = resolutions.get(f"{parent}/{name}", resolutions.get(name))
    if forced is None:
        return wanted
    return forced if re.match(r"^[a-z]+:", forced) else f"npm:{forced}"


def lock_edits(document: Document, place: Place, lock: Lock, resolutions: Mapping[str, str]) -> list[Edit]:
    """Edits that make ``lock`` part of the workspace at ``place``; none where it is all there.

    Raises ``Conflict`` where the workspace asks for another range, ``NoPlace`` where an entry is neither in the tree
    nor in the rule.
    """
    present = entries(document.text)
    by_descriptor = {descriptor: entry for entry in present for descriptor in entry.descriptors}
    by_resolution = {entry.resolution: entry for entry in present}
    pool = {descriptor: entry for entry in entries(lock.entries) for descriptor in entry.descriptors}

    workspace = next(entry for entry in present if entry.start == place.start)
    edits = _dependency_edits(document, workspace, lock.dependencies)

    joined: dict[int, tuple[Entry, set[str]]] = {}
    fresh: dict[int, tuple[Entry, set[str]]] = {}
    seen: set[str] = set()
    queue = [(_name(workspace.resolution), name, wanted) for name, wanted in sorted(lock.dependencies.items())]
    while queue:
        parent, name, wanted = queue.pop(0)
        descriptor = f"{name}@{_override(parent, name, wanted, resolutions)}"
        if descriptor in seen or descriptor in by_descriptor:
            continue
        seen.add(descriptor)
        source = pool.get(descriptor)
        if source is None:
            raise NoPlace(
                f"lock entry {descriptor} (needed by {parent}) is neither in the tree nor in the rule's entries: "
                "let yarn write it once and add it to the rule"
            )
        known = by_resolution.get(source.resolution)
        if known is not None:
            joined.setdefault(known.start, (known, set()))[1].add(descriptor)
            continue
        fresh.setdefault(source.start, (source, set()))[1].add(descriptor)
        queue += [(name, *item) for item in sorted(source.dependencies.items())]

    new_blocks: list[tuple[str, str]] = []
    for entry, descriptors in fresh.values():
        key = ", ".join(sorted(descriptors))
        new_blocks.append((key, _block(key, lock.entries[entry.key_end : entry.end])))
    for entry, descriptors in joined.values():
        key = ", ".join(sorted({*entry.descriptors, *descriptors}))
        block = _block(key, document.text[entry.key_end : entry.end])
        if _stays(present, entry, key):
            edits.append(Edit(entry.start, entry.key_end, f'"{key}":'))
        else:
            edits.append(Edit(entry.start, min(entry.end + 2, len(document.text)), ""))
            new_blocks.append((key, block))
    return edits + _insertions(document, present, new_blocks, {e.start for e, _ in joined.values()})


def _block(key: str, body: str) -> str:
    return f'"{key}":{body}\n'


def _stays(present: list[Entry], entry: Entry, key: str) -> bool:
    at = present.index(entry)
    before = present[at - 1].key if at else ""
    return before < key and (at + 1 == len(present) or key < present[at + 1].key)


def _insertions(document: Document, present: list[Entry], blocks: list[tuple[str, str]], moved: set[int]) -> list[Edit]:
    """Whole blocks at their sorted place; several at one place become one edit."""
    places: dict[int, list[str]] = {}
    for key, block in sorted(blocks):
        after = next((entry for entry in present if entry.key > key and entry.start not in moved), None)
        places.setdefault(after.start if after else len(document.text), []).append(block)
    edits: list[Edit] = []
    for offset, texts in places.items():
        if offset == len(document.text):
            lead = "" if document.text.endswith("\n\n") else "\n" if document.text.endswith("\n") else "\n\n"
            edits.append(Edit(offset, offset, lead + "\n".join(texts)))
        else:
            edits.append(Edit(offset, offset, "".join(f"{text}\n" for text in texts)))
    return edits


def _dependency_edits(document: Document, workspace: Entry, wanted: Mapping[str, str]) -> list[Edit]:
    """Lines of the workspace's block, sorted as yarn sorts them: by code point of the bare name."""
    missing: dict[str, str] = {}
    for name, value in sorted(wanted.items()):
        there = workspace.dependencies.get(name)
        if there is None:
            missing[name] = value
        elif there != value:
            raise Conflict(f"{workspace.resolution} depends on {name} {there} already; the rule wants {value}")
    if not missing:
        return []
    body = document.text[workspace.start : workspace.end]
    section = _DEPENDENCIES.search(body)
    if section is None:
        resolution = _RESOLUTION.search(body)
        if resolution is None:
            raise NoPlace(f"{workspace.key}: no resolution line")
        at = workspace.start + resolution.end()
        return [Edit(at, at, "\n  dependencies:" + "".join(f"\n{_line(n, v)}" for n, v in missing.items()))]
    lines = [
        (match.group(1) or match.group(2), workspace.start + section.start(1) + match.start())
        for match in _DEPENDENCY.finditer(section.group(1))
    ]
    end = workspace.start + section.start(1) + len(section.group(1).rstrip("\n"))
    places: dict[int, list[str]] = {}
    for name, value in missing.items():
        after = next((offset for other, offset in lines if other > name), end)
        places.setdefault(after, []).append(_line(name, value))
    return [
        Edit(offset, offset, "".join(f"\n{t}" for t in texts) if offset == end else "".join(f"{t}\n" for t in texts))
        for offset, texts in places.items()
    ]


def _line(name: str, value: str) -> str:
    return f'    {name if _PLAIN_KEY.match(name) else chr(34) + name + chr(34)}: "{value}"'
