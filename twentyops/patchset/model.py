"""The shape of a rule file, checked before anything is read from the source. Published as ``rules.schema.json``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    StringConstraints,
    Tag,
    ValidationError,
    model_validator,
)

from twentyops.patchset.document import PLAIN, SCRIPT_LANGUAGES, language_of
from twentyops.patchset.errors import RulesError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _relative(path: str) -> str:
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or str(pure) != path or "\\" in path or path == ".":
        raise ValueError("must be a plain relative path below the source tree, without '..'")
    if {".git", "node_modules"} & set(pure.parts):
        raise ValueError("must not lie in .git or node_modules: those are not copied")
    return path


def _regex(source: str) -> str:
    try:
        re.compile(source)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from error
    return source


TreePath = Annotated[str, AfterValidator(_relative)]
Regex = Annotated[str, StringConstraints(min_length=1), AfterValidator(_regex)]
Text = Annotated[str, StringConstraints(min_length=1)]
Pick = Literal["first", "last"]


class PatternFind(_Strict):
    """ast-grep pattern: code with ``$NAME`` for one node, ``$$$NAME`` for several. Any language with a syntax tree."""

    pattern: Text = Field(description="Code as it stands upstream; $NAME captures a node, $$$NAME a list of nodes.")
    context: Text | None = Field(None, description="Larger code that makes the pattern parse; needs selector.")
    selector: Text | None = Field(None, description="Kind of the node inside context that is meant.")
    strictness: Literal["cst", "smart", "ast", "relaxed", "signature"] | None = None


class RuleFind(_Strict):
    """Full ast-grep rule object (``kind``, ``has``, ``inside``, ``any``, ...) for what a pattern cannot say."""

    rule: dict[str, JsonValue] = Field(min_length=1)
    constraints: dict[str, dict[str, JsonValue]] | None = None
    utils: dict[str, dict[str, JsonValue]] | None = None


class DecoratorFind(_Strict):
    """The object given to a decorator (``@Module({...})``), or the value of one of its keys."""

    decorator: Text = Field(description="Name of the decorator without @.")
    key: Text | None = Field(None, description="Key in the decorator's object; its value is what is found.")
    on: Text | None = Field(None, description="Name of the decorated class, where a file has several.")


class KeyFind(_Strict):
    """Value in a JSON file by its path of keys."""

    key: Text | Annotated[list[str | int], Field(min_length=1)] = Field(
        description="One key, or the path of keys and list positions from the top."
    )


class InstructionFind(_Strict):
    """Dockerfile instruction, in one stage or in all of them."""

    instruction: Annotated[str, StringConstraints(pattern=r"^[A-Z]+$")] = Field(description="COPY, RUN, ... in capitals.")
    value: Text | None = Field(None, description="The whole value; white space counts as one blank.")
    matches: Regex | None = Field(None, description="Regular expression found anywhere in the value.")
    stage: Text | None = Field(None, description="Name of the stage (AS name), or 'final' for the last one.")
    pick: Pick | None = Field(None, description="Takes the first or last of several.")


class StageFind(_Strict):
    """A whole Dockerfile stage, FROM included."""

    stage: Text = Field(description="Name of the stage (AS name), or 'final' for the last one.")


class LineFind(_Strict):
    """One whole line, leading white space included."""

    line: Text
    pick: Pick | None = None


class LineMatchesFind(_Strict):
    """Lines that a regular expression matches from start to end; a group (?P<NAME>...) is a capture, filled in as $NAME."""

    line_matches: Regex
    pick: Pick | None = None


class TextFind(_Strict):
    """Exact text, over several lines if need be: the last resort."""

    text: Text


class WorkspaceFind(_Strict):
    """Block of a workspace in yarn.lock, by the name in its package.json."""

    workspace: Text


_FIND_TAGS = (
    "pattern",
    "rule",
    "decorator",
    "key",
    "instruction",
    "stage",
    "line_matches",
    "line",
    "text",
    "workspace",
)


def _find_tag(value: Any) -> str | None:
    keys: set[str] = set(value) if isinstance(value, dict) else value.model_fields_set if isinstance(value, BaseModel) else set()
    return next((tag for tag in _FIND_TAGS if tag in keys), None)


Find = Annotated[
    Annotated[PatternFind, Tag("pattern")]
    | Annotated[RuleFind, Tag("rule")]
    | Annotated[DecoratorFind, Tag("decorator")]
    | Annotated[KeyFind, Tag("key")]
    | Annotated[InstructionFind, Tag("instruction")]
    | Annotated[StageFind, Tag("stage")]
    | Annotated[LineFind, Tag("line")]
    | Annotated[LineMatchesFind, Tag("line_matches")]
    | Annotated[TextFind, Tag("text")]
    | Annotated[WorkspaceFind, Tag("workspace")],
    Discriminator(
        _find_tag,
        custom_error_type="find_kind",
        custom_error_message="must say what to look for by one of: " + ", ".join(_FIND_TAGS),
    ),
]


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) or value is None else [value]


Finds = Annotated[list[Find], BeforeValidator(_listed), Field(min_length=1)]

ACTIONS = (
    "replace",
    "wrap",
    "insert_before",
    "insert_after",
    "add_import",
    "add_to_array",
    "add_to_object",
    "append",
    "lock",
)
_FREE_STANDING = ("add_import", "append")


class Lock(_Strict):
    """Dependencies of a workspace and the lock entries that they may need, in yarn's own text.

    Only entries that the tree's lock lacks are added: a descriptor that some entry already answers is left alone, and
    one whose resolution is there already joins that entry's key, as yarn itself would write it.
    """

    dependencies: dict[Text, Text] = Field(min_length=1, description='{name: "npm:range"} as in the workspace block.')
    entries: str = Field(description="yarn.lock entries to draw from, as yarn wrote them.")


class Rule(_Strict):
    """One edit of one upstream file: why, where, what, how often, and how to see that it is there."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
    why: Annotated[str, StringConstraints(min_length=12, strip_whitespace=True)] = Field(
        description="The reason, for whoever lifts the patchset to a new upstream version."
    )
    find: Finds | None = Field(None, description="What to look for; of several alternatives the first one with any match counts.")
    count: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="How many matches are expected: exactly that many.")
    present: Finds | None = Field(
        None, description="Found means: this rule is applied already. Only where the automatic check does not do."
    )
    replace: str | dict[str, JsonValue] | list[JsonValue] | int | float | bool | None = Field(
        None, description="New text for the match; {match} and captures are filled in. JSON: the new value."
    )
    wrap: Text | None = Field(None, description="Text around the match, which stands where {match} is.")
    insert_before: Text | None = None
    insert_after: Text | None = None
    add_import: Text | None = Field(None, description="One import statement, put after the last import of the file.")
    add_to_array: JsonValue = Field(None, description="New last element: code, or a JSON value in JSON files.")
    add_to_object: str | dict[str, JsonValue] | None = Field(
        None,
        description="New member(s): code, or a mapping in JSON files (kept sorted where it is sorted).",
    )
    append: Text | None = Field(None, description="At the end of the match (a stage), or of the file without find.")
    lock: Lock | None = None

    @property
    def action(self) -> str:
        """Name of the one action of this rule."""
        return next(name for name in ACTIONS if name in self.model_fields_set)

    @model_validator(mode="after")
    def _one_action(self) -> Rule:
        given = [name for name in ACTIONS if name in self.model_fields_set]
        if len(given) != 1:
            raise ValueError(f"needs exactly one action of {', '.join(ACTIONS)}; has {', '.join(given) or 'none'}")
        action = given[0]
        if getattr(self, action) is None:
            raise ValueError(f"{action} is empty")
        if self.find is None and action not in _FREE_STANDING:
            raise ValueError(f"find is missing: {action} needs a place")
        if action == "add_import" and self.find is not None:
            raise ValueError("add_import takes no find: imports go after the last import of the file")
        if action == "wrap" and cast(str, self.wrap).count("{match}") != 1:
            raise ValueError("wrap needs {match} exactly once")
        if action == "wrap" and not cast(str, self.wrap).replace("{match}", "").strip():
            raise ValueError("wrap puts nothing around {match}")
        if action == "replace" and isinstance(self.replace, str) and not self.replace.strip() and self.present is None:
            raise ValueError("replace by nothing leaves no trace: say by 'present' how its being applied is recognised")
        return self


_ALLOWED_FINDS: dict[str, tuple[type[_Strict], ...]] = {
    "dockerfile": (InstructionFind, StageFind, LineFind, LineMatchesFind, TextFind),
    "yarn-lock": (WorkspaceFind, LineFind, LineMatchesFind, TextFind),
    "text": (LineFind, LineMatchesFind, TextFind),
    "json": (KeyFind, PatternFind, RuleFind, LineFind, LineMatchesFind, TextFind),
}
_SYNTAX_FINDS = (PatternFind, RuleFind, LineFind, LineMatchesFind, TextFind)


def find_name(find: BaseModel) -> str:
    """The key that names the kind of a find: ``pattern``, ``instruction`` and so on."""
    return _find_tag(find) or type(find).__name__


class RuleFile(_Strict):
    """All edits of one upstream file, in the order in which they are made."""

    file: TreePath = Field(description="Path in the upstream tree.")
    also_at: list[TreePath] = Field(
        default_factory=list, description="Other paths of the same file in other upstream versions, tried in order."
    )
    language: (
        Literal["typescript", "tsx", "javascript", "json", "bash", "css", "html", "dockerfile", "yarn-lock", "text"] | None
    ) = Field(None, description="Only where the name of the file does not tell.")
    rules: list[Rule] = Field(min_length=1)

    @property
    def effective_language(self) -> str:
        """Language given, or told from the name of the file."""
        return self.language or language_of(self.file)

    @model_validator(mode="after")
    def _fits_language(self) -> RuleFile:
        language = self.effective_language
        allowed = _ALLOWED_FINDS.get(language, _SYNTAX_FINDS)
        if language in SCRIPT_LANGUAGES:
            allowed = (*allowed, DecoratorFind)
        for rule in self.rules:
            for find in [*(rule.find or []), *(rule.present or [])]:
                if not isinstance(find, allowed):
                    raise ValueError(f"rule {rule.id}: find by {find_name(find)} is not for {language} files")
            action = rule.action
            if action == "add_import" and language not in SCRIPT_LANGUAGES:
                raise ValueError(f"rule {rule.id}: add_import is not for {language} files")
            if action in ("add_to_array", "add_to_object") and language in PLAIN:
                raise ValueError(f"rule {rule.id}: {action} is not for {language} files")
            if action in ("add_to_array", "add_to_object") and language != "json":
                value = getattr(rule, action)
                if not isinstance(value, str) or not value.strip():
                    raise ValueError(f"rule {rule.id}: {action} takes code as text in {language} files")
            if action == "add_to_object" and language == "json" and not isinstance(rule.add_to_object, dict):
                raise ValueError(f"rule {rule.id}: add_to_object takes a mapping in JSON files")
            if action == "replace" and language != "json" and not isinstance(rule.replace, str):
                raise ValueError(f"rule {rule.id}: replace takes text in {language} files")
            if action == "lock" and (
                language != "yarn-lock" or not all(isinstance(find, WorkspaceFind) for find in rule.find or [])
            ):
                raise ValueError(f"rule {rule.id}: lock needs a yarn.lock and a find by workspace")
            if action not in ("lock", "insert_before", "insert_after") and any(
                isinstance(find, WorkspaceFind) for find in rule.find or []
            ):
                raise ValueError(f"rule {rule.id}: a find by workspace goes with lock")
        return self


class _Loader(yaml.SafeLoader):
    """Plain data only, and a key given twice is an error instead of a silent loss."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str | int | float | bool | None) and key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _problems(name: str, data: Any, error: ValidationError) -> Iterator[str]:
    """One line a problem: YAML file, rule by id (or position), key, what is wrong."""
    for item in error.errors(include_url=False, include_input=False):
        where = [str(part) for at, part in enumerate(item["loc"]) if not _is_tag(item["loc"], at)]
        rule = ""
        if len(item["loc"]) > 1 and item["loc"][0] == "rules" and isinstance(item["loc"][1], int):
            raw = data["rules"][item["loc"][1]]
            label = raw.get("id") if isinstance(raw, dict) else None
            rule = f"rule {label if isinstance(label, str) else '#' + str(item['loc'][1] + 1)}: "
            where = where[2:]
        key = ".".join(where)
        message = item["msg"].removeprefix("Value error, ")
        yield f"{name}: {rule}{key + ': ' if key else ''}{message}"


def _is_tag(loc: tuple[str | int, ...], at: int) -> bool:
    """pydantic names the chosen kind of find after its position in the list: rules, 0, find, 0, <kind>, <key>."""
    return at >= 2 and isinstance(loc[at - 1], int) and loc[at - 2] in ("find", "present")


def parse_rule_file(name: str, text: str) -> RuleFile:
    """One rule file from YAML text. Raises ``RulesError`` that names file, rule id and key of every problem."""
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise RulesError([f"{name}: not readable as YAML: {' '.join(str(error).split())}"]) from error
    try:
        return RuleFile.model_validate(data)
    except ValidationError as error:
        raise RulesError(list(_problems(name, data, error))) from error


def load_rules(directory: Path) -> list[RuleFile]:
    """All ``*.yaml`` of a directory, sorted by the upstream file. Raises ``RulesError`` with every problem at once.

    Rule ids are unique over the whole patchset, and an upstream file has exactly one rule file.
    """
    problems: list[str] = []
    files: dict[str, tuple[str, RuleFile]] = {}
    ids: dict[str, str] = {}
    for path in sorted(directory.glob("*")) if directory.is_dir() else []:
        if path.suffix != ".yaml" or path.is_symlink() or not path.is_file():
            problems.append(f"{path.name}: only plain *.yaml files belong into {directory.name}/")
            continue
        try:
            rule_file = parse_rule_file(path.name, path.read_text("utf-8"))
        except RulesError as error:
            problems += error.problems
            continue
        except UnicodeDecodeError as error:
            problems.append(f"{path.name}: is not UTF-8 text ({error.reason})")
            continue
        if rule_file.file in files:
            problems.append(f"{path.name}: file: {rule_file.file} has its rules in {files[rule_file.file][0]} already")
        files[rule_file.file] = (path.name, rule_file)
        for rule in rule_file.rules:
            if rule.id in ids:
                problems.append(f"{path.name}: rule {rule.id}: id: is used in {ids[rule.id]} already")
            ids[rule.id] = path.name
    if problems:
        raise RulesError(problems)
    return [rule_file for _, (_, rule_file) in sorted(files.items())]


def json_schema() -> dict[str, Any]:
    """JSON Schema of a rule file, for editors: what ``files/twenty/rules.schema.json`` holds."""
    schema = RuleFile.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Rules: edits of one upstream file"
    return schema
