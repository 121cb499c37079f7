"""What ends at Clerk ends here: tokens belong to a session of Clerk, by webhook at once, without one within a minute of use."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.tenants.conftest import EXCHANGE, RENEW, WHO, Server, Tenant, read_session
from tests.tenants.test_sessions import PEOPLE, Listener, create, is_told_to_sign_in_again, renews, until, works

CONFIRM_EVERY = 60.0  # s; at most so often a session in use is asked for at Clerk
SLACK = 20.0


def signed_out(server: Server, token: str) -> int:
    return server.http.delete("/clerk/session", headers={"Authorization": f"Bearer {token}".strip()}).status_code


def told(server: Server, method: str, path: str, body: dict[str, str]) -> dict[str, object]:
    """What the tenant manager tells when a webhook came."""
    answer = server.internal.request(method, f"/internal/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_renewed_tokens_belong_to_the_same_session(server: Server, one: Tenant) -> None:
    session = server.session(one.workspace, one.owner.email)
    renewed = read_session(server.api().metadata(RENEW, token=session.refresh).ok()["renewToken"])
    again = read_session(server.api().metadata(RENEW, token=renewed.refresh).ok()["renewToken"])
    assert works(server, again.access)
    assert signed_out(server, session.clerk_token) == 204
    for token in (session.access, renewed.access, again.access):
        assert not works(server, token)
    assert not renews(server, again)


def test_tokens_without_a_session_of_clerk_open_nothing(server: Server, one: Tenant) -> None:
    """As upstream makes them, and as they were before tokens belonged to sessions."""
    login = server.login_token(one.workspace, one.owner.email)
    made = server.api().metadata(EXCHANGE, loginToken=login, origin=server.origin(one.workspace))
    session = read_session(made.ok()["getAuthTokensFromLoginToken"])
    assert not works(server, session.access)
    assert is_told_to_sign_in_again(server, session.access)
    assert not renews(server, session)


@pytest.mark.parametrize("claim", ["sess_unknown1", "inside", "", 7, None])
def test_a_session_that_nobody_began_opens_nothing(server: Server, one: Tenant, claim: object) -> None:
    """Signed well. ``inside`` is for tokens of minutes only."""
    user = one.api.metadata("{ currentUser { id currentUserWorkspace { id } } }").ok()["currentUser"]
    claims = {
        "sub": user["id"],
        "userId": user["id"],
        "userWorkspaceId": user["currentUserWorkspace"]["id"],
        "authProvider": "SSO",
    }
    now = int(time.time())
    token = server.sign("ACCESS", one.workspace, {**claims, "clerkSessionId": claim, "iat": now, "exp": now + 1800})
    assert not server.api(token).metadata(WHO).data


def test_signing_out_ends_the_session_on_the_server(server: Server, one: Tenant) -> None:
    person = one.member()
    by_clerk, by_access, other = (server.session(one.workspace, person.email) for _ in range(3))
    assert signed_out(server, by_clerk.clerk_token) == 204
    assert signed_out(server, by_access.access) == 204
    for session in (by_clerk, by_access):
        assert not works(server, session.access)
        assert is_told_to_sign_in_again(server, session.access)
        assert not renews(server, session)
        assert server.exchange(session.clerk_token)["status"] == "session-ended", "Clerk's token is still good for a minute"
    assert signed_out(server, by_clerk.clerk_token) == 204, "it may be repeated"
    assert works(server, other.access)
    assert renews(server, other)


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c"])
def test_signing_out_needs_a_token(server: Server, token: str) -> None:
    assert signed_out(server, token) == 401


def test_a_refresh_token_or_an_api_token_signs_nobody_out(server: Server, one: Tenant) -> None:
    session = server.session(one.workspace, one.owner.email)
    assert signed_out(server, session.refresh) == 401
    assert signed_out(server, one.api_token()) == 401
    assert works(server, session.access)


def test_an_ended_session_is_over_in_every_workspace(server: Server, one: Tenant, other: Tenant) -> None:
    person = one.member()
    other.put_member(person)
    first = server.session(one.workspace, person.email)
    server.known_at_clerk(other.workspace, person.email)
    token, _ = server.mint(other.workspace, session_id=first.clerk_session)
    second = read_session(server.exchange(token))
    assert works(server, second.access)
    told(server, "POST", f"sessions/{first.clerk_session}/end", {"clerkUserId": person.id})
    assert not works(server, first.access)
    assert not works(server, second.access)
    assert not renews(server, second)


def test_a_session_that_ended_before_it_came_is_not_let_in(server: Server, one: Tenant) -> None:
    """The webhook is faster than the page."""
    token, session_id = server.mint(one.workspace, user_id=server.known_at_clerk(one.workspace, one.owner.email))
    told(server, "POST", f"sessions/{session_id}/end", {})
    assert server.exchange(token)["status"] == "session-ended"


@pytest.mark.parametrize("standing", ["banned", "locked", "deleted"])
def test_whoever_is_not_let_in_at_clerk_is_not_let_in_here(server: Server, one: Tenant, standing: str) -> None:
    person = one.member()
    session = server.session(one.workspace, person.email)
    assert works(server, session.access)
    told(server, "PUT", f"users/{person.id}/standing", {"standing": standing})
    assert not works(server, session.access)
    assert is_told_to_sign_in_again(server, session.access)
    assert not renews(server, session)
    answer = server.http.post("/clerk/session", headers={"Authorization": f"Bearer {session.clerk_token}"})
    if standing == "deleted":
        assert (answer.status_code, answer.json()) == (401, {"error": "unauthorized"})
    else:
        assert answer.json() == {"status": standing, "organizationId": one.organization}
    told(server, "PUT", f"users/{person.id}/standing", {"standing": "good"})
    # a lock passes, and the session goes on; after a ban it needs a new one
    assert works(server, session.access) == (standing == "locked")
    assert works(server, server.session(one.workspace, person.email).access)


@pytest.mark.parametrize("verb", ["ban", "lock", "delete", "revoke"])
def test_the_exchange_asks_clerk(server: Server, one: Tenant, verb: str) -> None:
    """A token of Clerk lives for a minute longer than what it stands for."""
    person = one.member()
    user = server.known_at_clerk(one.workspace, person.email)
    token, session_id = server.mint(one.workspace, user_id=user)
    server.clerk.disturb("drop")
    try:
        act(server, verb, user, session_id, one.organization)
        answer = server.http.post("/clerk/session", headers={"Authorization": f"Bearer {token}"})
    finally:
        server.clerk.calm()
    wanted = {
        "ban": (200, "banned"),
        "lock": (200, "locked"),
        "delete": (401, None),
        "revoke": (200, "session-ended"),
    }[verb]
    assert (answer.status_code, answer.json().get("status")) == wanted
    if verb == "lock":
        server.clerk.change(user, locked=False)


def act(server: Server, verb: str, user: str, session_id: str, organization: str) -> None:
    match verb:
        case "revoke":
            server.clerk.revoke(session_id=session_id)
        case "ban":
            server.clerk.change(user, banned=True)
        case "lock":
            server.clerk.change(user, locked=True)
        case "delete":
            server.clerk.change(user, deleted=True)
        case "leave":
            server.clerk.change(user, left=organization)


def test_without_a_webhook_clerk_is_asked_at_most_once_a_minute(server: Server, one: Tenant) -> None:
    """Six people at work; what happens to five of them at Clerk is told by nobody. All of them are asked for, none of them often."""
    verbs = ["revoke", "ban", "lock", "delete", "leave", "nothing"]
    people = {verb: one.member() for verb in verbs}
    sessions = {verb: server.session(one.workspace, person.email) for verb, person in people.items()}
    renewing = server.session(one.workspace, people["revoke"].email)
    server.clerk.disturb("drop")
    try:
        server.clerk.drop_requests()
        began = time.monotonic()
        for verb, session in sessions.items():
            if verb != "nothing":
                act(server, verb, people[verb].id, session.clerk_session, one.organization)
        server.clerk.revoke(session_id=renewing.clerk_session)
        alive = {v: works(server, s.access) for v, s in sessions.items()}
        assert all(alive.values()), f"nobody told the server yet: {alive}"
        gone: dict[str, float] = {}
        while time.monotonic() - began < CONFIRM_EVERY + SLACK and len(gone) < 5:
            for verb, session in sessions.items():
                if verb not in gone and not server.api(session.access).metadata(WHO).data:
                    gone[verb] = time.monotonic() - began
            time.sleep(1)
        assert set(gone) == set(verbs) - {"nothing"}, gone
        assert max(gone.values()) < CONFIRM_EVERY + SLACK, gone
        assert not renews(server, renewing), "a renewal asks, and waits for the answer"
        for verb in gone:
            assert not renews(server, sessions[verb])
        assert works(server, sessions["nothing"].access)
        assert renews(server, sessions["nothing"])
        asked = [r["path"] for r in server.clerk.requests() if r["path"].startswith("/bapi/v1/sessions/")]
        for verb, session in sessions.items():
            assert asked.count(f"/bapi/v1/sessions/{session.clerk_session}") <= 2, (verb, asked)
    finally:
        server.clerk.calm()
        server.clerk.change(people["lock"].id, locked=False)


@pytest.mark.parametrize("kind", ["status", "hang"])
def test_while_clerk_is_out_of_reach_sessions_go_on_and_nobody_waits(server: Server, one: Tenant, kind: str) -> None:
    person = one.member()
    session = server.session(one.workspace, person.email)
    slowest = 0.0
    server.clerk.fault(kind, "backend")
    try:
        began = time.monotonic()
        while time.monotonic() - began < CONFIRM_EVERY + 10:
            asked = time.monotonic()
            assert server.api(session.access).metadata(WHO).data
            slowest = max(slowest, time.monotonic() - asked)
            time.sleep(0.5)
        assert slowest < 2, f"a request waited for Clerk: {slowest:.1f} s"
        renewed = server.api().metadata(RENEW, token=session.refresh)
        assert renewed.data, "a renewal waits for a few seconds, and goes on as well"
        assert works(server, read_session(renewed.ok()["renewToken"]).access)
        told(server, "POST", f"sessions/{session.clerk_session}/end", {"clerkUserId": person.id})
        assert not works(server, session.access)
    finally:
        server.clerk.heal()


def test_api_keys_need_no_session(server: Server, one: Tenant) -> None:
    session = server.session(one.workspace, one.owner.email)
    admin = server.api(session.access)
    roles = {role["label"]: role["id"] for role in admin.metadata("{ getRoles { id label } }").ok()["getRoles"]}
    expires = "2099-01-01T00:00:00.000Z"
    made = admin.metadata(
        "mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { id } }",
        input={"name": "key", "expiresAt": expires, "roleId": roles["Admin"]},
    ).ok()["createApiKey"]["id"]
    key = admin.metadata(
        "mutation ($id: UUID!, $at: String!) { generateApiKeyToken(apiKeyId: $id, expiresAt: $at) { token } }",
        id=made,
        at=expires,
    ).ok()["generateApiKeyToken"]["token"]
    assert signed_out(server, session.access) == 204
    assert not works(server, session.access)
    assert server.api(key).records(PEOPLE).data


def test_live_subscription_ends_with_the_session(server: Server, one: Tenant) -> None:
    person = one.member("admin")  # may read workflows, of which alone events are sent
    session = server.session(one.workspace, person.email)
    mine = one.api_token()
    with Listener(server, session.access) as listener:
        assert until(lambda: create(server, mine, "Jubail") and listener.heard("Jubail"), 15), listener.lines
        assert signed_out(server, session.access) == 204
        with Listener(server, mine) as witness:
            assert until(lambda: create(server, mine, "Najran") and witness.heard("Najran"), 15)
        assert not listener.heard("Najran")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "sessions/sess_abcdef/end", {"clerkUserId": "user_abcdef"}),
        ("PUT", "users/user_abcdef/standing", {"standing": "banned"}),
        ("GET", "users/refused", None),
        ("GET", "tenants/org_abcdef/credentials", None),
    ],
)
def test_only_the_tenant_manager_tells(server: Server, method: str, path: str, body: object) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = server.unsigned.request(method, f"/internal/{path}", json=body, headers=headers)
        assert (answer.status_code, answer.json()) == (401, {"error": "unauthorized"})


@pytest.mark.parametrize(
    ("method", "path", "body", "detail"),
    [
        ("POST", "sessions/abc/end", {}, "sessionId"),
        ("POST", "sessions/sess_abcdef/end", {"clerkUserId": "abc"}, "clerkUserId"),
        ("PUT", "users/abc/standing", {"standing": "good"}, "clerkUserId"),
        ("PUT", "users/user_abcdef/standing", {"standing": "away"}, "standing"),
        ("PUT", "users/user_abcdef/standing", [], "standing"),
    ],
)
def test_what_is_wrong_is_named(server: Server, method: str, path: str, body: object, detail: str) -> None:
    answer: httpx.Response = server.internal.request(method, f"/internal/{path}", json=body)
    assert answer.status_code == 400
    assert any(line.startswith(f"{detail}:") for line in answer.json()["details"])
