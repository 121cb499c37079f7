"""A removed member and a suspended tenant lose their sessions at once, access and renewal alike, and for good."""

from __future__ import annotations

import threading
from collections.abc import Callable

import httpx
import pytest

from tests.tenants.conftest import EXCHANGE, RENEW, WHO, Json, Server, Session, Tenant, read_session

PEOPLE = "{ people(first: 1) { edges { node { id } } } }"


def works(server: Server, access: str) -> bool:
    """Asks all three ways in; they agree."""
    headers = {"Authorization": f"Bearer {access}"}
    answers = {
        bool(server.api(access).metadata(WHO).data),
        bool(server.api(access).records(PEOPLE).data),
        server.http.get("/rest/people?limit=1", headers=headers).status_code == 200,
    }
    assert len(answers) == 1, answers
    return answers.pop()


def is_told_to_sign_in_again(server: Server, access: str) -> bool:
    """The page renews its tokens, and leaves, on this code only; "forbidden" would leave it standing as it is."""
    api = server.api(access)
    return {api.metadata(WHO).code, api.records(PEOPLE).code} == {"UNAUTHENTICATED"}


def renews(server: Server, session: Session) -> bool:
    return not server.api().metadata(RENEW, token=session.refresh).errors


def test_exchange_takes_the_workspace_from_the_token(server: Server, one: Tenant, other: Tenant) -> None:
    """The newest workspace is another one; upstream would refuse."""
    server.tenant("Newest")
    for tenant in (one, other):
        session = server.session(tenant.workspace, tenant.owner.email)
        workspace = server.api(session.access).metadata(WHO).ok()["currentUser"]["currentWorkspace"]
        assert workspace["id"] == tenant.workspace
        renewed = read_session(server.api().metadata(RENEW, token=session.refresh).ok()["renewToken"])
        assert server.api(renewed.access).metadata(WHO).ok()["currentUser"]["currentWorkspace"]["id"] == tenant.workspace


def test_with_subdomains_the_exchange_is_at_the_own_address_only(server: Server, one: Tenant, other: Tenant) -> None:
    if not server.has_subdomains:
        pytest.skip("asks a server with IS_MULTIWORKSPACE_ENABLED=true")
    assert server.origin(one.workspace) != server.origin(other.workspace)
    for origin in (server.origin(other.workspace), str(server.http.base_url), "http://app.crm.test"):
        token = server.login_token(one.workspace, one.owner.email)
        answer = server.api().metadata(EXCHANGE, loginToken=token, origin=origin)
        assert answer.errors, origin
        assert not answer.data
    assert server.session(one.workspace, one.owner.email).access


def test_exchange_needs_a_membership(server: Server, one: Tenant, other: Tenant) -> None:
    token = server.login_token(one.workspace, other.owner.email)
    answer = server.api().metadata(EXCHANGE, loginToken=token, origin=server.origin(one.workspace))
    assert answer.errors
    assert not answer.data


def test_removal_ends_access_and_renewal_at_once(server: Server, one: Tenant) -> None:
    person = one.member()
    session, spare = (server.session(one.workspace, person.email) for _ in range(2))
    assert works(server, session.access)
    assert renews(server, session)
    one.remove(person)
    assert not works(server, session.access)
    assert is_told_to_sign_in_again(server, session.access)
    assert not renews(server, spare)
    token = server.login_token(one.workspace, person.email)
    assert server.api().metadata(EXCHANGE, loginToken=token, origin=server.origin(one.workspace)).errors
    one.put_member(person)
    assert not works(server, session.access)
    assert not renews(server, spare)
    assert works(server, server.session(one.workspace, person.email).access)


def test_removal_from_one_tenant_leaves_the_others(server: Server, one: Tenant, other: Tenant) -> None:
    person = one.member()
    other.put_member(person)
    session = server.session(other.workspace, person.email)
    one.remove(person)
    assert works(server, session.access)
    assert renews(server, session)


def test_suspension_ends_every_session_and_keeps_the_data(server: Server, other: Tenant) -> None:
    tenant = server.tenant("Suspended")
    person = tenant.member()
    session, spare = (server.session(tenant.workspace, person.email) for _ in range(2))
    unconcerned = server.session(other.workspace, other.owner.email)
    created = server.api(session.access).records('mutation { createPerson(data: { city: "Riyadh" }) { id } }').ok()
    tenant.post("suspend")
    assert not works(server, session.access)
    assert is_told_to_sign_in_again(server, session.access)
    headers = {"Authorization": f"Bearer {session.access}"}
    assert server.http.get("/rest/people?limit=1", headers=headers).status_code == 401
    assert not renews(server, spare)
    token = server.login_token(tenant.workspace, person.email)
    assert server.api().metadata(EXCHANGE, loginToken=token, origin=server.origin(tenant.workspace)).errors
    assert server.internal.post(f"{tenant.path}/token", json={}).status_code != 200
    assert works(server, unconcerned.access)
    tenant.post("resume")
    assert not works(server, session.access)
    assert not renews(server, spare)
    again = server.session(tenant.workspace, person.email)
    found = server.api(again.access).records("{ people { edges { node { id city } } } }").ok()
    assert created["createPerson"]["id"] in [edge["node"]["id"] for edge in found["people"]["edges"]]


def test_impersonation_is_refused_even_with_a_signed_token(server: Server, one: Tenant) -> None:
    person = one.member()
    rows = one.api.metadata(
        "{ currentUser { currentUserWorkspace { id } } }",
    ).ok()["currentUser"]["currentUserWorkspace"]
    victims = server.session(one.workspace, person.email)
    target = server.api(victims.access)
    victim = target.metadata("{ currentUser { id currentUserWorkspace { id } workspaceMember { id } } }").ok()["currentUser"]
    claims = {
        "clerkSessionId": victims.clerk_session,
        "sub": victim["id"],
        "userId": victim["id"],
        "userWorkspaceId": victim["currentUserWorkspace"]["id"],
        "workspaceMemberId": victim["workspaceMember"]["id"],
        "authProvider": "SSO",
    }
    assert server.api(server.sign("ACCESS", one.workspace, claims)).metadata(WHO).data
    impersonating = {
        **claims,
        "authProvider": "IMPERSONATION",
        "isImpersonating": True,
        "impersonatorUserWorkspaceId": rows["id"],
        "impersonatedUserWorkspaceId": victim["currentUserWorkspace"]["id"],
    }
    answer = server.api(server.sign("ACCESS", one.workspace, impersonating)).metadata(WHO)
    assert not answer.data
    assert answer.errors[0]["message"] == "This session has ended"


def test_a_token_without_a_workspace_opens_nothing(server: Server, one: Tenant) -> None:
    user = one.api.metadata(WHO).ok()["currentUser"]["id"]
    token = server.sign("WORKSPACE_AGNOSTIC", user, {"sub": user, "userId": user, "authProvider": "SSO"})
    answer = server.api(token).metadata("{ currentUser { id } }")
    assert answer.errors, answer.body
    assert not answer.data


class Listener:
    """A live subscription over server-sent events, read in a thread until it is left."""

    def __init__(self, server: Server, access: str, **wanted: Json) -> None:
        self.lines: list[str] = []
        query = "subscription ($input: OnDbEventInput!) { onDbEvent(input: $input) { action objectNameSingular record } }"
        body = {"query": query, "variables": {"input": wanted}}
        headers = {"Authorization": f"Bearer {access}", "Accept": "text/event-stream"}
        self._http = httpx.Client(base_url=server.http.base_url, timeout=httpx.Timeout(60, read=60))
        self._stream = self._http.stream("POST", "/metadata", json=body, headers=headers)
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Listener:
        self._response = self._stream.__enter__()
        assert self._response.status_code == 200
        self._thread.start()
        return self

    def _read(self) -> None:
        try:
            for line in self._response.iter_lines():
                self.lines.append(line)
        except (httpx.HTTPError, httpx.StreamError):
            return

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def heard(self, text: str) -> bool:
        return any(text in line for line in self.lines)


def until(condition: Callable[[], bool], seconds: float) -> bool:
    tick = threading.Event()
    for _ in range(int(seconds * 10)):
        if condition():
            return True
        tick.wait(0.1)
    return condition()


def create(server: Server, access: str, name: str) -> bool:
    created = server.api(access).records("mutation ($n: String!) { createWorkflow(data: { name: $n }) { id } }", n=name)
    return bool(created.ok()["createWorkflow"]["id"])


def test_live_subscription_hears_its_own_workspace_and_ends_with_the_membership(
    server: Server, one: Tenant, other: Tenant
) -> None:
    """The own event shows that the listener works; what it did not hear until then, it never will."""
    person = one.member("admin")
    session = server.session(one.workspace, person.email)
    mine, theirs = one.api_token(), other.api_token()
    with Listener(server, session.access) as listener:
        assert until(lambda: create(server, mine, "Jeddah") and listener.heard("Jeddah"), 15), listener.lines
        create(server, theirs, "Muscat")
        create(server, mine, "Dammam")
        assert until(lambda: listener.heard("Dammam"), 10)
        assert not listener.heard("Muscat")
        one.remove(person)
        with Listener(server, mine) as witness:
            assert until(lambda: create(server, mine, "Tabuk") and witness.heard("Tabuk"), 15)
        assert not listener.heard("Tabuk")


def test_live_subscription_hears_nothing_that_its_role_may_not_read(server: Server, one: Tenant) -> None:
    """Upstream sends each member whole records of every object."""
    person, mine = one.member(), one.api_token()
    member = server.session(one.workspace, person.email).access
    with Listener(server, member) as listener, Listener(server, mine, objectNameSingular="workflow") as witness:
        assert until(lambda: create(server, mine, "Abha") and witness.heard("Abha"), 15), witness.lines
        created = server.api(mine).records('mutation { createPerson(data: { city: "Najran" }) { id } }')
        assert created.ok()["createPerson"]["id"]
        create(server, mine, "Hail")
        assert until(lambda: witness.heard("Hail"), 10)
        assert not listener.heard("Abha")
        assert not listener.heard("Najran")
        assert not witness.heard("Najran")


def test_live_subscription_to_other_objects_hears_nothing(server: Server, one: Tenant) -> None:
    """Not even an admin's. The workflow that is made afterwards shows that the event would have been there by then."""
    mine = one.api_token()
    made = 'mutation { createPerson(data: { name: { firstName: "Taif" } }) { id } }'
    with Listener(server, mine, objectNameSingular="person") as listener, Listener(server, mine) as witness:
        assert until(lambda: create(server, mine, "Abha") and witness.heard("Abha"), 15), witness.lines
        server.api(mine).records(made).ok()
        assert until(lambda: create(server, mine, "Najran") and witness.heard("Najran"), 15)
        assert not listener.heard("Taif")
        assert not witness.heard("Taif")
