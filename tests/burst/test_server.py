"""Twelve workspaces asked for at once, of the server itself: it makes them one after the other, and serves everybody meanwhile.

``pytest tests/burst/test_server.py --twenty-url URL --internal-secret SECRET --clerk URL/_admin`` (CLERK_ADMIN_TOKEN).
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.burst.conftest import House, report
from tests.burst.watch import percentile
from tests.tenants.conftest import Person, Server, fresh

WITHIN = 300.0
ANSWER_WITHIN = 5.0
BURST = 12


def make(server: Server, organization: str, owner: Person, deadline: float) -> float:
    """One tenant with its data model, as the tenant manager makes it: what fails with 5xx is repeated, after Retry-After. Returns seconds."""
    began = time.monotonic()
    calls = (
        ("PUT", f"/internal/tenants/{organization}", {"name": f"Burst {organization[-4:]}", "owner": owner.told()}),
        ("POST", f"/internal/tenants/{organization}/data-model", {"mode": "apply"}),
    )
    for method, path, body in calls:
        while True:
            answer = server.internal.request(method, path, json=body)
            if answer.status_code in (200, 201):
                break
            assert answer.status_code >= 500, answer.text
            assert time.monotonic() < deadline, f"{organization} is not ready after {WITHIN:.0f} s: {answer.text}"
            time.sleep(float(answer.headers.get("retry-after", "5")))
    assert answer.json()["status"] == "matched", answer.text
    return time.monotonic() - began


def burst(server: Server, number: int, owners: int | None = None) -> list[float]:
    """So many tenants at once, each with an owner of its own or of ``owners`` people. Seconds until each was ready."""
    people = [Person() for _ in range(owners or number)]
    deadline = time.monotonic() + WITHIN
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(lambda n: make(server, fresh("org"), people[n % len(people)], deadline), range(number)))


@pytest.mark.parametrize("owners", [None, 1], ids=["of-twelve-people", "of-one-person"])
def test_twelve_organizations_at_once_are_made_and_nobody_is_kept_waiting(house: House, owners: int | None) -> None:
    with house.watch() as watch:
        ready = burst(house.server, BURST, owners)
    graphql, sign_in = watch.seen["graphql"], watch.seen["sign_in"]
    report("burst", owners=owners or BURST, ready_in_s=round(max(ready), 1), graphql=str(graphql), sign_in=str(sign_in))
    assert max(ready) <= WITHIN
    assert len(graphql.answers) > 10
    assert set(graphql.counts) == {"200"}, graphql
    assert set(sign_in.counts) <= {"200", "503 with Retry-After"}, sign_in
    assert percentile(graphql.seconds, 0.99) <= ANSWER_WITHIN, graphql
    assert percentile(sign_in.seconds, 0.99) <= ANSWER_WITHIN, sign_in


def test_who_gives_up_leaves_the_line_and_the_next_try_finds_what_was_done(house: House) -> None:
    server = house.server
    owners, organizations = [Person() for _ in range(6)], [fresh("org") for _ in range(6)]

    def give_up(n: int) -> None:
        with pytest.raises(httpx.TimeoutException):
            server.internal.put(
                f"/internal/tenants/{organizations[n]}", json={"name": "Gone", "owner": owners[n].told()}, timeout=0.3
            )

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(give_up, range(6)))
    # nobody waits any more: what remains is at most what was under way
    began = time.monotonic()
    alone = make(server, fresh("org"), Person(), began + WITHIN)
    report("after-giving-up", first_after_s=round(alone, 1))
    begun = [o for o in organizations if server.internal.get(f"/internal/tenants/{o}").status_code == 200]
    assert len(begun) <= 2, "the work of callers that have gone was done all the same"
    for organization, owner in zip(organizations, owners, strict=True):
        make(server, organization, owner, time.monotonic() + WITHIN)
    page = server.internal.get("/internal/tenants", params={"limit": 500}).json()["data"]
    made = [t for t in page if t["organizationId"] in organizations]
    assert len({t["workspaceId"] for t in made}) == 6
    assert {t["status"] for t in made} == {"active"}
