"""What one request, and one workspace, may take of the server that all share: records of a page, of an answer, and places at the database."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.contract.api import Api
from tests.tenants.conftest import Server, Tenant

AT_ONCE = 20
FLOOD_S = 6.0
NEIGHBOUR_WITHIN = 15.0
PEOPLE = "mutation ($data: [PersonCreateInput!]!) { createPeople(data: $data) { id } }"


@pytest.fixture(scope="module")
def crowd(attacker: Tenant) -> tuple[Api, str]:
    """A member's session (API keys have a rate limit of upstream's), and a company with 600 people."""
    server = attacker.server
    api = server.api(server.session(attacker.workspace, attacker.owner.email).access)
    company = api.records('mutation { createCompany(data: { name: "Crowd" }) { id } }').ok()["createCompany"]["id"]
    for batch in range(3):
        data = [{"name": {"firstName": f"P{batch}", "lastName": str(i)}, "companyId": company} for i in range(200)]
        api.records(PEOPLE, data=data).ok()
    return api, company


@pytest.mark.parametrize("argument", ["first", "last"])
def test_a_page_of_a_million_records_is_refused(api: Api, argument: str) -> None:
    answer = api.records(f"{{ people({argument}: 1000000) {{ edges {{ node {{ id }} }} }} }}")
    assert answer.errors, answer.body
    assert f"{argument}: 1000000 is more than the 1000 records" in answer.errors[0]["message"]
    assert answer.code == "BAD_USER_INPUT"


def test_a_page_of_the_usual_size_is_answered(crowd: tuple[Api, str]) -> None:
    api, company = crowd
    query = "query ($c: UUID!) { people(first: 1000, filter: { companyId: { eq: $c } }) { edges { node { id } } } }"
    assert len(api.records(query, c=company).ok()["people"]["edges"]) == 600


def test_a_search_for_a_million_records_is_refused(api: Api) -> None:
    """By upstream itself."""
    answer = api.records('{ search(searchInput: "a", limit: 1000000) { edges { node { recordId } } } }')
    assert "Limit cannot exceed 100" in str(answer.errors), answer.body


def test_over_rest_a_page_is_small_whatever_is_asked_for(server: Server, attacker: Tenant, crowd: tuple[Api, str]) -> None:
    headers = {"Authorization": f"Bearer {attacker.api_token()}"}
    answer = server.http.get("/rest/people?limit=1000000", headers=headers)
    assert len(answer.json()["data"]["people"]) == 200


def test_an_answer_that_repeats_its_records_is_refused(crowd: tuple[Api, str]) -> None:
    """600 people, each with their company, each with 200 of its people: 120,000 records of 601."""
    api, company = crowd
    query = """query ($c: UUID!, $n: Int!) { people(first: $n, filter: { companyId: { eq: $c } }) {
      edges { node { id company { id people { edges { node { id } } } } } } } }"""
    answer = api.records(query, c=company, n=600)
    assert "The answer would have more than 100000 records" in str(answer.errors), str(answer.body)[:500]
    people = api.records(query, c=company, n=30).ok()["people"]["edges"]
    assert {len(edge["node"]["company"]["people"]["edges"]) for edge in people} == {200}
    assert {edge["node"]["company"]["id"] for edge in people} == {company}


def counts(number: int) -> str:
    """A page of the settings asks for the count of each object, in one request."""
    filters = (f'filter: {{ jobTitle: {{ ilike: "%{number}-{i}%" }} }}' for i in range(100))
    return "{ " + " ".join(f"a{i}: people({one}) {{ totalCount }}" for i, one in enumerate(filters)) + " }"


def keep_asking(ask: Callable[[int], httpx.Response], until: float) -> list[httpx.Response]:
    answers: list[httpx.Response] = []
    while time.monotonic() < until:
        answers.append(ask(len(answers)))
    return answers


def test_a_workspace_that_asks_for_everything_at_once_leaves_room_for_the_others(
    server: Server, attacker: Tenant, other: Tenant
) -> None:
    mine, theirs = (
        {"Authorization": f"Bearer {server.session(tenant.workspace, tenant.owner.email).access}"} for tenant in (attacker, other)
    )
    url = str(server.http.base_url).rstrip("/")
    one = '{ people(filter: { jobTitle: { ilike: "%x%" } }) { totalCount } }'

    def flood(number: int) -> httpx.Response:
        return httpx.post(f"{url}/graphql", json={"query": counts(number)}, headers=mine, timeout=120, trust_env=False)

    def neighbour(_: int) -> httpx.Response:
        answer = server.http.post("/graphql", json={"query": one}, headers=theirs)
        time.sleep(0.2)
        return answer

    assert "errors" not in server.http.post("/graphql", json={"query": counts(0)}, headers=mine).json(), "one such page is served"
    with ThreadPoolExecutor(AT_ONCE + 1) as pool:
        until = time.monotonic() + FLOOD_S
        floods = [pool.submit(keep_asking, flood, until) for _ in range(AT_ONCE)]
        served = pool.submit(keep_asking, neighbour, until).result()
        refused = [answer for work in floods for answer in work.result() if answer.status_code == 503]
    assert refused, "2,000 questions at once were all begun"
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
    assert "Send fewer requests at once" in refused[0].text
    assert all(answer.json().get("data", {}).get("people") for answer in served), [answer.text[:200] for answer in served]
    assert max(answer.elapsed.total_seconds() for answer in served) < NEIGHBOUR_WITHIN
    after = server.http.post("/graphql", json={"query": counts(1)}, headers=mine).json()
    assert "errors" not in after, "its places are free again"
