"""GraphQL documents that cost the server more than any page of Twenty does are refused before they are validated, with or without a token."""

from __future__ import annotations

import pytest

from tests.contract.api import Api
from tests.tenants.conftest import Server, Tenant

INTROSPECTION = (
    """query { __schema { queryType { name } types { ...T } directives { name args { ...I } } } }
fragment T on __Type { kind name fields(includeDeprecated: true) { name args { ...I } type { ...R } } inputFields { ...I }
  interfaces { ...R } enumValues { name } possibleTypes { ...R } }
fragment I on __InputValue { name type { ...R } defaultValue }
fragment R on __Type { kind name """
    + "ofType { kind name " * 9
    + "}" * 9
    + " }"
)


def aliases(count: int, field: str) -> str:
    return "{ " + " ".join(f"a{number}: {field}" for number in range(count)) + " }"


def bomb(levels: int, root: str, of: str) -> str:
    """A document that doubles at each level: 2 to the power of ``levels`` fields."""
    parts = [f"fragment f{level} on {of} {{ ...f{level + 1} ...f{level + 1} }}" for level in range(levels)]
    return f"query {{ {root} {{ ...f0 }} }} {' '.join(parts)} fragment f{levels} on {of} {{ __typename }}"


# Each is cheap enough for a server that does not refuse it.
TOO_LARGE = {
    "one field, again and again": ("{ " + "__typename " * 60 + "}", "more than 50 times"),
    "root fields": (aliases(150, "__typename"), "root fields"),
    "aliases below": ("{ __schema " + aliases(250, "__typename") + " }", "aliases"),
    "characters": ("{ __typename" + " " * 210_000 + "}", "characters"),
    "tokens": ("{ " + "a { b } " * 5_100 + "}", "tokens"),
    "levels": ("{ a " * 16 + "{ b }" + " }" * 16, "levels"),
    "fragments that double": (bomb(14, "__schema", "__Schema"), "fragments are expanded"),
    "a fragment in itself": ("{ ...A } fragment A on Query { ...A }", "contains itself"),
    "types of fields of types": ("{ __schema { types { fields { type { fields { name } } } } } }", "types of fields"),
    "introspection under another name": ("{ __schema { types { a: name } } }", "alias inside introspection"),
}


@pytest.mark.parametrize("path", ["/metadata", "/graphql"])
@pytest.mark.parametrize("case", TOO_LARGE)
def test_too_large_a_document_is_refused_without_a_token(server: Server, path: str, case: str) -> None:
    query, words = TOO_LARGE[case]
    answer = server.http.post(path, json={"query": query})
    assert answer.status_code == 400, answer.text[:500]
    [error] = answer.json()["errors"]
    assert words in error["message"], error
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("case", TOO_LARGE)
def test_and_with_one(one: Tenant, case: str) -> None:
    query, words = TOO_LARGE[case]
    api: Api = one.api
    for answer in (api.records(query), api.metadata(query)):
        assert answer.status == 400
        assert words in answer.errors[0]["message"]


def test_a_document_of_the_usual_size_is_answered(server: Server, one: Tenant) -> None:
    for answer in (server.api().metadata(INTROSPECTION), one.api.metadata(INTROSPECTION), one.api.records(INTROSPECTION)):
        assert len(answer.ok()["__schema"]["types"]) > 10
    counts = " ".join(f"a{number}: people {{ totalCount }}" for number in range(5))
    assert one.api.records(f"{{ {counts} }}").ok()["a4"]["totalCount"] >= 0
