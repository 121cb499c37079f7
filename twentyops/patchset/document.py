"""One text file of the source tree: read with suspicion, parsed once, edited by offsets: the rest stays as it is."""

from __future__ import annotations

import bisect
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from ast_grep_py import SgNode, SgRoot

from twentyops.patchset.errors import HostileInput

MAX_BYTES = 16 * 1024 * 1024

# Languages that have a syntax tree here. Values are ast-grep's own names.
LANGUAGES = {
    ".ts": "typescript",
    ".mts": "typescript",
    ".cts": "typescript",
    ".tsx": "tsx",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".jsx": "tsx",
    ".json": "json",
    ".sh": "bash",
    ".css": "css",
    ".html": "html",
}
PLAIN = ("dockerfile", "yarn-lock", "text")
SCRIPT_LANGUAGES = ("typescript", "tsx", "javascript")


def language_of(path: str) -> str:
    """Language of a file by its name: one of ``LANGUAGES``' values, ``dockerfile``, ``yarn-lock`` or ``text``."""
    name = PurePosixPath(path).name
    if name == "yarn.lock":
        return "yarn-lock"
    if name == "Dockerfile" or name.startswith("Dockerfile.") or name.endswith(".Dockerfile"):
        return "dockerfile"
    return LANGUAGES.get(PurePosixPath(path).suffix, "text")


@dataclass(frozen=True, order=True)
class Edit:
    """Replace characters ``start`` up to ``end`` (code points, end excluded) by ``text``."""

    start: int
    end: int
    text: str


class Document:
    """The text of one file. Immutable: ``edited`` gives a new one. Offsets are code points, lines count from 1."""

    def __init__(self, path: str, text: str, language: str | None = None) -> None:
        self.path = path
        self.text = text
        self.language = language or language_of(path)

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        at = self.text.find("\n")
        while at != -1:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        return starts

    def line_of(self, offset: int) -> int:
        """Line number (from 1) that holds a character offset."""
        return bisect.bisect_right(self._starts, offset)

    def line_start(self, offset: int) -> int:
        """Offset of the first character of the line that holds ``offset``."""
        return self._starts[self.line_of(offset) - 1]

    def line_end(self, offset: int) -> int:
        """Offset of the line feed that ends the line holding ``offset``, or the end of the text."""
        end = self.text.find("\n", offset)
        return len(self.text) if end == -1 else end

    def span_of_lines(self, first: int, last: int) -> tuple[int, int]:
        """Offsets of lines ``first`` to ``last`` (from 1, both included), the last line feed excluded."""
        start = self._starts[first - 1]
        return start, self.line_end(self._starts[last - 1])

    def lines(self) -> Iterator[tuple[int, int, str]]:
        """``(start, end, text)`` of each line, line feed excluded; no empty line after a final line feed."""
        for start in self._starts:
            if start == len(self.text) and start > 0:
                return
            end = self.line_end(start)
            yield start, end, self.text[start:end]

    def indent_at(self, offset: int) -> str:
        """White space at the start of the line that holds ``offset``."""
        start = self.line_start(offset)
        rest = self.text[start : self.line_end(start)]
        return rest[: len(rest) - len(rest.lstrip(" \t"))]

    @property
    def has_syntax(self) -> bool:
        """Whether a syntax tree can be had for this language."""
        return self.language not in PLAIN

    @cached_property
    def root(self) -> SgNode:
        """Root of the syntax tree. Only for languages with one."""
        return SgRoot(self.text, self.language).root()

    @cached_property
    def syntax_errors(self) -> list[tuple[int, str]]:
        """Broken places as ``(offset, what)``: ERROR nodes, and tokens that the parser had to make up."""
        if not self.has_syntax:
            return []
        found: list[tuple[int, str]] = []
        stack = [self.root]
        while stack:
            node = stack.pop()
            span = node.range()
            if node.kind() == "ERROR":
                found.append((span.start.index, f"cannot be parsed: {_clip(node.text())}"))
                continue
            children = node.children()
            if children:
                stack.extend(children)
            elif span.start.index == span.end.index and not _may_be_empty(node):
                found.append((span.start.index, f"missing {node.kind()!r}"))
        return sorted(found)

    def edited(self, edits: Iterable[Edit]) -> Document:
        """The same document with edits applied. Raises ``ValueError`` when two of them overlap."""
        pieces: list[str] = []
        at = 0
        for edit in sorted(edits):
            if edit.start < at:
                raise ValueError(f"{self.path}: two edits overlap at line {self.line_of(edit.start)}")
            pieces += [self.text[at : edit.start], edit.text]
            at = edit.end
        pieces.append(self.text[at:])
        return Document(self.path, "".join(pieces), self.language)


# Leaves that grammars make without text on purpose: no sign of a broken file.
_EMPTY_LEAVES = frozenset({"program", "document", "stylesheet", "template_chars", "heredoc_body", "string_content", "fragment"})


def _may_be_empty(node: SgNode) -> bool:
    kind = node.kind()
    return kind in _EMPTY_LEAVES or kind == "\n" or "automatic_semicolon" in kind or not kind.strip()


def _clip(text: str, size: int = 60) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= size else f"{flat[: size - 3]}..."


def read_target(root: Path, path: str, limit: int = MAX_BYTES) -> str | None:
    """Text of a file that a rule names, or ``None`` when there is none. Raises ``HostileInput`` with the reason.

    Refused: links on the way, anything but a regular file, more than ``limit`` bytes, what is not UTF-8 text, CRLF.
    """
    place = root
    for part in PurePosixPath(path).parts:
        place = place / part
        try:
            mode = place.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISLNK(mode):
            raise HostileInput(f"{place.relative_to(root)} is a symbolic link; rules edit regular files only")
    if not stat.S_ISREG(mode):
        raise HostileInput(f"{path} is no regular file")
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise HostileInput(f"{path} is larger than {limit} bytes; no rule edits a file of that size")
    return decode(path, data)


def decode(path: str, data: bytes) -> str:
    """Bytes as text, exactly reversible. Raises ``HostileInput`` for binary data, a byte order mark and CRLF."""
    if b"\0" in data:
        raise HostileInput(f"{path} is binary (a NUL byte at offset {data.index(0)})")
    if data.startswith(b"\xef\xbb\xbf"):
        raise HostileInput(f"{path} starts with a byte order mark; expected plain UTF-8")
    if b"\r" in data:
        line = data.count(b"\n", 0, data.index(b"\r")) + 1
        raise HostileInput(f"{path} has a carriage return in line {line} (CRLF checkout?); expected LF line ends")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HostileInput(f"{path} is binary or not UTF-8 (byte {error.start}: {error.reason})") from error
