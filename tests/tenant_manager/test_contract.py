"""The internal API of Twenty as the tenant manager needs it: asked of our stand-in, or of a real server.

``pytest tests/tenant_manager/test_contract.py --internal-url http://HOST:3000 --internal-secret SECRET`` makes one tenant of a random
organisation there, and leaves it suspended.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lab.clerk.control import NO_TLS
from tests.tenant_manager.conftest import SECRET, Standing
from tests.tenant_manager.twenty_internal import Twenty

Json = dict[str, Any]


@pytest.fixture(scope="module")
def api(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    address, secret = request.config.getoption("--internal-url"), request.config.getoption("--internal-secret")
    if not address:
        standing: Standing = request.getfixturevalue("standing")
        standing.twenty, address, secret = Twenty(SECRET), standing.address, SECRET
    headers = {"Authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=address, headers=headers, timeout=180, trust_env=False, verify=NO_TLS) as client:
        yield client


@pytest.fixture(scope="module")
def organization() -> str:
    return f"org_test{secrets.token_hex(10)}"


def person(name: str) -> Json:
    user_id = f"user_test{secrets.token_hex(10)}"
    email = f"{name.lower()}-{secrets.token_hex(4)}@lab.test"
    return {"clerkUserId": user_id, "email": email, "emailVerified": True, "firstName": name, "lastName": "Test"}


OWNER, OTHER = person("Owner"), person("Other")


def test_without_the_secret_nothing_is_told(api: httpx.Client) -> None:
    for wrong in ("Bearer wrong", "Bearer", "Basic wrong", ""):
        answer = api.get("/internal/tenants", headers={"authorization": wrong})
        assert answer.status_code == 401
        assert answer.json() == {"error": "unauthorized"}


def test_the_life_of_a_tenant(api: httpx.Client, organization: str) -> None:
    at = f"/internal/tenants/{organization}"
    unknown = api.get(at)
    assert unknown.status_code == 404
    assert unknown.json()["error"] == "tenant-not-found"
    body = {"name": "Contract شركة", "slug": f"contract-{organization[-6:]}", "owner": OWNER}
    first, again = api.put(at, json=body), api.put(at, json=body)
    assert (first.status_code, again.status_code) == (201, 200), first.text + again.text
    assert (first.json()["created"], again.json()["created"]) == (True, False)
    assert first.json()["workspaceId"] == again.json()["workspaceId"]

    model = api.post(f"{at}/data-model", json={"mode": "apply"})
    assert model.status_code == 200
    assert model.json()["status"] == "matched", model.text

    put = f"{at}/members/{OTHER['clerkUserId']}"
    assert api.put(put, json={"person": OTHER, "role": "member"}).json()["role"] == "member"
    assert api.put(put, json={"person": OTHER, "role": "admin"}).json()["created"] is False
    found = api.get(at).json()
    assert found["status"] == "active"
    assert {(m["clerkUserId"], m["email"], m["role"]) for m in found["members"]} == {
        (OWNER["clerkUserId"], OWNER["email"], "admin"),
        (OTHER["clerkUserId"], OTHER["email"], "admin"),
    }
    assert api.patch(at, json={"name": "Renamed"}).json()["name"] == "Renamed"
    changed = {name: value for name, value in OTHER.items() if name != "clerkUserId"} | {"firstName": "New"}
    assert api.patch(f"/internal/users/{OTHER['clerkUserId']}", json=changed).json()["userId"]
    assert api.delete(put).json() == {"removed": True, "adminsLeft": 1}
    assert api.delete(put).json()["removed"] is False
    assert api.post(f"{at}/suspend", json={}).json()["status"] == "suspended"
    assert api.post(f"{at}/suspend", json={}).json()["status"] == "suspended"
    assert api.post(f"{at}/resume", json={}).json()["status"] == "active"
    assert api.post(f"{at}/suspend", json={}).json()["status"] == "suspended"


@pytest.mark.parametrize("removed", [True, False], ids=["after-the-removal", "before-the-removal"])
def test_a_person_made_again_at_clerk_with_the_same_address_joins(api: httpx.Client, organization: str, removed: bool) -> None:
    """Deleted there and made anew: another id with the address that Twenty knows for the former one. Events come in any order."""
    at = f"/internal/tenants/{organization}"
    assert api.post(f"{at}/resume", json={}).json()["status"] == "active"
    former = person("Former")
    again = former | {"clerkUserId": person("Again")["clerkUserId"], "firstName": "Again"}
    former_id, again_id = former["clerkUserId"], again["clerkUserId"]
    assert api.put(f"{at}/members/{former_id}", json={"person": former, "role": "member"}).json()["created"] is True

    def end() -> None:
        assert api.delete(f"{at}/members/{former_id}").json()["removed"] is True
        assert api.put(f"/internal/users/{former_id}/standing", json={"standing": "deleted"}).json()["standing"] == "deleted"

    if removed:
        end()
    joined = api.put(f"{at}/members/{again_id}", json={"person": again, "role": "member"})
    assert joined.status_code == 201, joined.text
    if not removed:
        end()
    members = {m["clerkUserId"]: m for m in api.get(at).json()["members"]}
    assert former_id not in members
    assert (members[again_id]["email"], members[again_id]["role"]) == (again["email"], "member")
    assert api.post(f"{at}/suspend", json={}).json()["status"] == "suspended"


def test_lists_are_paged_and_count(api: httpx.Client, organization: str) -> None:
    page = api.get("/internal/tenants", params={"limit": 500, "offset": 0}).json()
    assert organization in {row["organizationId"] for row in page["data"]}
    assert page["total"] >= len(page["data"])
    assert api.get("/internal/tenants", params={"limit": 0}).status_code == 400


def test_what_is_wrong_is_refused_by_name(api: httpx.Client, organization: str) -> None:
    wrong = api.put(f"/internal/tenants/{organization}", json={"name": "", "owner": OWNER})
    assert wrong.status_code == 400
    assert wrong.json()["error"] == "invalid"
    nobody = api.patch(
        f"/internal/users/user_test{secrets.token_hex(8)}", json={k: v for k, v in OWNER.items() if k != "clerkUserId"}
    )
    assert nobody.status_code == 404
    assert nobody.json()["error"] == "user-not-found"
