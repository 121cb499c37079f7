"""The Backend API: users, organisations, memberships, pages, refusals, and the limit on requests."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.clerk.conftest import ALICE, BOB, CAROL, World
from tests.clerk.test_frontend import code


def test_only_the_secret_key_opens_it(world: World) -> None:
    path = f"{world.address}/bapi/v1/users"
    assert code(httpx.get(path, trust_env=False)) == (401, "authorization_header_format_invalid")
    wrong = {"Authorization": "Bearer sk_test_wrong"}
    assert code(httpx.get(path, headers=wrong, trust_env=False)) == (401, "clerk_key_invalid")
    admin = {"Authorization": f"Bearer {world.emulator.secrets.admin_token}"}
    assert httpx.get(path, headers=admin, trust_env=False).status_code == 401
    assert "access-control-allow-origin" not in world.backend.get("/users", headers={"origin": "http://crm.test"}).headers


def test_pages_neither_repeat_nor_lose_anybody(world: World) -> None:
    world.control.seed([{"email": f"gen{n}@lab.test"} for n in range(27)], quiet=True)
    seen: list[str] = []
    for offset in range(0, 40, 10):
        seen += [u["id"] for u in world.backend.get("/users", params={"limit": 10, "offset": offset}).json()]
    assert len(seen) == len(set(seen)) == 30
    assert world.backend.get("/users/count").json() == {"object": "total_count", "total_count": 30}
    newest_first = world.backend.get("/users", params={"limit": 500}).json()
    assert [u["created_at"] for u in newest_first] == sorted((u["created_at"] for u in newest_first), reverse=True)
    oldest = world.backend.get("/users", params={"limit": 1, "order_by": "created_at"}).json()
    assert oldest[0]["id"] == world.user(ALICE)


@pytest.mark.parametrize(
    ("name", "value"), [("limit", "0"), ("limit", "501"), ("limit", "x"), ("offset", "-1"), ("order_by", "hat")]
)
def test_a_page_that_cannot_be_is_refused(world: World, name: str, value: str) -> None:
    assert code(world.backend.get("/users", params={name: value})) == (422, "form_param_value_invalid")


def test_users_are_found_by_what_they_are(world: World) -> None:
    def found(**query: str) -> list[str]:
        return [u["email_addresses"][0]["email_address"] for u in world.backend.get("/users", params=query).json()]

    assert found(email_address="Alice@lab.test") == [ALICE]
    assert found(user_id=world.user(BOB)) == [BOB]
    assert found(query="carol") == [CAROL]
    assert sorted(found(organization_id=world.ids["Acme"])) == [ALICE, BOB]
    assert found(email_address="nobody@lab.test") == []


def test_a_users_life(world: World) -> None:
    made = world.backend.post(
        "/users", json={"email_address": ["Dave@lab.test"], "first_name": "Dave", "external_id": "d-1"}
    ).json()
    path = f"/users/{made['id']}"
    assert made["email_addresses"][0]["email_address"] == "dave@lab.test"
    assert code(world.backend.post("/users", json={"email_address": ["dave@lab.test"]})) == (422, "form_identifier_exists")
    assert code(world.backend.post("/users", json={"email_address": ["x@lab.test"], "external_id": "d-1"}))[0] == 422
    assert code(world.backend.post("/users", json={"email_address": ["x@lab.test"], "hat": 1})) == (422, "form_param_unknown")
    assert code(world.backend.post("/users", json={})) == (422, "form_param_missing")
    assert code(world.backend.post("/users", json={"email_address": ["x@lab.test"], "first_name": 7})) == (
        422,
        "form_param_value_invalid",
    )
    assert code(world.backend.post("/users", content=b"{")) == (400, "request_body_invalid")
    world.backend.patch(f"{path}/metadata", json={"public_metadata": {"a": {"b": 1, "c": 2}}})
    merged = world.backend.patch(f"{path}/metadata", json={"public_metadata": {"a": {"b": None}}}).json()
    assert merged["public_metadata"] == {"a": {"c": 2}}
    assert world.backend.patch(path, json={"first_name": "David"}).json()["first_name"] == "David"
    assert world.backend.delete(path).json() == {"object": "user", "id": made["id"], "deleted": True}
    assert code(world.backend.get(path)) == (404, "resource_not_found")


def test_a_changed_address_keeps_the_person(world: World) -> None:
    fields = {"user_id": world.user(BOB), "email_address": "robert@lab.test", "verified": False}
    email = world.backend.post("/email_addresses", json=fields).json()
    assert email["verification"]["status"] == "unverified"
    path = f"/users/{world.user(BOB)}"
    refused = world.backend.patch(path, json={"primary_email_address_id": email["id"]})
    assert code(refused) == (422, "form_param_value_invalid")
    world.backend.patch(f"/email_addresses/{email['id']}", json={"verified": True})
    changed = world.backend.patch(path, json={"primary_email_address_id": email["id"]}).json()
    assert changed["id"] == world.user(BOB)
    assert changed["primary_email_address_id"] == email["id"]
    old = changed["email_addresses"][0]["id"]
    assert world.backend.delete(f"/email_addresses/{old}").json()["deleted"] is True
    assert [e["email_address"] for e in world.backend.get(path).json()["email_addresses"]] == ["robert@lab.test"]


def test_an_organizations_life(world: World) -> None:
    fields = {"name": "Initech", "created_by": world.user(CAROL), "public_metadata": {"plan": "free"}}
    made = world.backend.post("/organizations", json=fields).json()
    assert (made["slug"], made["created_by"], made["members_count"]) == ("initech", world.user(CAROL), 1)
    assert world.backend.get("/organizations/initech").json()["id"] == made["id"]
    assert "members_count" not in world.backend.get(f"/organizations/{made['id']}").json()
    counted = world.backend.get(f"/organizations/{made['id']}", params={"include_members_count": "true"}).json()
    assert counted["members_count"] == 1
    assert code(world.backend.post("/organizations", json={"name": "X", "slug": "initech"})) == (422, "form_identifier_exists")
    assert code(world.backend.post("/organizations", json={"name": "X", "slug": "Not A Slug"})) == (
        422,
        "form_param_value_invalid",
    )
    assert code(world.backend.post("/organizations", json={"name": "X", "created_by": "user_none"})) == (
        404,
        "resource_not_found",
    )
    renamed = world.backend.patch(f"/organizations/{made['id']}", json={"name": "Initrode"}).json()
    assert (renamed["name"], renamed["slug"]) == ("Initrode", "initech")
    assert renamed["updated_at"] > made["updated_at"]
    gone = world.backend.delete(f"/organizations/{made['id']}").json()
    assert gone == {"object": "organization", "id": made["id"], "slug": "initech", "deleted": True}
    assert world.backend.get(f"/users/{world.user(CAROL)}/organization_memberships").json() == {"data": [], "total_count": 0}


def test_memberships(world: World) -> None:
    path = f"/organizations/{world.ids['Acme']}/memberships"
    listed = world.backend.get(path, params={"limit": 1}).json()
    assert (len(listed["data"]), listed["total_count"]) == (1, 2)
    assert {m["public_user_data"]["identifier"] for m in world.backend.get(path).json()["data"]} == {ALICE, BOB}
    added = world.backend.post(path, json={"user_id": world.user(CAROL), "role": "org:member"}).json()
    assert added["organization"]["id"] == world.ids["Acme"]
    again = world.backend.post(path, json={"user_id": world.user(CAROL), "role": "org:member"})
    assert code(again) == (400, "already_a_member_in_organization")
    carol = f"{path}/{world.user(CAROL)}"
    assert code(world.backend.patch(carol, json={"role": "org:king"})) == (404, "resource_not_found")
    assert world.backend.patch(carol, json={"role": "org:admin"}).json()["role"] == "org:admin"
    assert world.backend.get(path, params={"role": "org:admin"}).json()["total_count"] == 2
    assert world.backend.delete(carol).json()["public_user_data"]["user_id"] == world.user(CAROL)
    assert code(world.backend.delete(carol)) == (404, "resource_not_found")
    alone = world.backend.delete(f"{path}/{world.user(ALICE)}")
    assert code(alone) == (400, "organization_minimum_permissions_needed")
    assert world.backend.get("/organization_memberships").json()["total_count"] == 3
    of_alice = world.backend.get(f"/users/{world.user(ALICE)}/organization_memberships").json()
    assert {m["organization"]["slug"] for m in of_alice["data"]} == {"acme", "globex"}


def test_a_full_organization_takes_nobody(world: World) -> None:
    world.backend.patch(f"/organizations/{world.ids['Acme']}", json={"max_allowed_memberships": 2})
    path = f"/organizations/{world.ids['Acme']}/memberships"
    refused = world.backend.post(path, json={"user_id": world.user(CAROL), "role": "org:member"})
    assert code(refused) == (403, "organization_membership_quota_exceeded")


def test_losing_the_membership_takes_the_organization_out_of_the_session(world: World) -> None:
    page = world.page()
    session = page.sign_in(BOB)
    world.backend.delete(f"/organizations/{world.ids['Acme']}/memberships/{world.user(BOB)}")
    assert page.get(f"/v1/client/sessions/{session}")["response"]["last_active_organization_id"] is None


def test_invitations(world: World) -> None:
    path = f"/organizations/{world.ids['Acme']}/invitations"
    made = world.backend.post(path, json={"email_address": "new@lab.test", "role": "org:member", "expires_in_days": 3}).json()
    assert made["expires_at"] - made["created_at"] == pytest.approx(3 * 86_400_000, abs=1000)
    assert world.backend.get(path, params={"status": "pending"}).json()["total_count"] == 1
    assert world.backend.get(f"{path}/{made['id']}").json() == made
    assert world.backend.post(f"{path}/{made['id']}/revoke").json()["status"] == "revoked"
    elsewhere = f"/organizations/{world.ids['Globex']}/invitations/{made['id']}"
    assert code(world.backend.get(elsewhere)) == (404, "resource_not_found")


def test_sessions_are_revoked(world: World) -> None:
    page = world.page()
    session = page.sign_in(ALICE)
    assert [s["id"] for s in world.backend.get("/sessions", params={"user_id": world.user(ALICE)}).json()] == [session]
    assert world.backend.post(f"/sessions/{session}/revoke").json()["status"] == "revoked"
    assert page.ask("POST", f"/v1/client/sessions/{session}/tokens").status_code == 401
    assert world.backend.post(f"/sessions/{session}/tokens").status_code == 404
    without = world.backend.post("/sessions", json={"user_id": world.user(BOB)}).json()
    assert world.backend.post(f"/sessions/{without['id']}/tokens").json()["jwt"].count(".") == 2


def test_a_banned_person_is_out(world: World) -> None:
    page = world.page()
    session = page.sign_in(BOB)
    assert world.backend.post(f"/users/{world.user(BOB)}/ban").json()["banned"] is True
    assert page.ask("POST", f"/v1/client/sessions/{session}/tokens").status_code == 401
    assert world.browser.post("/sign-in", data={"identifier": BOB, "redirect_url": "http://crm.test/"}).status_code == 403
    world.backend.post(f"/users/{world.user(BOB)}/unban")
    page.sign_in(BOB)


def test_too_many_requests_are_told_when_to_come_back(world: World) -> None:
    world.control.settings(rate_limit=5, rate_window=1)
    answers = [world.backend.get("/users/count") for _ in range(8)]
    assert [a.status_code for a in answers] == [200] * 5 + [429] * 3
    assert code(answers[-1]) == (429, "too_many_requests")
    wait = int(answers[-1].headers["retry-after"])
    assert 1 <= wait <= 2
    wrong = httpx.get(f"{world.address}/bapi/v1/users", headers={"Authorization": "Bearer x"}, trust_env=False)
    assert wrong.status_code == 401  # a wrong key is no reason to make the right one wait
    time.sleep(wait)  # what the answer says is what is being tested
    assert world.backend.get("/users/count").status_code == 200


def test_a_development_instance_is_full_at_a_hundred(world: World) -> None:
    world.control.settings(user_quota=4, rate_limit=None)
    assert world.backend.post("/users", json={"email_address": ["four@lab.test"]}).status_code == 200
    refused = world.backend.post("/users", json={"email_address": ["five@lab.test"]})
    assert code(refused) == (403, "user_quota_exceeded")
