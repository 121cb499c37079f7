"""The tenant manager's side: who may ask, what is refused, and that every call may be repeated and come twice at once."""

from __future__ import annotations

import base64
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.tenants.conftest import WHO, Json, Person, Server, Tenant, fresh

PARALLEL = 10


def claims(token: str) -> dict[str, Json]:
    payload = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", "Basic d3Jvbmc=", "Bearer " + "x" * 4096],
    ids=["none", "empty", "no-token", "wrong", "basic", "long"],
)
@pytest.mark.parametrize("path", ["tenants", "tenants/org_abcdef", "tenants/org_abcdef/token", "users/user_abcdef"])
def test_without_the_secret_nothing_is_answered(server: Server, path: str, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    method = {"tenants": "GET", "tenants/org_abcdef": "PUT", "tenants/org_abcdef/token": "POST"}.get(path, "PATCH")
    answer = server.unsigned.request(method, f"/internal/{path}", headers=headers, json={} if method != "GET" else None)
    assert (answer.status_code, answer.json()) == (401, {"error": "unauthorized"})


def test_secret_is_compared_as_a_whole(server: Server) -> None:
    secret = server.internal.headers["Authorization"]
    for near in (secret[:-1], secret + "x", secret.swapcase(), secret.replace("Bearer ", "Bearer x")):
        assert server.unsigned.get("/internal/tenants", headers={"Authorization": near}).status_code == 401


def test_a_token_of_a_person_is_no_secret(server: Server, one: Tenant) -> None:
    answer = server.unsigned.get("/internal/tenants", headers={"Authorization": f"Bearer {one.api_token()}"})
    assert answer.status_code == 401


OWNER = {"clerkUserId": "user_abcdef", "email": "a@b.test", "emailVerified": True, "firstName": "A", "lastName": "B"}


@pytest.mark.parametrize(
    ("organization", "body", "detail"),
    [
        ("abcdef", {"name": "N", "owner": OWNER}, "organizationId"),
        ("org_a%27b%22c", {"name": "N", "owner": OWNER}, "organizationId"),
        ("org_abcdef", {"name": " ", "owner": OWNER}, "name"),
        ("org_abcdef", {"name": "x" * 256, "owner": OWNER}, "name"),
        ("org_abcdef", {"name": "a\nb", "owner": OWNER}, "name"),
        ("org_abcdef", {"name": ["N"], "owner": OWNER}, "name"),
        ("org_abcdef", {"name": "N"}, "owner"),
        ("org_abcdef", {"name": "N", "owner": {**OWNER, "email": "nobody"}}, "owner.email"),
        ("org_abcdef", {"name": "N", "owner": {**OWNER, "emailVerified": "yes"}}, "owner.emailVerified"),
        ("org_abcdef", {"name": "N", "owner": {**OWNER, "clerkUserId": "abcdef"}}, "owner.clerkUserId"),
        ("org_abcdef", {"name": "N", "owner": {**OWNER, "imageUrl": "http://img.test/a"}}, "owner.imageUrl"),
    ],
)
def test_what_is_wrong_is_named(server: Server, organization: str, body: object, detail: str) -> None:
    answer = server.internal.put(f"/internal/tenants/{organization}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid"
    assert any(line.startswith(f"{detail}:") for line in answer.json()["details"])
    assert server.internal.get("/internal/tenants/org_abcdef").status_code == 404


def test_tenant_is_made_once(server: Server) -> None:
    owner, organization = Person(), fresh("org")
    first = server.ensure(organization, owner, "Once")
    again = server.ensure(organization, owner, "Once")
    assert (first.status_code, first.json()["created"]) == (201, True)
    assert (again.status_code, again.json()["created"]) == (200, False)
    assert {**again.json(), "created": True} == first.json()
    assert first.json()["status"] == "active"


def test_owner_comes_in_as_admin_with_no_power_over_the_server(server: Server) -> None:
    one = server.tenant("One")
    user = one.api.metadata(
        "{ currentUser { email canImpersonate canAccessFullAdminPanel onboardingStatus"
        "  currentWorkspace { id displayName allowImpersonation activationStatus } } }"
    ).ok()["currentUser"]
    assert one.roles() == {one.owner.id: "admin"}
    assert user == {
        "email": one.owner.email,
        "canImpersonate": False,
        "canAccessFullAdminPanel": False,
        "onboardingStatus": "COMPLETED",
        "currentWorkspace": {
            "id": one.workspace,
            "displayName": "One",
            "allowImpersonation": False,
            "activationStatus": "ACTIVE",
        },
    }


def test_equal_calls_at_once_make_one_tenant(server: Server) -> None:
    owner, organization = Person(), fresh("org")
    total = server.internal.get("/internal/tenants?limit=1").json()["total"]
    with ThreadPoolExecutor(PARALLEL) as pool:
        answers = list(pool.map(lambda _: server.ensure(organization, owner), range(PARALLEL)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: PARALLEL - 1}
    assert len({answer.json()["workspaceId"] for answer in answers}) == 1
    assert server.internal.get("/internal/tenants?limit=1").json()["total"] == total + 1
    described = Tenant(server, organization, "", owner).describe()
    assert [member["clerkUserId"] for member in described["members"]] == [owner.id]


def test_one_owner_of_many_organisations_at_once(server: Server) -> None:
    owner = Person()
    organizations = [fresh("org") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda organization: server.ensure(organization, owner), organizations))
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.json()["workspaceId"] for answer in answers}) == 4


@pytest.mark.parametrize("name", ["Acme", "شركة النور", "  株式会社  ", "www", "a"])
def test_equal_names_are_different_tenants(server: Server, name: str) -> None:
    tenants = [server.tenant(name) for _ in range(2)]
    seen = [
        tenant.api.metadata("{ currentWorkspace { id displayName subdomain } }").ok()["currentWorkspace"] for tenant in tenants
    ]
    assert [workspace["displayName"] for workspace in seen] == [name.strip()] * 2
    assert len({workspace["id"] for workspace in seen}) == 2
    assert len({workspace["subdomain"] for workspace in seen}) == 2


def test_rename(server: Server) -> None:
    tenant = server.tenant("Before")
    for _ in range(2):
        answer = server.internal.patch(tenant.path, json={"name": "بعد"})
        assert (answer.status_code, answer.json()["name"]) == (200, "بعد")
    assert tenant.api.metadata("{ currentWorkspace { displayName } }").ok()["currentWorkspace"]["displayName"] == "بعد"
    assert server.internal.patch(f"/internal/tenants/{fresh('org')}", json={"name": "N"}).status_code == 404


def test_members_come_change_and_go(server: Server) -> None:
    tenant, person = server.tenant(), Person()
    first = tenant.put_member(person)
    again = tenant.put_member(person)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == {"clerkUserId": person.id, "userId": again.json()["userId"], "role": "member", "created": True}
    assert tenant.roles() == {tenant.owner.id: "admin", person.id: "member"}
    assert tenant.put_member(person, "admin").json()["role"] == "admin"
    assert tenant.roles()[person.id] == "admin"
    assert tenant.put_member(person, "member").status_code == 200
    assert tenant.roles()[person.id] == "member"
    assert tenant.remove(person) == {"removed": True, "adminsLeft": 1}
    assert tenant.remove(person) == {"removed": False, "adminsLeft": 1}
    assert tenant.roles() == {tenant.owner.id: "admin"}
    back = tenant.put_member(person)
    assert (back.status_code, back.json()["userId"]) == (201, first.json()["userId"])


def test_equal_members_at_once(server: Server, one: Tenant) -> None:
    person = Person()
    with ThreadPoolExecutor(PARALLEL) as pool:
        answers = list(pool.map(lambda _: one.put_member(person), range(PARALLEL)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: PARALLEL - 1}
    members = one.api.records(
        "query ($email: String!) { workspaceMembers(filter: { userEmail: { eq: $email } }) { edges { node { id } } } }",
        email=person.email,
    ).ok()["workspaceMembers"]["edges"]
    assert len(members) == 1


def test_different_members_and_removals_at_once(server: Server) -> None:
    tenant = server.tenant()
    people = [Person() for _ in range(PARALLEL)]
    with ThreadPoolExecutor(PARALLEL) as pool:
        assert {answer.status_code for answer in pool.map(tenant.put_member, people)} == {201}
    assert set(tenant.roles()) == {tenant.owner.id, *(person.id for person in people)}
    with ThreadPoolExecutor(PARALLEL) as pool:
        assert all(answer["removed"] for answer in pool.map(tenant.remove, people))
    assert set(tenant.roles()) == {tenant.owner.id}


def test_the_last_admin_may_go_and_the_answer_says_so(server: Server) -> None:
    tenant = server.tenant()
    person = tenant.member()
    assert tenant.remove(tenant.owner) == {"removed": True, "adminsLeft": 0}
    answer = server.internal.post(f"{tenant.path}/token", json={})
    assert (answer.status_code, answer.json()["error"]) == (409, "no-admin")
    assert tenant.put_member(person, "admin").status_code == 200
    assert tenant.api.metadata(WHO).ok()["currentUser"]["email"] == person.email


def test_the_last_admin_may_become_a_member(server: Server) -> None:
    tenant = server.tenant()
    assert tenant.put_member(tenant.owner, "member").status_code == 200
    assert tenant.roles() == {tenant.owner.id: "member"}


def test_a_repeated_creation_brings_nobody_back(server: Server) -> None:
    tenant = server.tenant()
    tenant.member("admin")
    tenant.remove(tenant.owner)
    assert server.ensure(tenant.organization, tenant.owner).status_code == 200
    assert tenant.owner.id not in tenant.roles()


def test_identity_is_the_clerk_id(server: Server) -> None:
    tenant, person = server.tenant(), Person()
    user = tenant.put_member(person).json()["userId"]
    moved = Person(email=f"new-{person.email}", id=person.id, first_name="Sara", last_name="Omar")
    body = {key: value for key, value in moved.told().items() if key != "clerkUserId"}
    answer = server.internal.patch(f"/internal/users/{person.id}", json=body)
    assert (answer.status_code, answer.json()) == (200, {"clerkUserId": person.id, "userId": user, "updated": True})
    assert server.internal.patch(f"/internal/users/{person.id}", json=body).json()["updated"] is False
    [member] = tenant.api.records(
        "query ($email: String!) { workspaceMembers(filter: { userEmail: { eq: $email } }) {"
        " edges { node { userId name { firstName lastName } } } } }",
        email=moved.email,
    ).ok()["workspaceMembers"]["edges"]
    assert member["node"] == {"userId": user, "name": {"firstName": "Sara", "lastName": "Omar"}}
    assert server.internal.patch(f"/internal/users/{fresh('user')}", json=body).status_code == 404


def test_an_unverified_address_is_nobodys(server: Server, one: Tenant) -> None:
    victim = one.member()
    before = one.describe()
    thief = Person(email=victim.email, verified=False)
    answer = one.put_member(thief)
    assert answer.status_code == 201
    users = {member["clerkUserId"]: member for member in one.describe()["members"]}
    assert users[thief.id]["userId"] != users[victim.id]["userId"]
    assert users[thief.id]["email"].endswith("@clerk.invalid")
    assert users[victim.id] in before["members"]


def test_a_verified_address_moves_without_its_former_owners_identity(server: Server, one: Tenant) -> None:
    former = one.member()
    heir = Person(email=former.email)
    assert one.put_member(heir).status_code == 201
    users = {member["clerkUserId"]: member for member in one.describe()["members"]}
    assert users[heir.id]["email"] == former.email
    assert users[former.id]["email"].endswith("@clerk.invalid")
    assert users[heir.id]["userId"] != users[former.id]["userId"]


def test_suspend_and_resume_may_be_repeated(server: Server) -> None:
    tenant = server.tenant()
    assert [tenant.post("suspend")["status"] for _ in range(2)] == ["suspended", "suspended"]
    assert server.ensure(tenant.organization, tenant.owner).json()["status"] == "suspended"
    assert [tenant.post("resume")["status"] for _ in range(2)] == ["active", "active"]
    assert server.internal.post(f"/internal/tenants/{fresh('org')}/suspend", json={}).status_code == 404


def test_token_is_short_lived_and_for_one_workspace(server: Server, one: Tenant) -> None:
    answer = server.internal.post(f"{one.path}/token", json={"ttlSeconds": 30})
    content = claims(answer.json()["token"])
    assert answer.headers["cache-control"] == "no-store"
    assert content["exp"] - content["iat"] == 30
    assert content["workspaceId"] == one.workspace
    for ttl in (0, -1, 601, 1.5, "60", True):
        assert server.internal.post(f"{one.path}/token", json={"ttlSeconds": ttl}).status_code == 400


def test_list_has_pages(server: Server, one: Tenant, other: Tenant) -> None:
    def page(**query: int) -> httpx.Response:
        return server.internal.get("/internal/tenants", params=query)

    total = page(limit=1).json()["total"]
    seen = [page(limit=1, offset=offset).json()["data"][0]["organizationId"] for offset in range(total)]
    assert len(set(seen)) == total
    assert {one.organization, other.organization} <= set(seen)
    assert page(limit=1, offset=total).json()["data"] == []
    for query in ({"limit": 0}, {"limit": 501}, {"offset": -1}):
        assert page(**query).status_code == 400
