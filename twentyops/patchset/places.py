"""Where a rule applies: each kind of ``find`` turned into exact ranges of a document."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from ast_grep_py import SgNode
from dockerfile_parse import DockerfileParser
from pydantic import BaseModel

from twentyops.patchset.document import Document
from twentyops.patchset.errors import NoPlace
from twentyops.patchset.model import (
    DecoratorFind,
    InstructionFind,
    KeyFind,
    LineFind,
    LineMatchesFind,
    PatternFind,
    RuleFind,
    StageFind,
    TextFind,
    WorkspaceFind,
    find_name,
)


@dataclass(frozen=True)
class Place:
    """A match: characters ``start`` up to ``end``, what the pattern captured, and the syntax node if there is one."""

    start: int
    end: int
    captures: dict[str, str] = field(default_factory=dict)
    node: SgNode | None = None


def _groups(match: re.Match[str]) -> dict[str, str]:
    """Named groups of a regular expression, as ``{"$NAME": text}`` like the captures of a pattern."""
    return {f"${name}": text or "" for name, text in match.groupdict().items()}


T = TypeVar("T")


def _pick(items: list[T], which: str | None) -> list[T]:
    if which is None or len(items) < 2:
        return items
    return items[:1] if which == "first" else items[-1:]


def locate(document: Document, find: BaseModel) -> list[Place]:
    """All places of one ``find`` in document order. Raises ``NoPlace`` when ast-grep refuses the pattern or rule."""
    match find:
        case PatternFind() | RuleFind():
            return _by_syntax(document, find)
        case DecoratorFind():
            return _by_decorator(document, find)
        case KeyFind():
            return _by_key(document, find)
        case InstructionFind():
            return _by_instruction(document, find)
        case StageFind():
            return [Place(stage.start, stage.end) for stage in _stages_named(stages(document), find.stage)]
        case LineFind():
            wanted = find.line.rstrip("\n")
            return _pick([Place(s, e) for s, e, text in document.lines() if text == wanted], find.pick)
        case LineMatchesFind():
            shape = re.compile(find.line_matches)
            matches = [(s, e, shape.fullmatch(text)) for s, e, text in document.lines()]
            return _pick([Place(s, e, _groups(match)) for s, e, match in matches if match], find.pick)
        case TextFind():
            return _by_text(document, find.text)
        case WorkspaceFind():
            return _by_text(document, f'"{find.workspace}@workspace:', whole_block=True)
    raise TypeError(f"no way to locate by {type(find).__name__}")


def locate_any(document: Document, finds: Sequence[BaseModel]) -> tuple[BaseModel, list[Place]]:
    """The first alternative that matches at all, with its places; the first alternative and nothing where none does."""
    for find in finds:
        places = locate(document, find)
        if places:
            return find, places
    return finds[0], []


def describe(find: BaseModel) -> str:
    """One line that says what is looked for, for reports."""
    rest = find.model_dump(exclude_none=True, exclude_defaults=True)
    name = find_name(find)
    value = rest.pop(name)
    shown = " ".join(value.split()) if isinstance(value, str) else repr(value)
    more = ", ".join(f"{key} {' '.join(str(item).split())}" for key, item in rest.items())
    text = f"{name} {shown}" + (f" ({more})" if more else "")
    return text if len(text) <= 160 else f"{text[:157]}..."


# --- syntax trees -------------------------------------------------------------------------------------------------


def place_of(node: SgNode, captures: dict[str, str] | None = None) -> Place:
    """The place of a syntax node."""
    span = node.range()
    return Place(span.start.index, span.end.index, captures or {}, node)


_META = re.compile(r"(\$\$\$|\$)([A-Z_][A-Z0-9_]*)")


def _by_syntax(document: Document, find: PatternFind | RuleFind) -> list[Place]:
    if isinstance(find, PatternFind):
        pattern: Any = find.pattern
        if find.context or find.selector or find.strictness:
            pattern = {"context": find.context or find.pattern}
            if find.selector:
                pattern["selector"] = find.selector
            if find.strictness:
                pattern["strictness"] = find.strictness
        config: dict[str, Any] = {"rule": {"pattern": pattern}}
    else:
        config = find.model_dump(exclude_none=True)
    try:
        nodes = document.root.find_all(cast(Any, config))
    except RuntimeError as error:
        raise NoPlace(f"ast-grep refuses the rule: {error}") from error
    except Exception as error:  # ast-grep-py raises bare Exception for an invalid rule
        raise NoPlace(f"ast-grep refuses the {find_name(find)}: {error}") from error
    names = set(_META.findall(str(config)))
    return [place_of(node, _captures(document, node, names)) for node in nodes]


def _captures(document: Document, node: SgNode, names: set[tuple[str, str]]) -> dict[str, str]:
    captured: dict[str, str] = {}
    for sigil, name in names:
        if sigil == "$":
            single = node.get_match(name)
            if single is not None:
                captured[f"${name}"] = single.text()
        else:
            several = node.get_multiple_matches(name)
            if several:
                span = several[0].range().start.index, several[-1].range().end.index
                captured[f"$$${name}"] = document.text[span[0] : span[1]]
            else:
                captured[f"$$${name}"] = ""
    return captured


def members(node: SgNode) -> list[SgNode]:
    """Elements of an array or members of an object: named children without comments."""
    return [child for child in node.children() if child.is_named() and child.kind() != "comment"]


def key_of(pair: SgNode) -> str | None:
    """Key of a member of an object as plain text; ``None`` for a spread or a computed key."""
    kind = pair.kind()
    if kind == "pair":
        key = pair.field("key")
        return None if key is None or key.kind() == "computed_property_name" else unquoted(key.text())
    if kind == "method_definition":
        name = pair.field("name")
        return None if name is None else unquoted(name.text())
    return pair.text() if kind == "shorthand_property_identifier" else None


def unquoted(text: str) -> str:
    """A key without its quotes."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"`" else text


def bare(node: SgNode) -> SgNode:
    """The array or object inside ``[...] as const``, ``... satisfies T``, ``(...)``, ``...!``."""
    while node.kind() in ("as_expression", "satisfies_expression", "parenthesized_expression", "non_null_expression"):
        inner = [child for child in node.children() if child.is_named()]
        if not inner:
            break
        node = inner[0]
    return node


def _by_decorator(document: Document, find: DecoratorFind) -> list[Place]:
    found: list[Place] = []
    for decorator in document.root.find_all(kind="decorator"):
        call = next((child for child in decorator.children() if child.kind() == "call_expression"), None)
        callee = call.field("function") if call is not None else None
        if call is None or callee is None or callee.text() != find.decorator:
            continue
        if find.on is not None and find.on != _decorated_class(decorator):
            continue
        arguments = call.field("arguments")
        given = next((bare(item) for item in members(arguments)), None) if arguments is not None else None
        if given is None or given.kind() != "object":
            continue
        if find.key is None:
            found.append(place_of(given))
            continue
        for pair in members(given):
            value = pair.field("value") if pair.kind() == "pair" and key_of(pair) == find.key else None
            if value is not None:
                found.append(place_of(bare(value)))
    return found


def _decorated_class(decorator: SgNode) -> str | None:
    parent = decorator.parent()
    if parent is None:
        return None
    if parent.kind() == "export_statement":
        declared = parent.field("declaration")
        name = declared.field("name") if declared is not None else None
    else:
        name = parent.field("name")
    return name.text() if name is not None else None


# --- JSON ---------------------------------------------------------------------------------------------------------


def _by_key(document: Document, find: KeyFind) -> list[Place]:
    path = [find.key] if isinstance(find.key, str) else list(find.key)
    level = members(document.root)
    for step in path:
        level = [value for node in level for value in _json_children(node, step)]
    return [place_of(node) for node in level]


def _json_children(node: SgNode, step: str | int) -> Iterator[SgNode]:
    if isinstance(step, int):
        if node.kind() == "array" and -len(members(node)) <= step < len(members(node)):
            yield members(node)[step]
        return
    if node.kind() != "object":
        return
    for pair in members(node):
        value = pair.field("value")
        if value is not None and key_of(pair) == step:
            yield value


# --- Dockerfile ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Instruction:
    """One Dockerfile instruction with its range; the final line feed is not part of it."""

    name: str
    value: str
    start: int
    end: int


@dataclass(frozen=True)
class Stage:
    """One stage: its name (its number when it has none), its instructions, FROM first, and their range."""

    name: str
    instructions: tuple[Instruction, ...]
    final: bool

    @property
    def start(self) -> int:
        """Offset of FROM."""
        return self.instructions[0].start

    @property
    def end(self) -> int:
        """Offset after the last instruction."""
        return self.instructions[-1].end


_HEREDOC = re.compile(r"<<-?\s*[\"']?([A-Za-z_][A-Za-z0-9_]*)[\"']?")
_ESCAPE = re.compile(r"^#\s*escape\s*=", re.IGNORECASE)


def instructions(document: Document) -> list[Instruction]:
    """Instructions of a Dockerfile as dockerfile-parse sees them, here-documents taken as part of theirs."""
    first = document.text.split("\n", 1)[0]
    if _ESCAPE.match(first):
        raise NoPlace("the Dockerfile changes its escape character, which the rules do not read")
    parsed = DockerfileParser(fileobj=io.BytesIO(document.text.encode()), env_replace=False).structure
    found: list[Instruction] = []
    waiting: list[str] = []
    for item in parsed:
        start, end = document.span_of_lines(item["startline"] + 1, item["endline"] + 1)
        if waiting:
            for line in document.text[start:end].split("\n"):
                if waiting and line.strip("\t") == waiting[0]:
                    waiting.pop(0)
            found[-1] = Instruction(found[-1].name, found[-1].value, found[-1].start, end)
            continue
        if item["instruction"] == "COMMENT":
            continue
        if item["instruction"] in ("RUN", "COPY", "ADD"):
            waiting = _HEREDOC.findall(item["value"])
        found.append(Instruction(item["instruction"], item["value"], start, end))
    return found


def stages(document: Document) -> list[Stage]:
    """Stages in order; what stands before the first FROM belongs to none."""
    groups: list[list[Instruction]] = []
    for instruction in instructions(document):
        if instruction.name == "FROM":
            groups.append([])
        if groups:
            groups[-1].append(instruction)
    found: list[Stage] = []
    for number, group in enumerate(groups):
        words = group[0].value.split()
        named = len(words) >= 3 and words[-2].upper() == "AS"
        found.append(Stage(words[-1] if named else str(number), tuple(group), number == len(groups) - 1))
    return found


def _stages_named(found: list[Stage], name: str | None) -> list[Stage]:
    if name is None:
        return found
    named = [stage for stage in found if stage.name == name]
    return named or ([stage for stage in found if stage.final] if name == "final" else [])


def _by_instruction(document: Document, find: InstructionFind) -> list[Place]:
    wanted = None if find.value is None else " ".join(find.value.split())
    shape = None if find.matches is None else re.compile(find.matches)
    places = [
        Place(item.start, item.end)
        for stage in _stages_named(stages(document), find.stage)
        for item in stage.instructions
        if item.name == find.instruction
        and (wanted is None or " ".join(item.value.split()) == wanted)
        and (shape is None or shape.search(item.value))
    ]
    return _pick(places, find.pick)


# --- text ---------------------------------------------------------------------------------------------------------


def _by_text(document: Document, text: str, *, whole_block: bool = False) -> list[Place]:
    found: list[Place] = []
    at = document.text.find(text)
    while at != -1:
        if not whole_block:
            found.append(Place(at, at + len(text)))
        elif at == document.line_start(at):
            stop = document.text.find("\n\n", at)
            found.append(Place(at, len(document.text.rstrip("\n")) if stop == -1 else stop))
        at = document.text.find(text, at + len(text))
    return found
