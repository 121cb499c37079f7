"""The metadata API: objects and fields as a data model of ours creates them, and the shapes in which it is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.contract import api as q
from tests.contract.api import Answer, Api

Json = Any

BIRTH_FIELDS = {"id", "name", "createdAt", "updatedAt", "deletedAt", "createdBy", "position", "searchVector"}
BIRTH_RELATIONS = {"favorites", "attachments", "noteTargets", "taskTargets", "timelineActivities"}


def create_object(api: Api, name: str, **more: Json) -> Answer:
    wanted = {"nameSingular": name, "namePlural": f"{name}s", "labelSingular": name, "labelPlural": f"{name}s", **more}
    return api.metadata(q.CREATE_OBJECT, input={"object": wanted})


def create_field(api: Api, object_id: str, **wanted: Json) -> Answer:
    return api.metadata(q.CREATE_FIELD, input={"field": {"objectMetadataId": object_id, "label": "Label", **wanted}})


def objects(api: Api) -> dict[str, Json]:
    return {edge["node"]["nameSingular"]: edge["node"] for edge in api.metadata(q.OBJECTS).ok()["objects"]["edges"]}


def fields(api: Api, name: str) -> dict[str, Json]:
    return {field["name"]: field for field in objects(api)[name]["fieldsList"]}


@pytest.fixture(scope="module")
def custom(admin: Api) -> dict[str, Json]:
    """One custom object for this module's fields."""
    created: dict[str, Json] = create_object(admin, q.fresh_name()).ok()["createOneObject"]
    return created


def test_standard_objects_are_there(admin: Api) -> None:
    found = objects(admin)
    for name, plural in {
        "person": "people", "company": "companies", "opportunity": "opportunities", "note": "notes", "task": "tasks",
        "workflow": "workflows", "workspaceMember": "workspaceMembers", "favorite": "favorites",
        "attachment": "attachments", "noteTarget": "noteTargets", "taskTarget": "taskTargets",
        "timelineActivity": "timelineActivities",
    }.items():  # fmt: skip
        assert found[name]["namePlural"] == plural
        assert found[name]["isCustom"] is False
        assert found[name]["isActive"] is True


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("person", {"name": "FULL_NAME", "emails": "EMAILS", "phones": "PHONES", "jobTitle": "TEXT", "city": "TEXT"}),
        ("company", {"name": "TEXT", "domainName": "LINKS", "employees": "NUMBER", "address": "ADDRESS"}),
        ("opportunity", {"name": "TEXT", "amount": "CURRENCY", "closeDate": "DATE_TIME", "stage": "SELECT"}),
        ("task", {"title": "TEXT", "bodyV2": "RICH_TEXT_V2", "dueAt": "DATE_TIME", "status": "SELECT"}),
        ("workflow", {"name": "TEXT", "statuses": "MULTI_SELECT"}),
        ("workspaceMember", {"name": "FULL_NAME", "userEmail": "TEXT", "userId": "UUID"}),
    ],
)
def test_standard_fields_have_their_types(admin: Api, name: str, expected: dict[str, str]) -> None:
    found = fields(admin, name)
    assert {field: found[field]["type"] for field in expected} == expected


def test_relations_name_both_ends(admin: Api) -> None:
    assert fields(admin, "person")["company"]["relation"] == {
        "type": "MANY_TO_ONE",
        "targetObjectMetadata": {"nameSingular": "company"},
        "targetFieldMetadata": {"name": "people"},
    }
    assert fields(admin, "company")["people"]["relation"]["type"] == "ONE_TO_MANY"


def test_pages_of_objects_follow_one_another(admin: Api) -> None:
    query = """query ($paging: CursorPaging) { objects(paging: $paging) {
      pageInfo { hasNextPage endCursor } edges { node { id } } } }"""
    total = len(objects(admin))
    first = admin.metadata(query, paging={"first": 5}).ok()["objects"]
    rest = admin.metadata(query, paging={"first": 1000, "after": first["pageInfo"]["endCursor"]}).ok()["objects"]
    assert first["pageInfo"]["hasNextPage"] is True
    assert rest["pageInfo"]["hasNextPage"] is False
    ids = [edge["node"]["id"] for page in (first, rest) for edge in page["edges"]]
    assert len(ids) == len(set(ids)) == total


def test_new_object_is_born_with_name_and_relations(custom: dict[str, Json]) -> None:
    types = {field["name"]: field["type"] for field in custom["fieldsList"]}
    assert set(types) >= BIRTH_FIELDS | BIRTH_RELATIONS
    assert types["name"] == "TEXT"
    assert {types[name] for name in BIRTH_RELATIONS} == {"RELATION"}
    label = next(field["id"] for field in custom["fieldsList"] if field["name"] == "name")
    assert custom["labelIdentifierFieldMetadataId"] == label
    assert custom["isCustom"] is True


def test_object_that_is_there_already_is_refused_by_code(admin: Api, custom: dict[str, Json]) -> None:
    answer = create_object(admin, custom["nameSingular"])
    assert answer.status == 200
    assert answer.data is None
    assert "OBJECT_ALREADY_EXISTS" in answer.refused("objectMetadata")
    assert set(answer.extensions["errors"]) >= {"objectMetadata", "fieldMetadata", "index", "view", "viewField"}
    assert set(answer.extensions["summary"].values()) == {0}, "the counts are no use to a client"


@pytest.mark.parametrize("singular", ["type", "event", "plan", "role", "user", "workspace", "field", "object", "link"])
def test_reserved_object_name_is_refused(admin: Api, singular: str) -> None:
    wanted = {"namePlural": f"{q.fresh_name()}s", "labelSingular": "One", "labelPlural": "Many"}
    assert "INVALID_OBJECT_INPUT" in create_object(admin, singular, **wanted).refused("objectMetadata")


@pytest.mark.parametrize("name", ["With space", "snake_case", "UpperFirst", "a" * 64])
def test_malformed_object_name_is_refused(admin: Api, name: str) -> None:
    answer = create_object(admin, name, namePlural=f"{q.fresh_name()}s")
    assert "INVALID_OBJECT_INPUT" in answer.refused("objectMetadata")


def test_singular_and_plural_must_differ(admin: Api) -> None:
    name = q.fresh_name()
    assert "INVALID_OBJECT_INPUT" in create_object(admin, name, namePlural=name).refused("objectMetadata")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"type": "TEXT"}, {"isNullable": False, "defaultValue": "''"}),
        ({"type": "NUMBER", "defaultValue": 0}, {"isNullable": True, "defaultValue": 0}),
        (
            {"type": "NUMBER", "settings": {"dataType": "int", "decimals": 0, "type": "number"}},
            {"settings": {"dataType": "int", "decimals": 0, "type": "number"}},
        ),
        ({"type": "BOOLEAN", "defaultValue": True}, {"defaultValue": True}),
        ({"type": "DATE_TIME"}, {"isNullable": True, "defaultValue": None}),
        ({"type": "RAW_JSON"}, {"isNullable": True, "defaultValue": None}),
        ({"type": "UUID", "isUnique": True}, {"isNullable": True, "isUnique": True}),
        ({"type": "NUMBER", "isUnique": True}, {"isNullable": True, "isUnique": True}),
        ({"type": "TEXT", "isUnique": True, "isNullable": True}, {"isNullable": False, "isUnique": True}),
    ],
)
def test_field_of_each_kind_is_created(
    admin: Api, custom: dict[str, Json], wanted: dict[str, Json], expected: dict[str, Json]
) -> None:
    name = q.fresh_name()
    created = create_field(admin, custom["id"], name=name, **wanted).ok()["createOneField"]
    assert {key: created[key] for key in expected} == expected
    assert created["isCustom"] is True
    assert created["isActive"] is True
    listed = fields(admin, custom["nameSingular"])[name]
    assert {key: listed[key] for key in ("id", "type", *expected)} == {key: created[key] for key in ("id", "type", *expected)}


DRAFT = {"label": "Draft", "value": "DRAFT", "position": 0, "color": "gray"}
SOLD = {"label": "Sold out", "value": "SOLD_OUT", "position": 1, "color": "red"}


def test_select_gets_ids_for_its_options(admin: Api, custom: dict[str, Json]) -> None:
    wanted = {"type": "SELECT", "defaultValue": "'DRAFT'", "options": [DRAFT, SOLD]}
    created = create_field(admin, custom["id"], name=q.fresh_name(), **wanted).ok()["createOneField"]
    assert [{key: option[key] for key in DRAFT} for option in created["options"]] == [DRAFT, SOLD]
    assert len({option["id"] for option in created["options"]}) == 2
    assert created["defaultValue"] == "'DRAFT'"


def test_update_without_option_ids_makes_new_options(admin: Api, custom: dict[str, Json]) -> None:
    wanted = {"type": "SELECT", "options": [DRAFT, SOLD]}
    created = create_field(admin, custom["id"], name=q.fresh_name(), **wanted).ok()["createOneField"]
    before = {option["value"]: option["id"] for option in created["options"]}

    def update(options: list[dict[str, Json]]) -> dict[str, str]:
        changed = admin.metadata(q.UPDATE_FIELD, input={"id": created["id"], "update": {"options": options}})
        return {option["value"]: option["id"] for option in changed.ok()["updateOneField"]["options"]}

    third = {"label": "Gone", "value": "GONE", "position": 2, "color": "blue"}
    kept = update([*created["options"], third])
    assert {value: kept[value] for value in before} == before
    renewed = update([DRAFT, SOLD, third])
    assert not set(renewed.values()) & set(before.values())


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        pytest.param({"type": "SELECT", "options": []}, "INVALID_FIELD_INPUT", id="no options"),
        pytest.param({"type": "SELECT", "options": [{**DRAFT, "value": "lower case"}]}, "INVALID_FIELD_INPUT", id="option value"),
        pytest.param({"type": "SELECT", "options": [DRAFT, {**SOLD, "value": "DRAFT"}]}, "INVALID_FIELD_INPUT", id="twins"),
        pytest.param({"type": "SELECT", "options": [DRAFT], "defaultValue": "DRAFT"}, "INVALID_FIELD_INPUT", id="bare default"),
        pytest.param({"type": "SELECT", "options": [DRAFT], "defaultValue": "'NONE'"}, "INVALID_FIELD_INPUT", id="other default"),
        pytest.param({"type": "TEXT", "name": "currency"}, "INVALID_FIELD_INPUT", id="reserved currency"),
        pytest.param({"type": "TEXT", "name": "address"}, "INVALID_FIELD_INPUT", id="reserved address"),
        pytest.param({"type": "TEXT", "name": "not camel"}, "INVALID_FIELD_INPUT", id="name with space"),
        pytest.param({"type": "TEXT", "name": "name"}, "NOT_AVAILABLE", id="born with it"),
        pytest.param({"type": "TEXT", "name": "createdByName"}, "RESERVED_KEYWORD", id="part of a composite"),
    ],
)
def test_bad_field_is_refused_by_code(admin: Api, custom: dict[str, Json], wanted: dict[str, Json], code: str) -> None:
    answer = create_field(admin, custom["id"], **{"name": q.fresh_name(), **wanted})
    assert answer.status == 200
    assert answer.data is None
    assert code in answer.refused("fieldMetadata")


def test_join_column_of_the_built_in_relations_is_taken(admin: Api, custom: dict[str, Json]) -> None:
    answer = create_field(admin, custom["id"], name=f"{custom['nameSingular']}Id", type="TEXT")
    assert "NOT_AVAILABLE" in answer.refused("fieldMetadata")


def test_field_that_is_there_already_is_refused_by_code(admin: Api, custom: dict[str, Json]) -> None:
    name = q.fresh_name()
    create_field(admin, custom["id"], name=name, type="TEXT").ok()
    assert "NOT_AVAILABLE" in create_field(admin, custom["id"], name=name, type="NUMBER").refused("fieldMetadata")


def test_field_of_an_unknown_object_is_refused(admin: Api) -> None:
    answer = create_field(admin, "00000000-0000-4000-8000-000000000000", name=q.fresh_name(), type="TEXT")
    assert "OBJECT_METADATA_NOT_FOUND" in answer.refused("objectMetadata")


@pytest.mark.parametrize("wanted", [{"type": "NO_SUCH_TYPE", "name": "x"}, {"name": "x"}, {"type": "TEXT"}])
def test_input_of_the_wrong_shape_is_a_bad_request(admin: Api, custom: dict[str, Json], wanted: dict[str, Json]) -> None:
    answer = create_field(admin, custom["id"], **wanted)
    assert answer.status == 400
    assert answer.data is None


def test_relation_creates_its_other_side(admin: Api, custom: dict[str, Json]) -> None:
    name, label = q.fresh_name(), f"Bought {q.fresh_name()}"
    payload = {
        "type": "MANY_TO_ONE",
        "targetObjectMetadataId": objects(admin)["person"]["id"],
        "targetFieldLabel": label,
        "targetFieldIcon": "IconBox",
    }
    create_field(admin, custom["id"], name=name, type="RELATION", relationCreationPayload=payload).ok()
    own = fields(admin, custom["nameSingular"])[name]
    inverse = label[0].lower() + label[1:].split(" ")[0] + label.split(" ")[1].capitalize()
    assert own["relation"] == {
        "type": "MANY_TO_ONE",
        "targetObjectMetadata": {"nameSingular": "person"},
        "targetFieldMetadata": {"name": inverse},
    }
    assert own["settings"]["joinColumnName"] == f"{name}Id"
    assert fields(admin, "person")[inverse]["relation"]["type"] == "ONE_TO_MANY"


def test_relation_without_its_payload_is_refused(admin: Api, custom: dict[str, Json]) -> None:
    answer = create_field(admin, custom["id"], name=q.fresh_name(), type="RELATION")
    assert "INVALID_FIELD_INPUT" in answer.refused("objectMetadata")


def test_standard_object_takes_further_fields(admin: Api) -> None:
    name = q.fresh_name()
    create_field(admin, objects(admin)["opportunity"]["id"], name=name, type="TEXT").ok()
    assert fields(admin, "opportunity")[name]["isCustom"] is True


def test_label_and_description_can_be_changed(admin: Api, custom: dict[str, Json]) -> None:
    created = create_field(admin, custom["id"], name=q.fresh_name(), type="TEXT").ok()["createOneField"]
    changed = admin.metadata(q.UPDATE_FIELD, input={"id": created["id"], "update": {"label": "Other label"}})
    assert changed.ok()["updateOneField"]["label"] == "Other label"
    described = admin.metadata(q.UPDATE_OBJECT, input={"id": custom["id"], "update": {"description": "Why"}})
    assert described.ok()["updateOneObject"]["description"] == "Why"


def test_field_is_deleted_only_when_inactive(admin: Api, custom: dict[str, Json]) -> None:
    name = q.fresh_name()
    field = create_field(admin, custom["id"], name=name, type="TEXT").ok()["createOneField"]["id"]
    refused = admin.metadata(q.DELETE_FIELD, input={"id": field})
    assert "INVALID_FIELD_INPUT" in refused.refused("fieldMetadata")
    admin.metadata(q.UPDATE_FIELD, input={"id": field, "update": {"isActive": False}}).ok()
    admin.metadata(q.DELETE_FIELD, input={"id": field}).ok()
    assert name not in fields(admin, custom["nameSingular"])


def test_standard_field_is_not_deleted(admin: Api) -> None:
    job_title = fields(admin, "person")["jobTitle"]["id"]
    assert "INVALID_FIELD_INPUT" in admin.metadata(q.DELETE_FIELD, input={"id": job_title}).refused("fieldMetadata")


def test_equal_creates_at_once_leave_exactly_one(admin: Api, custom: dict[str, Json]) -> None:
    name = q.fresh_name()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: create_field(admin, custom["id"], name=name, type="TEXT"), range(4)))
    assert sum(not answer.errors for answer in answers) == 1
    assert {answer.code for answer in answers if answer.errors} <= {
        "METADATA_VALIDATION_FAILED",
        "INTERNAL_SERVER_ERROR",
    }
    assert fields(admin, custom["nameSingular"])[name]["type"] == "TEXT"
