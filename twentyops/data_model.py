"""The custom data model: its schema, everything that can be known to be wrong without a server, and what the image carries.

``python -m twentyops.data_model`` checks ``files/data-model.yaml``; ``--write`` also writes the files made from it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from twentyops.errors import Problem, Refused

FILES = Path(__file__).resolve().parent.parent / "files"
MODEL = FILES / "data-model.yaml"
SCHEMA = FILES / "data-model.schema.json"
OVERLAY = FILES / "twenty/overlay/packages"
BAKED = OVERLAY / "twenty-server/scripts/twentyops-data-model.json"
"""Read by ``migrate-schema.ts`` in the image; lies in the overlay, so the content hash covers it."""
HOME = OVERLAY / "twenty-front/src/modules/navigation/constants/HomeObjectNameSingular.ts"
"""Where the page lands, compiled into it."""

MAX_NAME = 63
"""Bytes of an identifier in Postgres, and Twenty's own limit for names and labels."""

# Twenty's reserved words (validate-metadata-name-is-not-reserved-keyword), held to a real tree by tests/unit/test_data_model.py
_CORE = [
    "approvedAccessDomain",
    "appToken",
    "billingCustomer",
    "billingEntitlement",
    "billingMeter",
    "billingProduct",
    "billingSubscription",
    "billingSubscriptionItem",
    "featureFlag",
    "job",
    "keyValuePair",
    "pageLayout",
    "pageLayoutTab",
    "pageLayoutWidget",
    "postgresCredential",
    "twoFactorMethod",
    "user",
    "userWorkspace",
    "workspace",
    "role",
    "userWorkspaceRole",
    "plan",
    "event",
    "field",
    "link",
    "type",
    "object",
    "relation",
]
RESERVED = frozenset(
    {*_CORE, *(f"{name}s" for name in _CORE), "currency", "currencies", "fullNames", "address", "addresses", "index", "aggregate"}
)
CONNECTION_NAMES = frozenset({"edges", "pageInfo", "__typename"})
"""A selection with one of these is taken for a GraphQL connection by client and server: every page breaks (observed)."""

_ACTOR = tuple(f"createdBy{part}" for part in ("Source", "Name", "WorkspaceMemberId", "Context"))
_EVERY = ("id", "createdAt", "updatedAt", "deletedAt", "createdBy", "position", "searchVector", *_ACTOR)
_LISTS = ("favorites", "timelineActivities", "attachments")
_TARGETS = ("noteTargets", "taskTargets")
BUILT_IN: dict[str, frozenset[str]] = {
    "person": frozenset(
        [
            "name",
            "nameFirstName",
            "nameLastName",
            "emails",
            "emailsPrimaryEmail",
            "emailsAdditionalEmails",
            "phones",
            "phonesPrimaryPhoneNumber",
            "phonesPrimaryPhoneCountryCode",
            "phonesPrimaryPhoneCallingCode",
            "phonesAdditionalPhones",
            "linkedinLink",
            "linkedinLinkPrimaryLinkLabel",
            "linkedinLinkPrimaryLinkUrl",
            "linkedinLinkSecondaryLinks",
            "xLink",
            "xLinkPrimaryLinkLabel",
            "xLinkPrimaryLinkUrl",
            "xLinkSecondaryLinks",
            "jobTitle",
            "phone",
            "city",
            "avatarUrl",
            "company",
            "companyId",
            "pointOfContactForOpportunities",
            "messageParticipants",
            "calendarEventParticipants",
        ]
    ).union(_EVERY, _LISTS, _TARGETS),
    "opportunity": frozenset(
        [
            "name",
            "amount",
            "amountAmountMicros",
            "amountCurrencyCode",
            "closeDate",
            "stage",
            "pointOfContact",
            "pointOfContactId",
            "company",
            "companyId",
            "probability",
        ]
    ).union(_EVERY, _LISTS, _TARGETS),
    "workflow": frozenset(
        ["name", "lastPublishedVersionId", "statuses", "versions", "runs", "eventListeners", "automatedTriggers"]
    ).union(_EVERY, _LISTS),
}
"""Standard objects that can be extended or pointed at, with the names that are taken there: fields and their columns."""
BUILT_IN_CUSTOM = frozenset({"name"}).union(_EVERY, _LISTS, _TARGETS)
COLUMNS_OF_EVERY = frozenset({"createdAt", "updatedAt", "createdBy"})
COLUMNS: dict[str, frozenset[str]] = {
    "person": COLUMNS_OF_EVERY | {"emails", "phones", "company", "jobTitle", "city", "linkedinLink", "xLink"},
    "opportunity": COLUMNS_OF_EVERY | {"amount", "closeDate", "stage", "pointOfContact", "company"},
    "workflow": COLUMNS_OF_EVERY | {"statuses"},
}
"""Twenty's own fields that a first view may show as a column: those of every custom object, and of the standard ones."""
UNSORTED = ("RAW_JSON", "MULTI_SELECT", "UUID")
HOMES = ("company", "opportunity", "person", "task", "note")
STANDARD_OBJECTS = frozenset(
    [
        "attachment",
        "blocklist",
        "calendarChannel",
        "calendarChannelEventAssociation",
        "calendarEvent",
        "calendarEventParticipant",
        "company",
        "connectedAccount",
        "dashboard",
        "favorite",
        "favoriteFolder",
        "message",
        "messageChannel",
        "messageChannelMessageAssociation",
        "messageFolder",
        "messageParticipant",
        "messageThread",
        "note",
        "noteTarget",
        "opportunity",
        "person",
        "task",
        "taskTarget",
        "timelineActivity",
        "workflow",
        "workflowAutomatedTrigger",
        "workflowRun",
        "workflowVersion",
        "workspaceMember",
        "companies",
        "people",
        "opportunities",
        "notes",
        "tasks",
        "workflows",
        "attachments",
        "favorites",
        "dashboards",
        "workspaceMembers",
    ]
)

Colour = Literal["green", "turquoise", "sky", "blue", "purple", "pink", "red", "orange", "yellow", "gray"]
FieldType = Literal["TEXT", "NUMBER", "BOOLEAN", "DATE_TIME", "DATE", "RAW_JSON", "SELECT", "MULTI_SELECT", "UUID"]
WITH_OPTIONS = ("SELECT", "MULTI_SELECT")


def _plain_text(value: Any) -> Any:
    if isinstance(value, str) and value != re.sub(r"\s+", " ", value).strip():
        raise ValueError("has blanks at an end or several in a row, which Twenty would take away")
    return value


Label = Annotated[str, BeforeValidator(_plain_text), Field(min_length=1, max_length=MAX_NAME)]
Icon = Annotated[str, Field(pattern=r"^Icon[A-Z0-9][A-Za-z0-9]*$", description="A Tabler icon, such as IconPhone.")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Option(_Strict):
    """One choice of a SELECT or MULTI_SELECT; the value is what records hold."""

    value: str = Field(description="UPPER_SNAKE_CASE.")
    label: Label
    color: Colour


class FieldModel(_Strict):
    """One field of an object, in the model's words; what is sent to Twenty is worked out in the image."""

    name: str = Field(description="camelCase; the column's name.")
    type: FieldType
    label: Label
    description: str | None = Field(None, min_length=1)
    icon: Icon | None = None
    builtIn: bool = Field(False, description="The field `name` that every custom object is born with; only relabelled.")
    required: bool = False
    unique: bool = False
    decimals: int | None = Field(None, ge=0, le=10, description="NUMBER only. 0: a whole number.")
    default: bool | int | float | str | list[str] | None = Field(None, description="The plain value, without quotes of its own.")
    options: list[Option] | None = Field(None, description="SELECT and MULTI_SELECT only, in the order shown.")


class Sort(_Strict):
    """What the rows of a view are ordered by."""

    field: str
    direction: Literal["ascending", "descending"]


class FirstView(_Strict):
    """What a person sees of an object on the first day; written when the object, or our fields on it, are made, and never again."""

    columns: list[str] = Field(min_length=1, description="Fields and relations in the order shown, after the record's own name.")
    sort: Sort | None = None
    board: str | None = Field(None, description="A SELECT field: a board is added, with a column for each of its options.")


class ObjectModel(_Strict):
    """An object of our own with its fields."""

    nameSingular: str
    namePlural: str
    labelSingular: Label
    labelPlural: Label
    icon: Icon
    description: str = Field(min_length=1)
    firstView: FirstView | None = None
    fields: list[FieldModel] = Field(min_length=1)


class Extension(_Strict):
    """Fields of ours on one of Twenty's own objects."""

    object: Literal["person", "opportunity", "workflow"]
    firstView: FirstView | None = None
    fields: list[FieldModel] = Field(min_length=1)


class Inverse(_Strict):
    """The list on the other side of a relation. Twenty makes its name from its label."""

    name: str
    label: Label
    icon: Icon


class Relation(_Strict):
    """Many records of ``object`` point at one of ``target``; the column is ``<name>Id``."""

    object: str
    name: str
    label: Label
    icon: Icon
    target: str
    inverse: Inverse


class DataModel(_Strict):
    """The whole file ``files/data-model.yaml``."""

    version: Literal[1]
    home: str = Field(description="nameSingular of the object whose list a person lands on.")
    objects: list[ObjectModel]
    extends: list[Extension] = Field(default_factory=list)
    relations: list[Relation] = Field(default_factory=list)


def groups(model: DataModel) -> list[tuple[str, ObjectModel | Extension]]:
    """``(name of the object, what is declared of it)``: our own objects, then those that are extended."""
    return [*((o.nameSingular, o) for o in model.objects), *((e.object, e) for e in model.extends)]


# --- what is wrong with it -------------------------------------------------------------------------------------------------


def camel_case(text: str) -> str:
    """A name as Twenty makes it (lodash): words begin at capitals and digits, everything else separates."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", text)
    return "".join(word.lower() if place == 0 else word.capitalize() for place, word in enumerate(words))


def problems(model: DataModel) -> list[Problem]:
    """Everything that Twenty would refuse or that would do harm; each names object and field."""
    return [Problem(f"data model: {where}", remedy) for where, remedy in _problems(model)]


def _problems(model: DataModel) -> Iterator[tuple[str, str]]:
    yield from _object_problems(model)
    yield from _view_problems(model)
    ours = {o.nameSingular for o in model.objects}
    taken: dict[str, dict[str, str]] = {}
    for o in model.objects:
        taken.setdefault(o.nameSingular, {}).update(dict.fromkeys(BUILT_IN_CUSTOM, "is built into every custom object"))
        taken[o.nameSingular].setdefault(
            f"{o.nameSingular}Id", "is the join column of the relations that are built in and point here"
        )
    for name, fields in BUILT_IN.items():
        taken.setdefault(name, {}).update(dict.fromkeys(fields, f"is built into {name}, as a field or a column"))
        taken[name].setdefault(f"{name}Id", "is the join column of the relations that are built in and point here")

    for name, group, custom in [*((o.nameSingular, o.fields, True) for o in model.objects), *((e.object, e.fields, False) for e in model.extends)]:  # fmt: skip
        for f in group:
            where = f"{name}.{f.name}"
            if f.builtIn:
                yield from _built_in_problems(where, f, custom)
                continue
            yield from _take(taken[name], f.name, where, "is a field that is declared here already")
            yield from _field_problems(where, f, table=name if not custom else f"_{name}", custom=custom)
    for r in model.relations:
        where = f"{r.object}.{r.name}"
        yield from _name_problems(where, r.name)
        yield from _name_problems(f"{r.target}.{r.inverse.name}", r.inverse.name)
        if r.object not in ours | set(BUILT_IN):
            yield where, f"the object {r.object} is neither declared here nor one of {', '.join(sorted(BUILT_IN))}"
        else:
            yield from _take(taken[r.object], r.name, where, "is a relation that is declared here already")
            yield from _take(taken[r.object], f"{r.name}Id", where, f"is the column of the relation {where}")
            yield from _length_problems(where, f"{r.name}Id", "column")
        if r.target not in ours | set(BUILT_IN):
            yield where, f"its target {r.target} is neither declared here nor one of {', '.join(sorted(BUILT_IN))}"
        else:
            yield from _take(taken[r.target], r.inverse.name, f"{r.target}.{r.inverse.name}", f"is the other side of {where}")
        if camel_case(r.inverse.label) != r.inverse.name:
            yield (
                f"{r.target}.{r.inverse.name}",
                f"Twenty would call it {camel_case(r.inverse.label)}, after its label {r.inverse.label!r}: make them agree",
            )


def _view_problems(model: DataModel) -> Iterator[tuple[str, str]]:
    homes = sorted({*(o.nameSingular for o in model.objects), *HOMES})
    if model.home not in homes:
        yield "home", f"{model.home} is no object that has a list of its own; one of {', '.join(homes)}"
    for name, group in groups(model):
        built_in = COLUMNS.get(name, COLUMNS_OF_EVERY)
        if group.firstView is None:
            continue
        types = {f.name: str(f.type) for f in group.fields if not f.builtIn}
        relations = {r.name for r in model.relations if r.object == name}
        yield from _first_view_problems(f"{name}.firstView", group.firstView, types, relations, built_in)


def _first_view_problems(
    where: str, view: FirstView, types: dict[str, str], relations: set[str], built_in: frozenset[str]
) -> Iterator[tuple[str, str]]:
    for column in sorted({c for c in view.columns if view.columns.count(c) > 1}):
        yield where, f"the column {column} is there twice"
    for column in view.columns:
        if column == "name":
            yield where, "the column name is always the first: leave it out"
        elif column not in types and column not in relations and column not in built_in:
            yield where, f"no field {column} is declared here, and none of {', '.join(sorted(built_in))} is called so"
    if view.sort is not None:
        if view.sort.field not in view.columns:
            yield where, f"is sorted by {view.sort.field}, which is none of its columns"
        elif view.sort.field in relations or types.get(view.sort.field) in UNSORTED:
            yield where, f"cannot be sorted by {view.sort.field}: Twenty sorts by neither relations nor {', '.join(UNSORTED)}"
    if view.board is not None and types.get(view.board) != "SELECT":
        yield where, f"its board is by {view.board}, which is no SELECT field that is declared here"


def _object_problems(model: DataModel) -> Iterator[tuple[str, str]]:
    seen: dict[str, str] = dict.fromkeys(STANDARD_OBJECTS, "is one of Twenty's own objects; use extends")
    labels: dict[str, str] = {}
    for o in model.objects:
        for key in ("nameSingular", "namePlural"):
            name = getattr(o, key)
            where = o.nameSingular if key == "nameSingular" else f"{o.nameSingular} ({key} {name})"
            yield from _name_problems(where, name)
            yield from _length_problems(where, f"_{name}", "table")
            yield from _take(
                seen, name, where, "is the name of an object that is declared here already (singular and plural share one space)"
            )
        for key in ("labelSingular", "labelPlural"):
            label = getattr(o, key)
            if label[0] != label[0].upper():
                yield (
                    f"{o.nameSingular} ({key})",
                    f"{label!r} would be written {label[0].upper() + label[1:]!r} by Twenty: write it so",
                )
        if o.labelSingular.lower() == o.labelPlural.lower():
            yield o.nameSingular, f"singular and plural label are both {o.labelSingular!r}; Twenty wants two"
        if o.labelSingular in labels:
            yield o.nameSingular, f"has the label {o.labelSingular!r} of {labels[o.labelSingular]}; nobody could tell them apart"
        labels.setdefault(o.labelSingular, o.nameSingular)
        if len([f for f in o.fields if f.builtIn]) > 1:
            yield o.nameSingular, "declares the built-in field `name` twice"
    doubled = [e.object for e in model.extends]
    for name in sorted({n for n in doubled if doubled.count(n) > 1}):
        yield name, "is extended in two places: put its fields together"


def _take(taken: dict[str, str], name: str, where: str, as_what: str) -> Iterator[tuple[str, str]]:
    """Take a name in an object's space of fields and columns; ``as_what`` is said to whoever wants it next."""
    if name in taken:
        yield where, f"the name {name} {taken[name]}; choose another"
    else:
        taken[name] = as_what


def _name_problems(where: str, name: str) -> Iterator[tuple[str, str]]:
    if not re.fullmatch(r"[a-z][a-zA-Z0-9]*", name) or camel_case(name) != name:
        yield where, f"{name!r} is not in camelCase as Twenty reads it (it would be {camel_case(name)!r})"
    if name in RESERVED:
        yield where, f"{name} is one of Twenty's reserved names; choose another, such as {name}Value"
    if name in CONNECTION_NAMES:
        yield where, f"a field called {name} is taken for a GraphQL connection and breaks every page; choose another"
    yield from _length_problems(where, name, "name")


def _length_problems(where: str, identifier: str, kind: str) -> Iterator[tuple[str, str]]:
    if len(identifier.encode()) > MAX_NAME:
        yield where, f"the {kind} {identifier} has {len(identifier.encode())} characters; Postgres keeps {MAX_NAME}: shorten it"


def _built_in_problems(where: str, f: FieldModel, custom: bool) -> Iterator[tuple[str, str]]:
    if not custom:
        yield where, "builtIn is for the field `name` of our own objects; Twenty's objects keep theirs"
    if f.name != "name" or f.type != "TEXT":
        yield where, "only the TEXT field `name` is built into custom objects as something that can be relabelled"
    if f.required or f.unique or f.default is not None or f.options or f.decimals is not None:
        yield where, "a built-in field can be relabelled (label, icon, description) and nothing else"


SECRETS = re.compile(r"(api_?key|secret|password|private_?key|access_?token|credentials?)$", re.IGNORECASE)


def _field_problems(where: str, f: FieldModel, table: str, custom: bool) -> Iterator[tuple[str, str]]:
    yield from _name_problems(where, f.name)
    if SECRETS.search(f.name) and f.type in ("TEXT", "RAW_JSON"):
        yield (
            where,
            "a secret in a plain column can be read by every member and through the API: keep a reference to it (…Reference)",
        )
    if f.required and not custom:
        yield (
            where,
            "required on one of Twenty's own objects: its rows exist already and are made by the product itself; leave it out",
        )
    elif f.required and f.type != "TEXT" and f.default is None:
        yield (
            where,
            f"required without a default: a {f.type} column that holds rows could not be filled; give a default or leave it out",
        )
    if f.unique:
        if f.type not in ("TEXT", "NUMBER", "UUID"):
            yield where, f"a {f.type} field cannot be unique"
        if f.type == "TEXT" and not custom:
            yield (
                where,
                "unique TEXT on one of Twenty's own objects: the second record without a value would fail as a duplicate; leave it out",
            )
        if f.type == "TEXT" and custom and not f.required:
            yield where, "unique TEXT is never null, so a second record without a value fails: make it required as well"
        if f.default is not None:
            yield where, "a unique field cannot have a default"
    if (f.decimals is not None) != (f.type == "NUMBER"):
        yield (
            where,
            "decimals is for NUMBER" if f.type != "NUMBER" else "NUMBER needs decimals: 0 for a whole number, 2 for money",
        )
    if f.type in WITH_OPTIONS:
        yield from _option_problems(where, f)
        yield from _length_problems(where, f"{table}_{f.name}_enum", "enum type")
    elif f.options is not None:
        yield where, f"options are for SELECT and MULTI_SELECT, not for {f.type}"
    if f.default is not None:
        yield from _default_problems(where, f)


def _option_problems(where: str, f: FieldModel) -> Iterator[tuple[str, str]]:
    if not f.options:
        yield where, "needs at least one option"
    for what in ("value", "label"):
        values = [getattr(option, what) for option in f.options or []]
        for value in sorted({v for v in values if values.count(v) > 1}):
            yield where, f"two options have the {what} {value!r}"
    for option in f.options or []:
        if not re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", option.value):
            yield where, f"the option {option.value!r} is not in UPPER_SNAKE_CASE"
        yield from _length_problems(where, option.value, "option")
        if "," in option.label:
            yield where, f"the label {option.label!r} holds a comma, which Twenty refuses"


def _default_problems(where: str, f: FieldModel) -> Iterator[tuple[str, str]]:
    value = f.default
    wrong = f"its default {value!r} does not fit {f.type}"
    options = [option.value for option in f.options or []]
    if f.type == "BOOLEAN":
        if not isinstance(value, bool):
            yield where, f"{wrong}: true or false"
    elif f.type == "NUMBER":
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield where, f"{wrong}: a number"
        elif not re.fullmatch(r"\d+", str(value)):
            yield where, f"its default {value!r} would lose its sign or point (Twenty keeps digits only): leave the default out"
    elif f.type == "TEXT":
        if not isinstance(value, str):
            yield where, f"{wrong}: a text"
        elif not re.fullmatch(r"[A-Za-z0-9_]+", value):
            yield where, f"its default {value!r} would lose every character but letters, digits and _: leave the default out"
    elif f.type == "SELECT":
        if value not in options:
            yield where, f"{wrong}: one of {', '.join(options)}"
    elif f.type == "MULTI_SELECT":
        if not isinstance(value, list) or not value or len(set(value)) != len(value) or not set(value) <= set(options):
            yield where, f"{wrong}: a list, each once, of {', '.join(options)}"
    else:
        yield where, f"a {f.type} field cannot have a default here: set the value on records"


# --- the file --------------------------------------------------------------------------------------------------------------


def parse(data: Any) -> DataModel:
    """The model from what YAML gave; ``Refused`` with everything that is wrong, in one message."""
    try:
        model = TypeAdapter(DataModel).validate_python(data)
    except ValidationError as error:
        raise Refused("The data model is refused:", [_shape_problem(data, e) for e in error.errors()]) from None
    found = problems(model)
    if found:
        raise Refused("The data model is refused:", found)
    return model


def _shape_problem(data: Any, error: ErrorDetails) -> Problem:
    """A pydantic error with the names of object and field in place of list positions."""
    names: list[str] = []
    here: Any = data
    for step in error["loc"]:
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            names += [] if isinstance(step, int) else [str(step)]
            continue
        if isinstance(step, int) and isinstance(here, dict):
            name = next((here[k] for k in ("nameSingular", "name", "object", "value") if isinstance(here.get(k), str)), None)
            names.append(str(name or f"#{step + 1}"))
        elif step not in ("objects", "fields", "extends", "relations", "options"):
            names.append(str(step))
    reason = "unknown key" if error["type"] == "extra_forbidden" else error["msg"].removeprefix("Value error, ")
    return Problem(f"data model: {'.'.join(names) or 'the file'}", reason[0].lower() + reason[1:])


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, of which plain YAML silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def load(path: Path = MODEL) -> DataModel:
    """The model from a YAML file; ``Refused`` when it cannot be read or is wrong."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  (a SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("The data model is refused:", [Problem(str(path), f"cannot be read: {error}")]) from None
    except yaml.YAMLError as error:
        raise Refused(
            "The data model is refused:", [Problem(str(path), f"is not YAML: {' '.join(str(error).split())}")]
        ) from None
    return parse(data)


def check(path: Path = MODEL) -> list[Problem]:
    """For preflight: what is wrong with the model, and whether the image would carry another one than the file says."""
    try:
        model = load(path)
    except Refused as refusal:
        return refusal.problems
    stale = [file for file, text in made_from(model).items() if not file.is_file() or file.read_text() != text]
    names = ", ".join(str(file.relative_to(FILES.parent)) for file in stale)
    return [Problem(path.name, f"{names} not made from it: python -m twentyops.data_model --write")] if stale else []


def schema_text() -> str:
    """JSON Schema for editors, as it is committed."""
    return json.dumps(DataModel.model_json_schema(), indent=2) + "\n"


def baked_text(model: DataModel) -> str:
    """The model as the image carries it: the same words, checked, each key present where it says something."""
    licence = {"licence": "SPDX-License-Identifier: AGPL-3.0-only"}
    return json.dumps(licence | model.model_dump(exclude_none=True), indent=1, ensure_ascii=False) + "\n"


def home_text(model: DataModel) -> str:
    """The object that the page lands on, as a constant of the front."""
    return f"// SPDX-License-Identifier: AGPL-3.0-only\n\nexport const HOME_OBJECT_NAME_SINGULAR = '{model.home}';\n"


def fingerprint(model: DataModel) -> str:
    """First 12 hex digits of the sha256 of what the image carries; the image names its model by the same."""
    return hashlib.sha256(baked_text(model).encode()).hexdigest()[:12]


def made_from(model: DataModel) -> dict[Path, str]:
    """``{file: text}`` of the committed files that follow from the model and its schema."""
    return {SCHEMA: schema_text(), BAKED: baked_text(model), HOME: home_text(model)}


def counts(model: DataModel) -> dict[str, int]:
    """``objects``, ``object_fields``, ``extended_fields`` and ``relations`` of a model."""

    def total(groups: Iterable[ObjectModel | Extension]) -> int:
        return sum(len(group.fields) for group in groups)

    return {
        "objects": len(model.objects),
        "object_fields": total(model.objects),
        "extended_fields": total(model.extends),
        "relations": len(model.relations),
    }


def main(arguments: list[str] | None = None) -> int:
    """Command line; exit code 1 when the model is refused or the made files are out of date."""
    parser = argparse.ArgumentParser(prog="python -m twentyops.data_model", description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write what follows from the model")
    options = parser.parse_args(arguments)
    try:
        model = load()
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 1
    if options.write:
        for path, text in made_from(model).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for problem in check():
        print(f"{problem.setting}  {problem.remedy}", file=sys.stderr)
        return 1
    print(", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts(model).items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
