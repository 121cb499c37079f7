"""Items 4, 5 and 7 of the plan's checklist: new people, known people, and walls between tenants."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.people import SECONDS, Cast, Person, graphql

Somebody = Callable[..., Person]
pytestmark = pytest.mark.usefixtures("manager_at_rest")
PEOPLE = "{ people { edges { node { id name { firstName } } } } }"
MAKE = "mutation ($data: PersonCreateInput!) { createPerson(data: $data) { id } }"
ONE = "query ($id: UUID!) { people(filter: { id: { eq: $id } }) { edges { node { id } } } }"
CHANGE = "mutation ($id: UUID!, $data: PersonUpdateInput!) { updatePerson(id: $id, data: $data) { id } }"
SEARCH = "query ($q: String!) { search(searchInput: $q, limit: 20) { edges { node { recordId } } } }"


def test_a_webhook_that_is_late_is_waited_for(somebody: Somebody, cast: Cast) -> None:
    organization = cast.organization("Acme", Alice="admin")
    alice = somebody()
    alice.open("/settings/profile")
    alice.sign_in("Alice")
    alice.reads("Setting up your workspace")
    alice.picture("waiting")
    second = alice.tab()
    alice.open("/", second)
    alice.reads("Setting up your workspace", second)
    alice.until(lambda: len(alice.exchanges) >= 4, "it is not asked again")
    made = cast.workspace(organization, "Acme", "Alice")
    expect(alice.page.get_by_text("Your name as it will be displayed")).to_be_visible(timeout=SECONDS)
    alice.inside(second)
    assert alice.path() == "/settings/profile", "the place is kept through the wait"
    assert alice.me()["currentWorkspace"]["id"] == made["workspaceId"]
    assert set(alice.seen) == {"crm"}
    assert "/create/" not in alice.page.url
    assert cast.workspace(organization, "Acme", "Alice")["workspaceId"] == made["workspaceId"], "two tabs, one workspace"


def test_waiting_ends_with_a_message_and_a_way_on(somebody: Somebody, cast: Cast) -> None:
    organization = cast.organization("Acme", Alice="admin")
    alice = somebody()
    alice.open()
    alice.sign_in("Alice")
    alice.reads("Setting up your workspace")
    # the page's clock runs ahead, so that nobody waits for ten minutes
    alice.page.evaluate("(() => { const now = Date.now; Date.now = () => now() + 620_000; })()")
    alice.reads("Your workspace is not ready yet")
    alice.picture("gave-up")
    before = len(alice.exchanges)
    alice.page.wait_for_timeout(4_000)
    assert len(alice.exchanges) == before, "it gave up"
    cast.workspace(organization, "Acme", "Alice")
    alice.page.get_by_role("button", name="Try again").click()
    alice.inside()


def test_without_an_organization_there_is_a_step_that_makes_one(somebody: Somebody, cast: Cast) -> None:
    cast.person("Carol")
    carol = somebody()
    carol.open()
    carol.sign_in("Carol")
    carol.reads("Create your organization")
    carol.picture("step")
    name = f"Initech {cast.tag}"
    carol.page.get_by_label("Name").fill(name)
    carol.picture("filled")
    carol.page.get_by_role("button", name="Create organization").click()
    carol.reads("Setting up your workspace")
    cast.workspace(carol.page.evaluate("window.Clerk.organization.id"), name, "Carol")
    carol.inside()
    assert carol.me()["currentWorkspace"]["displayName"] == name


def test_known_people_keep_their_identity_when_their_address_changes(somebody: Somebody, cast: Cast) -> None:
    organization = cast.tenant("Acme", Alice="admin")
    alice = somebody()
    alice.open()
    alice.sign_in("Alice")
    alice.inside()
    before = alice.me()["id"]
    moved = {**cast.told("Alice"), "email": cast.email("alice-moved")}
    cast.tenants.change_person(cast.users["Alice"], {k: v for k, v in moved.items() if k != "clerkUserId"})
    cast.tenants.put(organization, "Acme", moved)
    alice.page.reload()
    alice.inside()
    assert alice.me()["id"] == before


def test_the_active_organization_decides_and_switching_switches(somebody: Somebody, cast: Cast) -> None:
    acme, globex = f"Acme {cast.tag}", f"Globex {cast.tag}"
    cast.tenant(acme, Alice="admin")
    cast.tenant(globex, Alice="admin")
    alice = somebody()
    alice.open()
    alice.sign_in("Alice")
    alice.inside()
    first = alice.me()["currentWorkspace"]
    other = globex if first["displayName"] == acme else acme
    user = alice.me()["id"]
    alice.page.evaluate("localStorage.setItem('lastVisitedViewPerObjectMetadataItemState', '\"of the first\"')")
    alice.menu(first["displayName"], "Switch organization")
    alice.reads("Choose an organization")
    alice.picture("choose")
    alice.page.get_by_role("button", name=other).click()
    alice.until(lambda: alice.page.get_by_text(other, exact=True).first.is_visible(), "the other workspace does not open")
    alice.inside()
    assert alice.me()["currentWorkspace"]["displayName"] == other
    assert alice.me()["id"] == user
    assert alice.page.evaluate("localStorage.getItem('lastVisitedViewPerObjectMetadataItemState')") != '"of the first"'
    assert first["displayName"] not in alice.page.inner_text("body"), "something of the first one is left"
    alice.picture("switched")


def test_a_tab_keeps_its_organization_when_another_one_switches(somebody: Somebody, cast: Cast) -> None:
    acme, globex = f"Acme {cast.tag}", f"Globex {cast.tag}"
    cast.tenant(acme, Alice="admin")
    cast.tenant(globex, Alice="admin")
    alice = somebody()
    alice.open("/objects/people")
    alice.sign_in("Alice")
    alice.inside()
    stays = alice.me()["currentWorkspace"]["displayName"]
    switches = globex if stays == acme else acme
    tokens: list[str] = []
    alice.page.on("request", lambda r: tokens.append(r.headers.get("authorization", "")) if "/graphql" in r.url else None)
    second = alice.tab()
    alice.open("/", second)
    alice.inside(second)
    second.get_by_text(stays, exact=True).first.click()
    second.get_by_text("Switch organization", exact=True).click()
    second.get_by_role("button", name=switches).click()
    alice.until(lambda: second.get_by_text(switches, exact=True).first.is_visible(), "the second tab does not switch")
    alice.inside(second)
    tokens.clear()
    alice.page.locator("a[href^='/objects/companies']").first.click()
    alice.until(lambda: len(tokens) > 0, "the first tab asks nothing")
    for token in set(tokens):
        told = graphql(
            alice.origin, token.removeprefix("Bearer "), "{ currentUser { currentWorkspace { displayName } } }", "/metadata"
        )
        assert told["data"]["currentUser"]["currentWorkspace"]["displayName"] == stays, "a tab wrote into the other's workspace"


def test_the_only_organization_is_taken_without_a_question(somebody: Somebody, cast: Cast) -> None:
    cast.tenant("Acme", Alice="admin")
    alice = somebody()
    alice.open()
    alice.sign_in("Alice")
    alice.inside()
    alice.page.evaluate("window.Clerk.setActive({ organization: null })")
    alice.until(lambda: len(alice.exchanges) >= 2, "it is not taken again")
    alice.inside()
    assert alice.me()["currentWorkspace"]["displayName"] == "Acme"


def test_one_tenant_reads_and_writes_nothing_of_another(somebody: Somebody, cast: Cast) -> None:
    name = f"Zaphod{cast.tag}"
    acme, globex = cast.tenant("Acme", Alice="admin"), cast.tenant("Globex", Bob="admin")
    assert acme != globex
    alice, bob = somebody(), somebody()
    for person, who in ((alice, "Alice"), (bob, "Bob")):
        person.open()
        person.sign_in(who)
        person.inside()
    made = alice.graphql(MAKE, data={"name": {"firstName": name, "lastName": "Beeblebrox"}})["data"]["createPerson"]["id"]
    assert [e["node"]["id"] for e in alice.graphql(ONE, id=made)["data"]["people"]["edges"]] == [made]
    assert bob.graphql(ONE, id=made)["data"]["people"]["edges"] == []
    assert name not in str(bob.graphql(PEOPLE))
    assert made not in str(bob.graphql(SEARCH, q=name))
    assert bob.graphql(CHANGE, id=made, data={"jobTitle": "taken"}).get("data", {}).get("updatePerson") is None
    bob.open(f"/object/person/{made}")
    bob.page.wait_for_timeout(3_000)
    assert name not in bob.page.inner_text("body")
    bob.picture("record-of-another")


def test_equal_and_arabic_names_are_different_tenants(cast: Cast) -> None:
    workspaces = {
        cast.workspace(cast.organization(name, **{owner: "admin"}), name, owner)["workspaceId"]
        for name, owner in (("شركة النور", "Alice"), ("متجر سلة", "Bob"), ("Acme", "Carol"), ("Acme", "Dave"))
    }
    assert len(workspaces) == 4


def test_a_removed_member_is_out(somebody: Somebody, cast: Cast) -> None:
    organization = cast.tenant("Acme", Alice="admin", Bob="member")
    bob = somebody()
    bob.open("/objects/people")
    bob.sign_in("Bob")
    bob.inside()
    token = bob.token
    cast.tenants.remove(organization, cast.users["Bob"])
    assert "errors" in graphql(bob.origin, token, PEOPLE)
    bob.go_on()
    bob.reads("Adding you to the workspace")
    bob.page.evaluate("(() => { const now = Date.now; Date.now = () => now() + 60_000; })()")
    bob.reads("You are not a member of this workspace")
    bob.picture("not-a-member")
    assert bob.token_pair() is None
    cast.tenants.add(organization, cast.told("Bob"))
    bob.page.get_by_role("button", name="Try again").click()
    bob.inside()


def test_a_suspended_workspace_is_locked_until_it_is_resumed(somebody: Somebody, cast: Cast) -> None:
    organization = cast.tenant("Acme", Alice="admin")
    alice = somebody()
    alice.open("/objects/people")
    alice.sign_in("Alice")
    alice.inside()
    cast.tenants.suspend(organization)
    alice.go_on()
    alice.reads("This workspace is suspended")
    alice.picture("suspended")
    assert alice.token_pair() is None
    cast.tenants.resume(organization)
    alice.page.get_by_role("button", name="Try again").click()
    alice.inside()
    assert re.match("^/objects/", alice.path())


def test_invitations_and_passwords_are_closed_on_the_server_too(cast: Cast, public_url: str) -> None:
    cast.tenant("Acme", Alice="admin")
    refused = [
        ('mutation ($e: String!) { signUp(email: $e, password: "Passw0rd!x") { tokens { refreshToken { token } } } }', "signUp"),
        ('mutation ($e: String!) { signIn(email: $e, password: "Passw0rd!x") { tokens { refreshToken { token } } } }', "signIn"),
    ]
    for query, name in refused:
        answer = graphql(public_url, None, query, "/metadata", e=cast.email("mallory"))
        assert answer.get("errors"), name
        assert not (answer.get("data") or {}).get(name)


@pytest.mark.parametrize("attempt", range(2))
def test_two_tabs_at_once_are_one_person_in_one_workspace(somebody: Somebody, cast: Cast, attempt: int) -> None:
    organization = cast.tenant("Acme", Alice="admin")
    alice = somebody()
    alice.open()
    alice.sign_in("Alice")
    tabs = [alice.tab() for _ in range(2)]
    for tab in tabs:
        alice.open("/objects/people", tab)
    for tab in [alice.page, *tabs]:
        alice.inside(tab)
    told = cast.tenants.get(organization)
    assert told is not None
    assert [m["clerkUserId"] for m in told["members"]] == [cast.users["Alice"]]
