"""What a rule does at a place: the edits, or the finding that they are there already."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any, cast

from ast_grep_py import SgNode

from twentyops.patchset.document import Document, Edit
from twentyops.patchset.errors import Conflict, NoPlace
from twentyops.patchset.model import Rule
from twentyops.patchset.places import Place, bare, key_of, members, place_of, stages, unquoted
from twentyops.patchset.yarnlock import entries, lock_edits

_Step = Callable[[str, int, str], int | None]

_META = re.compile(r"\$\$\$[A-Z_][A-Z0-9_]*|\$[A-Z_][A-Z0-9_]*")
_GROUP = re.compile(r"\(\?P<([A-Z][A-Z0-9_]*)>")
_REST_OF_LINE = {
    "dockerfile": re.compile(r"[ \t]*"),
    "text": re.compile(r"[ \t]*"),
    "bash": re.compile(r"[ \t]*;?[ \t]*(#.*)?"),
}
_REST_OF_CODE_LINE = re.compile(r"[ \t]*[;,]?[ \t]*(//.*|/\*.*\*/[ \t]*)?")
_COMMENT_LEFT = re.compile(r"[ \t]*(//.*|/\*.*\*/[ \t]*)?")


@dataclass(frozen=True)
class Context:
    """What a rule needs to know beyond its file's text.

    + others: fixed texts that sibling rules put into the same file, looked past when this rule looks for its own
    + resolutions: the root package.json's ``resolutions``, for lock entries
    + marked: the tree says that this rule was applied to it. Only then is a replacement recognised by its shape: in
      upstream's own tree the same text somewhere else must not hide that the rule has lost its place
    """

    others: Sequence[str] = ()
    resolutions: Mapping[str, str] = field(default_factory=dict)
    marked: bool = False


def edits_at(document: Document, rule: Rule, place: Place, context: Context) -> list[Edit]:
    """Edits of one rule at one place; an empty list where they are there already. Raises ``Conflict``, ``NoPlace``."""
    others = context.others
    match rule.action:
        case "insert_before" | "insert_after":
            return _insert(document, place, rule, others)
        case "wrap":
            return _wrap(document, place, cast(str, rule.wrap), others)
        case "replace":
            return _replace(document, place, rule, context)
        case "append":
            return _append(document, place, cast(str, rule.append), others)
        case "add_to_array":
            return _add_to_array(document, place, rule.add_to_array)
        case "add_to_object":
            return _add_to_object(document, place, cast("str | dict[str, Any]", rule.add_to_object))
        case "lock":
            assert rule.lock is not None  # noqa: S101 (the model says so)
            return lock_edits(document, place, rule.lock, context.resolutions)
    raise TypeError(f"no such action: {rule.action}")


def _holes(rule: Rule) -> re.Pattern[str]:
    """What is filled in: {match} and the captures that this rule's find names. Any other $NAME is text."""
    finds = " ".join(str(find.model_dump()) for find in rule.find or [])
    named = {*_META.findall(finds), *(f"${name}" for name in _GROUP.findall(finds))}
    return re.compile("|".join([r"\{match\}", *(re.escape(name) + r"(?![A-Z0-9_])" for name in sorted(named))]))


def own_texts(rule: Rule) -> list[str]:
    """Fixed texts that a rule leaves in its file: what its siblings look past. None where captures are filled in."""
    raw: list[str] = []
    if rule.action in ("insert_before", "insert_after", "append"):
        raw = [cast(str, getattr(rule, rule.action))]
    elif rule.action == "wrap":
        raw = [part for part in cast(str, rule.wrap).split("{match}") if part.strip()]
    return [text for text in raw if not _holes(rule).search(text)]


def trace(rule: Rule) -> re.Pattern[str] | None:
    """What a replaced or wrapped place looks like, whatever its captures were; ``None`` for other actions."""
    template = rule.replace if rule.action == "replace" else rule.wrap
    if not isinstance(template, str) or not template.strip():
        return None
    return _shape(template, _holes(rule))


def without_own(document: Document, rule: Rule, places: list[Place], others: Sequence[str]) -> list[Place]:
    """Places but those inside the text that this very rule has put beside another place: they are no anchors."""
    if rule.action not in ("insert_before", "insert_after"):
        return places
    spans = []
    for place in places:
        at, text, step = _insertion(document, place, rule)
        edge = _stands(step, document.text, at, text, others)
        if edge is not None:
            spans.append((min(at, edge), max(at, edge)))
    return [place for place in places if not any(start <= place.start and place.end <= end for start, end in spans)]


def _shape(template: str, holes: re.Pattern[str]) -> re.Pattern[str]:
    """Template as a regular expression: holes stand for anything, white space for any white space or none."""
    parts: list[str] = []
    at = 0
    for hole in holes.finditer(template):
        parts += [_loose(template[at : hole.start()]), r"[\s\S]*?"]
        at = hole.end()
    parts.append(_loose(template[at:]))
    return re.compile("".join(parts).strip())


def _loose(text: str) -> str:
    return r"\s*".join(re.escape(word) for word in ["", *text.split(), ""]) if text.strip() else r"\s*"


# --- text that is there already --------------------------------------------------------------------------------------


def _forward(text: str, at: int, literal: str) -> int | None:
    """End of ``literal`` when it stands at ``at``, white space left out of account; ``None`` otherwise."""
    for wanted in literal:
        if wanted.isspace():
            continue
        while at < len(text) and text[at].isspace():
            at += 1
        if at == len(text) or text[at] != wanted:
            return None
        at += 1
    return at


def _backward(text: str, at: int, literal: str) -> int | None:
    """Start of ``literal`` when it ends at ``at``, white space left out of account; ``None`` otherwise."""
    for wanted in reversed(literal):
        if wanted.isspace():
            continue
        while at > 0 and text[at - 1].isspace():
            at -= 1
        if at == 0 or text[at - 1] != wanted:
            return None
        at -= 1
    return at


def _stands(step: _Step, text: str, at: int, literal: str, others: Sequence[str]) -> int | None:
    """Far edge of ``literal`` where it stands next to ``at``, possibly behind texts of sibling rules; else ``None``."""
    while True:
        edge = step(text, at, literal)
        if edge is not None:
            return edge
        ends = (step(text, at, other) for other in others if other != literal)
        past = next((end for end in ends if end is not None and end != at), None)
        if past is None:
            return None
        at = past


# --- text -----------------------------------------------------------------------------------------------------------


def _fill(document: Document, place: Place, template: str) -> str:
    values = {"{match}": document.text[place.start : place.end], **place.captures}
    holes = re.compile("|".join(re.escape(name) + ("" if name == "{match}" else r"(?![A-Z0-9_])") for name in values))
    return holes.sub(lambda hole: values[hole.group()], template)


def _block(template: str, indent: str) -> str:
    """Template as a block of lines at an indentation; empty lines stay empty."""
    lines = dedent(template).strip("\n").split("\n")
    return "\n".join(f"{indent}{line}" if line.strip() else "" for line in lines)


def _hanging(template: str, indent: str) -> str:
    """Template whose first line goes where the cursor is and whose other lines are indented."""
    return _block(template, indent)[len(indent) :]


def _insertion(document: Document, place: Place, rule: Rule) -> tuple[int, str, _Step]:
    """Where the text of an insertion goes, the text, and the direction in which it is looked for."""
    template = cast(str, getattr(rule, rule.action))
    indent = document.indent_at(place.start)
    if rule.action == "insert_before":
        start = document.line_start(place.start)
        alone = document.text[start : place.start].strip() == ""
        text = _block(template, indent) + "\n" if alone else template.strip("\n")
        return start if alone else place.start, _fill(document, place, text), _backward
    end = document.line_end(place.end)
    rest = document.text[place.end : end]
    alone = _REST_OF_LINE.get(document.language, _REST_OF_CODE_LINE).fullmatch(rest) is not None
    text = "\n" + _block(template, indent) if alone else template.strip("\n")
    return end if alone else place.end, _fill(document, place, text), _forward


def _insert(document: Document, place: Place, rule: Rule, others: Sequence[str]) -> list[Edit]:
    at, text, step = _insertion(document, place, rule)
    return [Edit(at, at, text)] if _stands(step, document.text, at, text, others) is None else []


def _wrap(document: Document, place: Place, template: str, others: Sequence[str]) -> list[Edit]:
    before, after = _hanging(template.strip("\n"), document.indent_at(place.start)).split("{match}")
    before, after = (_fill(document, place, part) for part in (before, after))
    sides = ((_backward, place.start, before), (_forward, place.end, after))
    if all(_stands(step, document.text, at, text, others) is not None for step, at, text in sides):
        return []
    return [edit for edit in (Edit(place.start, place.start, before), Edit(place.end, place.end, after)) if edit.text]


def _replace(document: Document, place: Place, rule: Rule, context: Context) -> list[Edit]:
    value: Any = rule.replace
    current = document.text[place.start : place.end]
    if document.language == "json" and place.node is not None and not _is_pattern_place(place):
        if _same_json(current, value):
            return []
        return [Edit(place.start, place.end, _json(value, document.indent_at(place.start), _unit(document)))]
    if not isinstance(value, str):
        raise NoPlace("the replacement is no text, and what was found is no JSON value")
    shape = trace(rule) if context.marked and rule.present is None else None
    if shape is not None and shape.fullmatch(current.strip()):
        return []
    template = value.removesuffix("\n") if not current.endswith("\n") else value
    return [Edit(place.start, place.end, _fill(document, place, _hanging_keep(template, document.indent_at(place.start))))]


def _hanging_keep(template: str, indent: str) -> str:
    first, *rest = template.split("\n")
    return "\n".join([first, *(f"{indent}{line}" if line.strip() else line for line in rest)])


def _is_pattern_place(place: Place) -> bool:
    return bool(place.captures)


def _append(document: Document, place: Place, template: str, others: Sequence[str]) -> list[Edit]:
    """At the end of a place (a stage) or of the file, as whole lines."""
    whole = place.end >= len(document.text)
    at = len(document.text) if whole else document.line_end(place.end)
    text = _fill(document, place, _block(template, ""))
    if _stands(_backward, document.text, at, text, others) is not None:
        return []
    if whole:
        lead = "" if document.text.endswith("\n") or not document.text else "\n"
        return [Edit(at, at, f"{lead}{text}\n")]
    return [Edit(at, at, f"\n{text}")]


def end_of_file(document: Document) -> Place:
    """The place of an ``append`` without find."""
    return Place(len(document.text), len(document.text))


# --- imports --------------------------------------------------------------------------------------------------------


def _bindings(statement: SgNode) -> tuple[str, set[tuple[str, str]]]:
    """``(source, {(imported name, local name)})`` of one import statement; ``*`` and ``default`` as names."""
    source = statement.field("source")
    bound: set[tuple[str, str]] = set()
    clause = next((child for child in statement.children() if child.kind() == "import_clause"), None)
    for part in clause.children() if clause is not None else []:
        match part.kind():
            case "identifier":
                bound.add(("default", part.text()))
            case "namespace_import":
                bound |= {("*", child.text()) for child in part.children() if child.kind() == "identifier"}
            case "named_imports":
                for item in members(part):
                    name, alias = item.field("name"), item.field("alias")
                    if name is not None:
                        bound.add((name.text(), alias.text() if alias is not None else name.text()))
    return unquoted(source.text()) if source is not None else "", bound


def add_import(document: Document, text: str) -> list[Edit]:
    """One import statement after the last one of the file; nothing where all its names are imported so already.

    Raises ``Conflict`` where a name is bound by another import, ``NoPlace`` where ``text`` is not one import statement.
    """
    statement = text.strip()
    parsed = Document(document.path, statement, document.language)
    given = members(parsed.root)
    if len(given) != 1 or given[0].kind() != "import_statement" or parsed.syntax_errors:
        raise NoPlace(f"add_import is not exactly one import statement: {statement}")
    source, wanted = _bindings(given[0])
    statements = [node for node in document.root.children() if node.kind() == "import_statement"]
    there: dict[str, tuple[str, str]] = {}
    sources: set[str] = set()
    for node in statements:
        origin, bound = _bindings(node)
        sources.add(origin)
        there |= {local: (imported, origin) for imported, local in bound}
    clashes = [
        f"{local} is imported from '{there[local][1]}' as {there[local][0]}"
        for imported, local in sorted(wanted)
        if local in there and there[local] != (imported, source)
    ]
    if clashes:
        raise Conflict("; ".join(clashes))
    have = [local for _, local in wanted if local in there]
    if (wanted and len(have) == len(wanted)) or (not wanted and source in sources):
        return []
    if have:
        raise Conflict(f"{', '.join(sorted(have))} from '{source}' is imported already, the rest of the statement is not")
    if statements:
        last = place_of(statements[-1])
        end = document.line_end(last.end)
        at = end if _REST_OF_CODE_LINE.fullmatch(document.text[last.end : end]) else last.end
        return [Edit(at, at, f"\n{statement}")]
    first = next((n for n in document.root.children() if n.kind() not in ("comment", "hash_bang_line")), None)
    at = document.line_start(place_of(first).start) if first is not None else len(document.text)
    return [Edit(at, at, f"{statement}\n\n")]


# --- arrays and objects ---------------------------------------------------------------------------------------------


def _container(place: Place, kinds: tuple[str, ...], wanted: str) -> SgNode:
    if place.node is None:
        raise NoPlace(f"what was found is text, expected {wanted}")
    node = bare(place.node)
    if node.kind() == "pair":
        value = node.field("value")
        node = bare(value) if value is not None else node
    if node.kind() == "variable_declarator":
        value = node.field("value")
        node = bare(value) if value is not None else node
    if node.kind() not in kinds:
        raise NoPlace(f"what was found is of kind {node.kind()}, expected {wanted}")
    return node


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _add_to_array(document: Document, place: Place, value: Any) -> list[Edit]:
    node = _container(place, ("array",), "an array")
    if document.language == "json":
        if any(_same_json(item.text(), value) for item in members(node)):
            return []
        return _add_member(document, node, lambda indent: _json(value, indent, _unit(document)))
    code = cast(str, value).strip().rstrip(",")
    if any(_squeezed(item.text()) == _squeezed(code) for item in members(node)):
        return []
    return _add_member(document, node, lambda indent: _hanging(code, indent))


def _add_to_object(document: Document, place: Place, value: str | dict[str, Any]) -> list[Edit]:
    node = _container(place, ("object",), "an object")
    keys = {key: item for item in members(node) if (key := key_of(item)) is not None}
    if isinstance(value, dict):
        return _add_json_members(document, node, keys, value)
    code = value.strip().rstrip(",")
    parsed = Document(document.path, f"({{{code}}})", document.language)
    given = members(bare(members(members(parsed.root)[0])[0])) if not parsed.syntax_errors else []
    if not given:
        raise NoPlace(f"add_to_object is no member of an object: {code}")
    missing = False
    for item in given:
        key = key_of(item)
        if key is None:
            if not any(_squeezed(item.text()) == _squeezed(other.text()) for other in members(node)):
                missing = True
        elif key not in keys:
            missing = True
        elif _squeezed(keys[key].text()) != _squeezed(item.text()):
            raise Conflict(f"key {key} is there with another value: {' '.join(keys[key].text().split())[:80]}")
    return _add_member(document, node, lambda indent: _hanging(code, indent)) if missing else []


def _add_member(document: Document, node: SgNode, render: Callable[[str], str]) -> list[Edit]:
    """A new last member of an array or object, in the layout of those that are there."""
    text = document.text
    items = members(node)
    span = place_of(node)
    if not items:
        inner = f"{document.indent_at(span.start)}{_unit(document)}"
        if document.language == "json":
            close = f"\n{document.indent_at(span.start)}" if text[span.start + 1 : span.end - 1].strip() == "" else ""
            return [Edit(span.start + 1, span.end - 1 if close else span.start + 1, f"\n{inner}{render(inner)}{close}")]
        pad = " " if node.kind() == "object" and text[span.start + 1 : span.end - 1].strip() == "" else ""
        return [Edit(span.start + 1, span.end - 1 if pad else span.start + 1, f"{pad}{render(inner)}{pad}")]
    last = place_of(items[-1])
    comma = next(
        (place_of(child) for child in node.children() if child.kind() == "," and child.range().start.index >= last.end),
        None,
    )
    own_line = text[document.line_start(last.start) : last.start].strip() == ""
    if not own_line:
        indent = document.indent_at(last.start)
        at = comma.end if comma else last.end
        return [Edit(at, at, f" {render(indent)}," if comma else f", {render(indent)}")]
    indent = document.indent_at(last.start)
    tail = comma.end if comma else last.end
    line_end = document.line_end(tail)
    at = line_end if line_end < span.end and _COMMENT_LEFT.fullmatch(text[tail:line_end]) else tail
    if comma:
        return [Edit(at, at, f"\n{indent}{render(indent)},")]
    if at == last.end:
        return [Edit(at, at, f",\n{indent}{render(indent)}")]
    return [Edit(last.end, last.end, ","), Edit(at, at, f"\n{indent}{render(indent)}")]


# --- JSON -----------------------------------------------------------------------------------------------------------


def _same_json(text: str, value: Any) -> bool:
    try:
        there = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return json.dumps(there, sort_keys=True) == json.dumps(value, sort_keys=True)


def _unit(document: Document) -> str:
    """One step of indentation, as the file itself has it."""
    for _, _, line in document.lines():
        if line[:1] == "\t":
            return "\t"
        depth = len(line) - len(line.lstrip(" "))
        if depth and line.strip():
            return " " * depth
    return "  "


def _json(value: Any, indent: str, unit: str) -> str:
    return json.dumps(value, indent=unit, ensure_ascii=False).replace("\n", f"\n{indent}")


def _pair(key: str, value: Any, indent: str, unit: str) -> str:
    return f"{json.dumps(key, ensure_ascii=False)}: {_json(value, indent, unit)}"


def _add_json_members(document: Document, node: SgNode, keys: dict[str, SgNode], wanted: dict[str, Any]) -> list[Edit]:
    missing: dict[str, Any] = {}
    for key, value in wanted.items():
        there = keys.get(key)
        if there is None:
            missing[key] = value
            continue
        current = there.field("value")
        if current is None or not _same_json(current.text(), value):
            shown = current.text() if current is not None else "nothing"
            raise Conflict(f"key {key} is there with {shown}; the rule wants {json.dumps(value)}")
    names = list(keys)
    sorted_already = len(names) > 1 and names == sorted(names)
    at_end: list[str] = []
    edits: dict[int, str] = {}
    for key in sorted(missing) if sorted_already else missing:
        after = next((item for name, item in keys.items() if name > key), None) if sorted_already else None
        if after is None:
            at_end.append(key)
            continue
        start = place_of(after).start
        indent = document.indent_at(start)
        own_line = document.text[document.line_start(start) : start].strip() == ""
        pair = _pair(key, missing[key], indent, _unit(document))
        edits[start] = edits.get(start, "") + pair + (f",\n{indent}" if own_line else ", ")
    result = [Edit(start, start, text) for start, text in edits.items()]
    if at_end:

        def render(indent: str) -> str:
            pairs = (f"{json.dumps(k, ensure_ascii=False)}: {_json(missing[k], indent, _unit(document))}" for k in at_end)
            return f",\n{indent}".join(pairs)

        result += _add_member(document, node, render)
    return result


# --- the syntax guard -----------------------------------------------------------------------------------------------

_DOCKER_WORDS = frozenset(
    {
        *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER"),
        *("ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
    }
)


def new_breakage(before: Document, after: Document) -> str | None:
    """What an edit broke: one more syntax error, JSON, Dockerfile or lock that no longer reads; ``None`` if nothing."""
    if after.has_syntax and len(after.syntax_errors) > len(before.syntax_errors):
        offset, what = after.syntax_errors[0]
        known = {what for _, what in before.syntax_errors}
        offset, what = next((item for item in after.syntax_errors if item[1] not in known), (offset, what))
        return f"line {after.line_of(offset)} {what}"
    if after.language == "json" and _reads(before.text) and not _reads(after.text):
        return "the file is no JSON any more"
    if after.language == "dockerfile":
        unknown = [item for item in _words(after) if item not in _DOCKER_WORDS]
        if len(unknown) > sum(item not in _DOCKER_WORDS for item in _words(before)):
            return f"unknown instruction {unknown[0]}"
    if after.language == "yarn-lock":
        try:
            entries(after.text)
        except NoPlace as error:
            return str(error)
    return None


def _words(document: Document) -> list[str]:
    return [item.name for stage in stages(document) for item in stage.instructions]


def _reads(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
