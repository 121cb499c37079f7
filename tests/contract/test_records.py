"""The records API: what a data model creates is usable at once, unique fields are, and nobody reads without a token."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract import api as q
from tests.contract.api import Api
from tests.contract.conftest import Target
from tests.contract.test_metadata import DRAFT, SOLD, create_field, create_object, objects

Json = Any


@pytest.fixture(scope="module")
def product(admin: Api) -> dict[str, str]:
    """A custom object with a field of each kind that a data model of ours uses; its names by role."""
    name = q.fresh_name()
    made = create_object(admin, name).ok()["createOneObject"]["id"]
    whole = {"dataType": "int", "decimals": 0, "type": "number"}
    for wanted in (
        {"name": "sku", "type": "TEXT", "isUnique": True},
        {"name": "price", "type": "NUMBER"},
        {"name": "stock", "type": "NUMBER", "settings": whole, "defaultValue": 7},
        {"name": "available", "type": "BOOLEAN", "defaultValue": True},
        {"name": "details", "type": "RAW_JSON"},
        {"name": "soldAt", "type": "DATE_TIME"},
        {"name": "stage", "type": "SELECT", "options": [DRAFT, SOLD], "defaultValue": "'DRAFT'"},
        {"name": "serial", "type": "NUMBER", "isUnique": True},
        {"name": "tint", "type": "TEXT", "defaultValue": "'#25-63 eb'"},
        {
            "name": "buyer",
            "type": "RELATION",
            "relationCreationPayload": {
                "type": "MANY_TO_ONE",
                "targetObjectMetadataId": objects(admin)["person"]["id"],
                "targetFieldLabel": f"{name} bought",
                "targetFieldIcon": "IconBox",
            },
        },
    ):
        create_field(admin, made, **wanted).ok()
    return {"one": name, "many": f"{name}s", "type": name[0].upper() + name[1:], "bought": f"{name}Bought"}


def create(admin: Api, product: dict[str, str], *, upsert: bool = False, **data: Json) -> Any:
    query = (
        f"mutation ($data: {product['type']}CreateInput!, $upsert: Boolean) "
        f"{{ create{product['type']}(data: $data, upsert: $upsert) {{ id name sku price stock available details soldAt "
        "stage serial tint createdAt deletedAt createdBy { source name } buyer { id } } }"
    )
    return admin.records(query, data=data, upsert=upsert)


def person(admin: Api) -> str:
    answer = admin.records(
        "mutation ($data: PersonCreateInput!) { createPerson(data: $data) { id name { firstName lastName } } }",
        data={"name": {"firstName": "Ada", "lastName": q.fresh_name()}},
    )
    return str(answer.ok()["createPerson"]["id"])


def test_without_a_token_nobody_reads_records(target: Target) -> None:
    answer = target.api.records("{ people { totalCount } }")
    assert answer.errors
    assert answer.data is None


@pytest.mark.parametrize(
    ("token", "status", "error"), [(None, 403, "FORBIDDEN_EXCEPTION"), ("not.a.token", 401, "UNAUTHENTICATED")]
)
def test_rest_needs_a_token_that_holds(target: Target, token: str | None, status: int, error: str) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = target.http.get("/rest/people", headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"] == error


def test_new_object_takes_a_record_at_once(admin: Api, product: dict[str, str]) -> None:
    buyer = person(admin)
    record = create(
        admin, product, name="First", sku="first", price=12.5, details={"a": [1, {"b": None}]}, buyerId=buyer,
        soldAt="2026-01-02T03:04:05.000Z",
    ).ok()[f"create{product['type']}"]  # fmt: skip
    assert record["name"] == "First"
    assert record["price"] == 12.5
    assert record["details"] == {"a": [1, {"b": None}]}
    assert record["soldAt"] == "2026-01-02T03:04:05.000Z"
    assert record["buyer"] == {"id": buyer}
    assert record["createdBy"]["source"] == "API"
    assert record["deletedAt"] is None


def test_defaults_are_the_columns_defaults(admin: Api, product: dict[str, str]) -> None:
    record = create(admin, product, sku="defaults").ok()[f"create{product['type']}"]
    assert (record["stock"], record["available"], record["stage"]) == (7, True, "DRAFT")
    assert record["price"] is None


def test_string_default_loses_what_is_no_letter_digit_or_underscore(admin: Api, product: dict[str, str]) -> None:
    assert create(admin, product, sku="tint").ok()[f"create{product['type']}"]["tint"] == "2563eb"


def test_unique_value_is_taken_once(admin: Api, product: dict[str, str]) -> None:
    create(admin, product, sku="once").ok()
    again = create(admin, product, sku="once")
    assert again.code == "BAD_USER_INPUT"


def test_unique_text_without_a_value_is_taken_once_too(admin: Api, product: dict[str, str]) -> None:
    create(admin, product, name="no sku").ok()
    assert create(admin, product, name="no sku either").code == "BAD_USER_INPUT"


def test_unique_number_without_a_value_is_free(admin: Api, product: dict[str, str]) -> None:
    for sku in ("free one", "free two"):
        assert create(admin, product, sku=sku).ok()[f"create{product['type']}"]["serial"] is None


def test_upsert_finds_by_the_unique_field(admin: Api, product: dict[str, str]) -> None:
    first = create(admin, product, upsert=True, sku="upserted", name="Before").ok()[f"create{product['type']}"]
    second = create(admin, product, upsert=True, sku="upserted", name="After").ok()[f"create{product['type']}"]
    assert second["id"] == first["id"]
    assert second["name"] == "After"


def test_select_takes_its_options_only(admin: Api, product: dict[str, str]) -> None:
    assert create(admin, product, sku="sold", stage="SOLD_OUT").ok()[f"create{product['type']}"]["stage"] == "SOLD_OUT"
    assert create(admin, product, sku="lost", stage="LOST").errors


def test_list_counts_filters_and_orders(admin: Api, product: dict[str, str]) -> None:
    for number in range(3):
        create(admin, product, sku=f"listed {number}", name="Listed", price=number).ok()
    query = (
        f"query ($filter: {product['type']}FilterInput, $orderBy: [{product['type']}OrderByInput], $first: Int, "
        f"$after: String) {{ {product['many']}(filter: $filter, orderBy: $orderBy, first: $first, after: $after) "
        "{ totalCount pageInfo { hasNextPage endCursor } edges { cursor node { price } } } }"
    )
    asked = {"filter": {"name": {"eq": "Listed"}}, "orderBy": [{"price": "DescNullsLast"}], "first": 2}
    page = admin.records(query, **asked).ok()[product["many"]]
    assert page["totalCount"] == 3
    assert [edge["node"]["price"] for edge in page["edges"]] == [2, 1]
    assert page["pageInfo"]["hasNextPage"] is True
    rest = admin.records(query, **asked, after=page["pageInfo"]["endCursor"]).ok()[product["many"]]
    assert [edge["node"]["price"] for edge in rest["edges"]] == [0]


def test_relation_is_read_from_its_other_side(admin: Api, product: dict[str, str]) -> None:
    buyer = person(admin)
    made = create(admin, product, sku=f"for {buyer}", buyerId=buyer).ok()[f"create{product['type']}"]["id"]
    query = (
        "query ($id: UUID!) { person(filter: { id: { eq: $id } }) "
        f"{{ {product['bought']} {{ edges {{ node {{ id }} }} }} }} }}"
    )
    found = admin.records(query, id=buyer).ok()["person"][product["bought"]]
    assert [edge["node"]["id"] for edge in found["edges"]] == [made]


def test_update_delete_restore_and_destroy(admin: Api, product: dict[str, str]) -> None:
    made = create(admin, product, sku="passing").ok()[f"create{product['type']}"]["id"]
    kind, count = product["type"], f'{{ {product["many"]}(filter: {{ id: {{ eq: "%s" }} }}) {{ totalCount }} }}'

    def total() -> int:
        return int(admin.records(count % made).ok()[product["many"]]["totalCount"])

    update = f"mutation ($id: UUID!, $data: {kind}UpdateInput!) {{ update{kind}(id: $id, data: $data) {{ name }} }}"
    assert admin.records(update, id=made, data={"name": "New"}).ok()[f"update{kind}"] == {"name": "New"}
    for verb, left in (("delete", 0), ("restore", 1), ("delete", 0), ("destroy", 0)):
        admin.records(f"mutation ($id: UUID!) {{ {verb}{kind}(id: $id) {{ id }} }}", id=made).ok()
        assert total() == left, verb
    assert admin.records(f"mutation ($id: UUID!) {{ restore{kind}(id: $id) {{ id }} }}", id=made).errors


def test_every_field_of_every_object_can_be_selected(admin: Api, product: dict[str, str]) -> None:
    composites = {
        "FULL_NAME": "{ firstName }", "EMAILS": "{ primaryEmail }", "PHONES": "{ primaryPhoneNumber }",
        "LINKS": "{ primaryLinkUrl }", "CURRENCY": "{ amountMicros }", "ADDRESS": "{ addressCity }",
        "ACTOR": "{ source }", "RICH_TEXT_V2": "{ markdown }",
    }  # fmt: skip
    for name, found in objects(admin).items():
        selected = []
        for field in found["fieldsList"]:
            if not field["isActive"] or field["type"] in {"TS_VECTOR", "MORPH_RELATION"}:
                continue
            sub = composites.get(field["type"], "")
            if field["type"] == "RELATION":
                sub = "{ id }" if field["relation"]["type"] == "MANY_TO_ONE" else "{ edges { node { id } } }"
            selected.append(f"{field['name']} {sub}")
        answer = admin.records(f"{{ {found['namePlural']}(first: 1) {{ edges {{ node {{ {' '.join(selected)} }} }} }} }}")
        assert not answer.errors, (name, answer.errors)
