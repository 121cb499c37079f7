"""Items 4, 5, 7 and 8 of the plan's checklist with the deployed tenant manager: what Clerk says happens, and nobody helps.

Needs ``--clerk=lab``: the lab's Clerk sends its webhooks to the deployment through the proxy.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.people import SECONDS, Cast, Person, graphql
from twentyops import data_model

Somebody = Callable[..., Person]
OBJECTS = "{ objects(paging: { first: 200 }) { edges { node { nameSingular namePlural } } } }"


@pytest.fixture(autouse=True)
def _of_a_lab(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--clerk") != "lab":
        pytest.skip("needs a deployed tenant manager, to which Clerk's webhooks come: --clerk=lab")


def shows_the_data_model(person: Person) -> None:
    """All seven objects are there for this person, and the list of one opens."""
    there = {o["node"]["nameSingular"] for o in person.graphql(OBJECTS, "/metadata")["data"]["objects"]["edges"]}
    model = data_model.load()
    assert {wanted.nameSingular for wanted in model.objects} <= there
    person.open(f"/objects/{model.objects[0].namePlural}")
    expect(person.page.get_by_text(model.objects[0].labelPlural, exact=True).first).to_be_visible(timeout=SECONDS)
    assert person.path() == f"/objects/{model.objects[0].namePlural}"


def test_an_organization_of_clerks_is_a_dashboard_with_the_data_model(somebody: Somebody, cast: Cast) -> None:
    name = f"شركة {cast.tag}"
    began = time.monotonic()
    organization = cast.told_organization(name, Alice="admin", Bob="member")
    alice, bob = somebody(), somebody()
    alice.open()
    alice.sign_in("Alice")
    alice.inside()
    print(f"organisation at Clerk -> inside the CRM, with the data model: {time.monotonic() - began:.1f} s")
    shows_the_data_model(alice)
    alice.picture("dashboard")
    assert alice.me()["currentWorkspace"]["displayName"] == name
    bob.open()
    bob.sign_in("Bob")
    bob.inside()
    assert bob.me()["currentWorkspace"]["id"] == alice.me()["currentWorkspace"]["id"]
    told = cast.tenants.get(organization)
    assert told is not None
    assert {(m["clerkUserId"], m["role"]) for m in told["members"]} == {
        (cast.users["Alice"], "admin"),
        (cast.users["Bob"], "member"),
    }


def test_an_organization_made_on_the_page_is_a_workspace(somebody: Somebody, cast: Cast) -> None:
    cast.person("Carol")
    carol = somebody()
    carol.open()
    carol.sign_in("Carol")
    carol.reads("Create your organization")
    name = f"Initech {cast.tag}"
    carol.page.get_by_label("Name").fill(name)
    carol.page.get_by_role("button", name="Create organization").click()
    carol.inside()
    assert carol.me()["currentWorkspace"]["displayName"] == name


def test_who_leaves_the_organization_is_out_and_its_end_locks_the_workspace(
    somebody: Somebody, cast: Cast, backend: httpx.Client
) -> None:
    organization = cast.told_organization(f"Acme {cast.tag}", Alice="admin", Bob="member")
    alice, bob = somebody(), somebody()
    for person, name in ((alice, "Alice"), (bob, "Bob")):
        person.open("/objects/people")
        person.sign_in(name)
        person.inside()
    token = bob.token
    backend.delete(f"/organizations/{organization}/memberships/{cast.users['Bob']}").raise_for_status()
    bob.until(
        lambda: "errors" in graphql(bob.origin, token, "{ people { totalCount } }"), "the token of a removed member reads on"
    )
    backend.delete(f"/organizations/{organization}").raise_for_status()
    alice.until(lambda: (cast.tenants.get(organization) or {}).get("status") == "suspended", "the workspace stays open")
    assert "errors" in graphql(alice.origin, alice.token, "{ people { totalCount } }")
