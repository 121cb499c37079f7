"""Documents that stop a server for good where they are not refused: the last file, for nothing answers after it."""

from __future__ import annotations

import httpx
import pytest

from tests.tenants.conftest import Server, Tenant
from tests.tenants.test_document_limits import bomb

SOON = 15.0


def still_serves(server: Server) -> None:
    assert server.http.get("/healthz", timeout=SOON).status_code == 200


@pytest.mark.parametrize("levels", [24, 40])
def test_fragments_that_double_are_refused_at_once(server: Server, one: Tenant, levels: int) -> None:
    """Fields of a record are read by a function that follows each spread: 40 levels are 10^12 steps without a pause."""
    headers = {"Authorization": f"Bearer {one.api_token()}"}
    query = bomb(levels, "people", "PersonConnection")
    try:
        answer = server.http.post("/graphql", json={"query": query}, headers=headers, timeout=SOON)
    except httpx.TimeoutException:
        pytest.fail(f"no answer within {SOON:.0f} s: the event loop does not come back")
    assert answer.status_code == 400, answer.text[:300]
    assert "fragments are expanded" in answer.text
    still_serves(server)


def test_records_that_point_to_each_other_do_not_fill_the_memory(server: Server, attacker: Tenant) -> None:
    """200 people of one company, and people > company > people > company > people: 8 million records of 201."""
    api = server.api(server.session(attacker.workspace, attacker.owner.email).access)
    company = api.records('mutation { createCompany(data: { name: "Loop" }) { id } }').ok()["createCompany"]["id"]
    people = [{"name": {"firstName": "P", "lastName": str(number)}, "companyId": company} for number in range(200)]
    api.records("mutation ($data: [PersonCreateInput!]!) { createPeople(data: $data) { id } }", data=people).ok()
    inner = "{ edges { node { id company { id people { edges { node { id company { id people { edges { node { id } } } } } } } } } } }"
    query = f"query ($c: UUID!) {{ people(first: 200, filter: {{ companyId: {{ eq: $c }} }}) {inner} }}"
    answer = api.records(query, c=company)
    assert "The answer would have more than 100000 records" in str(answer.errors), str(answer.body)[:300]
    still_serves(server)


def test_many_large_documents_do_not_fill_the_memory(server: Server) -> None:
    """20 documents of 1 MB, each unlike the others, were all kept."""
    for number in range(20):
        query = "{ " + f"x{number} " * (1_000_000 // len(f"x{number} ")) + "}"
        answer = server.http.post("/metadata", json={"query": query}, timeout=SOON)
        assert answer.status_code in (400, 413), answer.status_code
    still_serves(server)
