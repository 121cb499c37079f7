"""The validator of the data model: every rule refuses what it is for, names object and field, and tells all at once."""

from __future__ import annotations

import contextlib
import copy
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from twentyops import data_model, plan
from twentyops.errors import Problem, Refused

DATA: dict[str, Any] = yaml.safe_load(data_model.MODEL.read_text())


def small() -> dict[str, Any]:
    """A model without fault, to break in one place."""
    return {
        "version": 1,
        "home": "parcel",
        "objects": [
            {
                "nameSingular": "parcel",
                "namePlural": "parcels",
                "labelSingular": "Parcel",
                "labelPlural": "Parcels",
                "icon": "IconBox",
                "description": "What is sent",
                "firstView": {
                    "columns": ["code", "receiver", "weight", "createdAt"],
                    "sort": {"field": "weight", "direction": "descending"},
                    "board": "state",
                },
                "fields": [
                    {"name": "code", "type": "TEXT", "label": "Code", "required": True, "unique": True},
                    {"name": "weight", "type": "NUMBER", "label": "Weight", "decimals": 2},
                    {
                        "name": "state",
                        "type": "SELECT",
                        "label": "State",
                        "default": "NEW",
                        "options": [
                            {"value": "NEW", "label": "New", "color": "sky"},
                            {"value": "SENT", "label": "Sent", "color": "red"},
                        ],
                    },
                ],
            }
        ],
        "extends": [{"object": "opportunity", "fields": [{"name": "parcelCode", "type": "TEXT", "label": "Parcel Code"}]}],
        "relations": [
            {
                "object": "parcel",
                "name": "receiver",
                "label": "Receiver",
                "icon": "IconUser",
                "target": "person",
                "inverse": {"name": "parcels", "label": "Parcels", "icon": "IconBox"},
            }
        ],
    }


def refusals(data: Any) -> str:
    with pytest.raises(Refused) as caught:
        data_model.parse(data)
    return str(caught.value)


def broken(*changes: tuple[str, Any]) -> str:
    """What is said when places such as ``objects.0.fields.1.default`` get other values; ``...`` takes a key away."""
    data = small()
    for path, value in changes:
        here: Any = data
        *steps, last = [int(s) if s.isdigit() else s for s in path.split(".")]
        for step in steps:
            here = here[step]
        if value is ...:
            del here[last]
        elif isinstance(here, list) and last == len(here):
            here.append(value)
        else:
            here[last] = value
    return refusals(data)


def test_the_model_is_without_fault_and_complete() -> None:
    model = data_model.load()
    assert data_model.counts(model) == {"objects": 7, "object_fields": 112, "extended_fields": 25, "relations": 6}
    assert [e.object for e in model.extends] == ["person", "opportunity", "workflow"]


def test_files_made_from_the_model_are_what_is_committed() -> None:
    for path, text in data_model.made_from(data_model.load()).items():
        assert path.read_text() == text, "write them anew: python -m twentyops.data_model --write"


def test_columns_of_twentys_own_are_fields_that_it_has() -> None:
    assert data_model.COLUMNS_OF_EVERY <= data_model.BUILT_IN_CUSTOM
    for name, columns in data_model.COLUMNS.items():
        assert columns <= data_model.BUILT_IN[name], columns - data_model.BUILT_IN[name]


def test_every_object_with_a_status_to_choose_has_a_board() -> None:
    for o in data_model.load().objects:
        assert o.firstView is not None, o.nameSingular
        if any(f.name == "status" and f.type == "SELECT" for f in o.fields):
            assert o.firstView.board == "status", o.nameSingular


def test_small_model_is_accepted() -> None:
    data_model.parse(small())


FIELD = "objects.0.fields.1"
VIEW = "objects.0.firstView"
TEXT = {"type": "TEXT", "decimals": ...}


@pytest.mark.parametrize(
    ("changes", "where", "what"),
    [
        ([("objects.0.nameSingular", "workspace")], "workspace", "reserved"),
        ([("objects.0.nameSingular", "Parcel")], "Parcel", "camelCase"),
        ([("objects.0.nameSingular", "company")], "company", "Twenty's own objects"),
        ([("objects.0.namePlural", "parcel")], "parcel (namePlural parcel)", "declared here already"),
        ([("objects.0.labelPlural", "parcel")], "parcel (labelPlural)", "written 'Parcel'"),
        ([("objects.0.labelPlural", "Parcel")], "parcel", "both 'Parcel'"),
        ([("objects.0.icon", "phone")], "parcel.icon", "match pattern"),
        ([("objects.0.labelSingular", " Parcel")], "parcel.labelSingular", "blanks"),
        ([("objects.0.nameSingular", "p" * 63)], "p" * 63, "Postgres keeps 63"),
        ([("objects.0.nameSingular", "p" * 54)], f"{'p' * 54}.state", "enum type"),
        ([(f"{FIELD}.name", "currency")], "parcel.currency", "reserved"),
        ([(f"{FIELD}.name", "edges")], "parcel.edges", "breaks every page"),
        ([(f"{FIELD}.name", "two_words")], "parcel.two_words", "camelCase"),
        ([(f"{FIELD}.name", "URLSlug")], "parcel.URLSlug", "camelCase"),
        ([(f"{FIELD}.name", "code")], "parcel.code", "declared here already"),
        ([(f"{FIELD}.name", "name")], "parcel.name", "built into every custom object"),
        ([(f"{FIELD}.name", "createdByName")], "parcel.createdByName", "built into every custom object"),
        ([(f"{FIELD}.name", "parcelId")], "parcel.parcelId", "join column"),
        ([(f"{FIELD}.name", "receiverId")], "parcel.receiver", "receiverId is a field"),
        ([(f"{FIELD}.name", "receiver")], "parcel.receiver", "declared here already"),
        ([(f"{FIELD}.name", "w" * 64)], f"parcel.{'w' * 64}", "Postgres keeps 63"),
        ([(f"{FIELD}.type", "CURRENCY")], "parcel.weight.type", "should be"),
        ([(f"{FIELD}.decimals", ...)], "parcel.weight", "NUMBER needs decimals"),
        ([(f"{FIELD}.decimals", 99)], "parcel.weight.decimals", "less than or equal to 10"),
        ([(f"{FIELD}.required", True)], "parcel.weight", "required without a default"),
        ([(f"{FIELD}.default", "1")], "parcel.weight", "does not fit NUMBER"),
        ([(f"{FIELD}.default", True)], "parcel.weight", "does not fit NUMBER"),
        ([(f"{FIELD}.default", -1)], "parcel.weight", "sign or point"),
        ([(f"{FIELD}.default", 1.5)], "parcel.weight", "sign or point"),
        ([(f"{FIELD}.colour", "red")], "parcel.weight.colour", "unknown key"),
        ([(f"{FIELD}.type", "BOOLEAN"), (f"{FIELD}.decimals", ...), (f"{FIELD}.default", 1)], "parcel.weight", "true or false"),
        (
            [(f"{FIELD}.type", "TEXT"), (f"{FIELD}.decimals", ...), (f"{FIELD}.default", "#2563eb")],
            "parcel.weight",
            "lose every character",
        ),
        ([(f"{FIELD}.type", "TEXT"), (f"{FIELD}.decimals", ...), (f"{FIELD}.default", 1)], "parcel.weight", "a text"),
        ([(f"{FIELD}.type", "TEXT"), (f"{FIELD}.decimals", ...), (f"{FIELD}.unique", True)], "parcel.weight", "second record"),
        (
            [(f"{FIELD}.type", "RAW_JSON"), (f"{FIELD}.decimals", ...), (f"{FIELD}.default", ["a"])],
            "parcel.weight",
            "cannot have a default",
        ),
        (
            [(f"{FIELD}.type", "BOOLEAN"), (f"{FIELD}.decimals", ...), (f"{FIELD}.unique", True)],
            "parcel.weight",
            "cannot be unique",
        ),
        ([(f"{FIELD}.type", "TEXT")], "parcel.weight", "decimals is for NUMBER"),
        ([(f"{FIELD}.unique", True), (f"{FIELD}.default", 1)], "parcel.weight", "cannot have a default"),
        ([(f"{FIELD}.options", [])], "parcel.weight", "options are for"),
        ([("objects.0.fields.0.name", "apiKey")], "parcel.apiKey", "secret"),
        ([("objects.0.fields.2.options", ...)], "parcel.state", "at least one option"),
        ([("objects.0.fields.2.default", "LOST")], "parcel.state", "one of NEW, SENT"),
        ([("objects.0.fields.2.options.0.value", "new")], "parcel.state", "UPPER_SNAKE_CASE"),
        ([("objects.0.fields.2.options.1.value", "NEW")], "parcel.state", "two options have the value"),
        ([("objects.0.fields.2.options.1.label", "New")], "parcel.state", "two options have the label"),
        ([("objects.0.fields.2.options.1.label", "A, b")], "parcel.state", "comma"),
        ([("objects.0.fields.2.options.1.color", "teal")], "parcel.state.SENT.color", "should be"),
        ([("objects.0.fields.2.type", "MULTI_SELECT")], "parcel.state", "a list, each once"),
        ([("objects.0.fields.0.builtIn", True)], "parcel.code", "only the TEXT field"),
        ([("extends.0.object", "company")], "company.object", "should be"),
        ([("extends.0.fields.0.name", "stage")], "opportunity.stage", "built into opportunity"),
        ([("extends.0.fields.0.name", "amountCurrencyCode")], "opportunity.amountCurrencyCode", "built into opportunity"),
        ([("extends.0.fields.0.unique", True)], "opportunity.parcelCode", "second record without a value"),
        ([("extends.0.fields.0.required", True)], "opportunity.parcelCode", "rows exist already"),
        ([("extends.0.fields.0.builtIn", True)], "opportunity.parcelCode", "builtIn is for"),
        ([("relations.0.target", "letter")], "parcel.receiver", "letter is neither declared"),
        ([("relations.0.object", "letter")], "letter.receiver", "letter is neither declared"),
        ([("relations.0.inverse", ...)], "receiver.inverse", "field required"),
        ([("relations.0.inverse.label", "Sent Parcels")], "person.parcels", "would call it sentParcels"),
        (
            [("relations.0.inverse", {"name": "company", "label": "Company", "icon": "IconBox"})],
            "person.company",
            "built into person",
        ),
        ([("home", "people")], "home", "no object that has a list"),
        ([("home", ...)], "home", "field required"),
        ([(f"{VIEW}.columns", [])], "parcel.firstView.columns", "at least 1"),
        ([(f"{VIEW}.columns.3", "colour")], "parcel.firstView", "no field colour"),
        ([(f"{VIEW}.columns.3", "code")], "parcel.firstView", "code is there twice"),
        ([(f"{VIEW}.columns.3", "name")], "parcel.firstView", "name is always the first"),
        ([(f"{VIEW}.sort.field", "state")], "parcel.firstView", "none of its columns"),
        ([(f"{VIEW}.sort.field", "receiver")], "parcel.firstView", "cannot be sorted by receiver"),
        ([(f"{VIEW}.sort.direction", "down")], "parcel.firstView.sort.direction", "should be"),
        ([(f"{VIEW}.board", "weight")], "parcel.firstView", "no SELECT field"),
        ([("extends.0.firstView", {"columns": ["emails"]})], "opportunity.firstView", "no field emails"),
        ([("version", 2)], "version", "should be 1"),
        ([("objects", ...)], "objects", "field required"),
    ],
)
def test_each_rule_refuses_and_names_the_place(changes: list[tuple[str, Any]], where: str, what: str) -> None:
    lines = broken(*changes).splitlines()[1:]
    assert any(re.match(rf"  data model: {re.escape(where)}  .*{re.escape(what)}", line) for line in lines), lines


def test_all_faults_are_told_at_once() -> None:
    text = broken((f"{FIELD}.default", -1), ("objects.0.fields.2.default", "LOST"), ("extends.0.fields.0.unique", True))
    assert [place in text for place in ("parcel.weight", "parcel.state", "opportunity.parcelCode")] == [True] * 3


def test_source_draft_is_refused_for_each_trap() -> None:
    """The draft's own definitions, put back one by one, are each refused: the traps are solved, not copied."""
    for object_name, now, change, what in [
        ("sallaProduct", "externalId", {"name": "sallaProductId"}, "join column"),
        ("sallaCart", "externalId", {"name": "sallaCartId"}, "join column"),
        ("sallaProduct", "name", {"builtIn": False}, "built into every custom object"),
        ("sallaProduct", "price", {"required": True}, "required without a default"),
        ("sallaOrder", "currencyCode", {"name": "currency"}, "reserved"),
        ("agentSetting", "widgetPrimaryColor", {"default": "#2563eb"}, "lose every character"),
        ("agentSetting", "apiKeyReference", {"name": "apiKey"}, "secret"),
        ("communicationLog", "channel", {"required": True}, "required without a default"),
        ("opportunity", "sallaOrderId", {"unique": True}, "fail as a duplicate"),
        ("workflow", "trigger", {"required": True}, "rows exist already"),
        ("workflow", "graphEdges", {"name": "edges"}, "breaks every page"),
    ]:
        data = copy.deepcopy(DATA)
        groups = [g for g in (*data["objects"], *data["extends"]) if object_name in (g.get("nameSingular"), g.get("object"))]
        field = next(f for f in groups[0]["fields"] if f["name"] == now)
        field.update(change)
        text = refusals(data)
        assert f"{object_name}.{field['name']}" in text, text
        assert what in text


def test_yaml_that_says_a_key_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text("version: 1\nobjects: []\nobjects: []\n")
    with pytest.raises(Refused, match="'objects' is given twice"):
        data_model.load(path)


def test_preflight_tells_a_model_that_the_image_would_not_carry(tmp_path: Path) -> None:
    path = tmp_path / "data-model.yaml"
    path.write_text(data_model.MODEL.read_text().replace("label: Voice ID", "label: Voice"))
    assert "python -m twentyops.data_model --write" in data_model.check(path)[0].remedy


def test_deploy_is_refused_with_a_faulty_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before registry and source are asked, so nothing else is needed to see it."""
    path = tmp_path / "data-model.yaml"
    path.write_text(data_model.MODEL.read_text().replace("name: graphEdges", "name: edges"))
    monkeypatch.setattr(data_model, "MODEL", path)
    with pytest.raises(Refused, match=r"workflow\.edges"):
        plan.check_data_model()


@pytest.mark.skipif(not os.environ.get("TWENTY_SOURCE"), reason="needs TWENTY_SOURCE, a checkout of Twenty to hold our lists to")
def test_lists_of_taken_names_are_those_of_a_real_tree() -> None:
    root = Path(os.environ["TWENTY_SOURCE"]) / "packages/twenty-server/src/engine"
    source = (root / "metadata-modules/utils/validate-metadata-name-is-not-reserved-keyword.ts").read_text()
    assert set(re.findall(r"^  '(\w+)',$", source, re.M)) == data_model.RESERVED
    ids = (root / "workspace-manager/workspace-sync-metadata/constants/standard-field-ids.ts").read_text()
    for name, ours in {"PERSON": "person", "OPPORTUNITY": "opportunity", "WORKFLOW": "workflow"}.items():
        block = re.search(rf"export const {name}_STANDARD_FIELD_IDS = \{{(.*?)\n\}}", ids, re.S)
        assert block
        fields = set(re.findall(r"^  (\w+):", block[1], re.M)) - {"activityTargets", "email", "probabilityDeprecated"}
        assert fields <= data_model.BUILT_IN[ours], fields - data_model.BUILT_IN[ours]


# --- properties ------------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, Any]] = list(
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    )
    return [path, *(place for key, item in inner for place in _places(item, (*path, key)))]


@given(st.sampled_from(_places(small())[1:]), JSON)
def test_whatever_stands_anywhere_is_accepted_or_refused_in_words(place: tuple[Any, ...], value: Any) -> None:
    data = small()
    here: Any = data
    for step in place[:-1]:
        here = here[step]
    here[place[-1]] = value
    found: list[Any] = []
    with contextlib.suppress(Refused):
        try:
            data_model.parse(data)
        except Refused as refusal:
            found = refusal.problems or ["nothing said"]
            raise
    assert all(isinstance(p, Problem) and p.setting.startswith("data model: ") and p.remedy for p in found)


@given(st.from_regex(r"[a-z][a-zA-Z0-9]{0,70}", fullmatch=True))
def test_an_accepted_name_fits_postgres_and_is_free(name: str) -> None:
    data = small()
    data["objects"][0]["fields"][1]["name"] = name
    try:
        data_model.parse(data)
    except Refused:
        return
    assert len(name) <= 63
    assert name == data_model.camel_case(name)
    assert name not in data_model.RESERVED | data_model.CONNECTION_NAMES | data_model.BUILT_IN_CUSTOM
    assert name not in {"code", "state", "receiver", "receiverId", "parcelId"}


@given(
    st.one_of(
        st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=12), st.lists(st.text(max_size=4), max_size=3)
    )
)
def test_an_accepted_default_loses_nothing_on_the_way_to_postgres(value: Any) -> None:
    """Twenty keeps letters, digits and _ of a default; what is accepted must come out as it went in."""
    for kind in ("TEXT", "NUMBER", "BOOLEAN"):
        data = small()
        data["objects"][0]["fields"][1] = {"name": "thing", "type": kind, "label": "Thing", "default": value} | (
            {"decimals": 2} if kind == "NUMBER" else {}
        )
        try:
            data_model.parse(data)
        except Refused:
            continue
        assert re.sub(r"[^A-Za-z0-9_]", "", str(value)) == str(value)
