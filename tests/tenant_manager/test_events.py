"""Each event that Clerk sends, and what it does to Twenty."""

from __future__ import annotations

import json
import operator
from functools import partial

import httpx
import pytest

from lab.clerk.control import NO_TLS
from lab.command import wait_until
from tests.tenant_manager.conftest import ALICE, BOB, CAROL, World
from tests.tenant_manager.twenty_internal import Fault

PEOPLE = [
    {"email": ALICE, "first_name": "Alice", "last_name": "Admin"},
    {"email": BOB, "first_name": "Bob"},
    {"email": CAROL, "first_name": "Carol"},
]


def seeded(world: World) -> dict[str, str]:
    made = world.clerk.seed(PEOPLE, [{"name": "Acme", "slug": "acme", "members": {ALICE: "admin", BOB: "member"}}])
    found: dict[str, str] = made["users"] | made["organizations"]
    return found


def test_the_life_of_a_tenant(world: World) -> None:
    world.start()
    ids = seeded(world)
    acme, bapi = ids["Acme"], world.backend
    world.settle()
    tenant = world.twenty.tenants[acme]
    assert tenant["slug"] == "acme"
    assert tenant["model"]
    assert tenant["members"] == {ids[ALICE]: "admin", ids[BOB]: "member"}

    added = bapi.post(f"/organizations/{acme}/memberships", json={"user_id": ids[CAROL], "role": "org:member"})
    assert added.status_code == 200, added.text
    world.settle()
    bapi.patch(f"/organizations/{acme}/memberships/{ids[CAROL]}", json={"role": "org:admin"}).raise_for_status()
    world.settle()
    assert tenant["members"][ids[CAROL]] == "admin"
    bapi.patch(f"/organizations/{acme}", json={"name": "Acme & Söhne"}).raise_for_status()
    world.settle()
    assert tenant["slug"] == "acme"
    bapi.patch(f"/users/{ids[BOB]}", json={"first_name": "Robert"}).raise_for_status()
    world.settle()
    assert world.twenty.users[ids[BOB]]["firstName"] == "Robert"
    email = {"user_id": ids[BOB], "email_address": "robert@lab.test", "verified": True, "primary": True}
    bapi.post("/email_addresses", json=email).raise_for_status()
    world.settle()
    assert world.twenty.users[ids[BOB]]["email"] == "robert@lab.test"
    bapi.delete(f"/organizations/{acme}/memberships/{ids[CAROL]}").raise_for_status()
    world.settle()
    bapi.delete(f"/users/{ids[BOB]}").raise_for_status()
    world.settle()
    assert list(tenant["members"]) == [ids[ALICE]]
    bapi.delete(f"/organizations/{acme}").raise_for_status()
    world.settle()
    assert tenant["status"] == "suspended"
    assert tenant["members"], "data of a deleted organisation are kept"
    assert world.twenty.effects.count(f"created {acme}") == 1
    assert world.twenty.overlaps == []


def test_a_deleted_user_without_word_of_their_memberships_is_out(world: World) -> None:
    world.clerk.settings(cascade_events=False)
    world.start()
    ids = seeded(world)
    world.settle()
    world.backend.delete(f"/users/{ids[BOB]}").raise_for_status()
    world.settle()
    assert list(world.twenty.tenants[ids["Acme"]]["members"]) == [ids[ALICE]]


def test_equal_and_arabic_names_are_distinct_tenants(world: World) -> None:
    world.start()
    world.clerk.seed(PEOPLE)
    users = {u.primary_email.email_address: u.id for u in world.emulator.instance.data.users.values() if u.primary_email}
    for name in ("شركة النور", "شركة النور", "Acme", "Acme", "日本"):
        answer = world.backend.post("/organizations", json={"name": name, "created_by": users[ALICE]})
        answer.raise_for_status()
    world.settle()
    tenants = list(world.twenty.tenants.values())
    assert len({t["workspaceId"] for t in tenants}) == len({t["slug"] for t in tenants}) == 5
    assert all(t["slug"].isascii() for t in tenants)


def test_unknown_types_are_kept_and_ignored(world: World) -> None:
    manager = world.start()
    body = world.event("session.created", {"id": "sess_1"})
    answer = httpx.post(manager.url, content=body, headers=world.signed(body, "msg_1"), verify=NO_TLS)
    assert answer.status_code == 202
    assert world.rows("SELECT state, target FROM event") == [{"state": "ignored", "target": None}]
    assert world.twenty.ended == [], "the beginning of a session ends none"


def test_the_same_id_twice_is_one_event(world: World) -> None:
    manager = world.start()
    body = world.event("organization.created", {"id": "org_gone12345"})
    for _ in range(3):
        answer = httpx.post(manager.url, content=body, headers=world.signed(body, "msg_1"), verify=NO_TLS)
        assert answer.status_code == 202
    assert len(world.rows("SELECT * FROM event")) == 1


def test_the_self_test_is_done_and_leaves_no_tenant(world: World) -> None:
    manager = world.start()
    told = json.loads(world.command("events", "self-test").stdout)
    assert manager.url.endswith(told["path"])
    answer = httpx.post(manager.url, content=told["body"], headers=told["headers"], verify=NO_TLS)
    assert answer.status_code == 202
    wait_until(lambda: world.rows("SELECT 1 FROM event WHERE state = 'done'"), 10, "the self-test is not worked off")
    assert world.twenty.asked.count("GET /internal/tenants") == len(world.twenty.asked), "only readiness was asked"
    assert world.rows("SELECT * FROM tenant") == []


@pytest.mark.parametrize("style", ["compact", "spaced", "escaped"])
def test_the_bytes_are_verified_however_the_json_is_written(world: World, style: str) -> None:
    world.start()
    world.clerk.endpoint(json_style=style)
    made = world.clerk.seed(PEOPLE[:1], [{"name": "Ünï شركة", "members": {ALICE: "admin"}}])
    world.settle()
    assert all(m["attempts"][0]["status"] == 202 for m in world.clerk.messages()), made


def test_a_new_secret_and_the_old_one_both_sign(world: World) -> None:
    world.start()
    world.clerk.rotate_webhook_secret()  # Svix sends two signatures; ours knows the old secret only
    seeded(world)
    world.settle()
    assert {m["state"] for m in world.clerk.messages()} == {"delivered"}


def test_an_outage_is_waited_for_and_its_retry_after_honoured(world: World) -> None:
    world.twenty.faults.append(Fault(503, "PUT .*", count=1, headers={"retry-after": "3"}))
    world.start()
    seeded(world)
    wait_until(lambda: world.rows("SELECT 1 FROM event WHERE attempts = 1"), 20, "nothing failed")
    found = world.rows("SELECT extract(epoch FROM next_attempt_at - clock_timestamp()) AS s FROM event WHERE attempts = 1")
    assert any(row["s"] > 1.5 for row in found), found
    world.clerk.fault("status", "backend", status=429, retry_after=1, count=2)
    world.settle()


def test_poison_becomes_a_dead_letter_and_blocks_nobody(world: World) -> None:
    world.start(ATTEMPTS_REFUSED="3")
    ids = seeded(world)
    world.settle()
    world.twenty.faults.append(Fault(400, f"PATCH /internal/tenants/{ids['Acme']}", count=None))
    world.backend.patch(f"/organizations/{ids['Acme']}", json={"name": "Poison"}).raise_for_status()
    world.backend.post(f"/organizations/{ids['Acme']}/memberships", json={"user_id": ids[CAROL], "role": "org:member"})
    made = world.clerk.seed([], [{"name": "Other", "members": {BOB: "admin"}}])
    wait_until(lambda: made["organizations"]["Other"] in world.twenty.tenants, 20, "another organisation is blocked")
    wait_until(lambda: world.rows("SELECT 1 FROM event WHERE state = 'dead'"), 30, lambda: f"no dead letter: {world.left()}")
    assert ids[CAROL] in world.twenty.tenants[ids["Acme"]]["members"], "the rest of the organisation is served"
    world.twenty.faults.clear()
    for row in world.rows("SELECT svix_id FROM event WHERE state = 'dead'"):
        assert world.command("events", "retry", row["svix_id"]).returncode == 0
    world.settle()
    assert world.rows("SELECT 1 FROM event WHERE state = 'dead'") == []


def test_a_404_that_is_not_clerks_takes_nothing_away(world: World) -> None:
    world.start(ATTEMPTS_OUTAGE="2")
    ids = seeded(world)
    world.settle()
    world.clerk.fault("status", "backend", status=404, code="not_a_route")
    world.backend.patch(f"/organizations/{ids['Acme']}", json={"name": "x"})
    body = world.event("organization.deleted", {"id": ids["Acme"]})
    httpx.post(world.managers[0].url, content=body, headers=world.signed(body), verify=NO_TLS)
    wait_until(lambda: world.rows("SELECT 1 FROM event WHERE state = 'dead'"), 30, "no dead letter")
    assert world.twenty.tenants[ids["Acme"]]["status"] == "active"


def test_a_database_that_is_down_means_503_and_success_later(world: World) -> None:
    manager = world.start()
    body = world.event("session.created", {"id": "sess_1"})
    world.postgres.kill()
    try:
        assert (
            httpx.post(manager.url, content=body, headers=world.signed(body, "msg_1"), timeout=20, verify=NO_TLS).status_code
            == 503
        )
        assert httpx.get(f"{manager.internal}/healthz", verify=NO_TLS).status_code == 200
        assert httpx.get(f"{manager.internal}/readyz", timeout=20, verify=NO_TLS).status_code == 503
    finally:
        world.postgres.start()

    def accepted() -> bool:
        return (
            httpx.post(manager.url, content=body, headers=world.signed(body, "msg_1"), timeout=20, verify=NO_TLS).status_code
            == 202
        )

    wait_until(accepted, 30, "never accepted again")
    seeded(world)
    world.settle()


def test_a_session_that_ends_at_clerk_ends_in_twenty(world: World) -> None:
    """Signed out, revoked, and of somebody who is deleted: each is told; what lives is not."""
    world.start()
    ids = seeded(world)
    sessions = [str(world.clerk.mint(user_id=ids[who])["session_id"]) for who in (ALICE, ALICE, BOB, CAROL)]
    world.clerk.revoke(session_id=sessions[0])
    world.backend.delete(f"/users/{ids[BOB]}").raise_for_status()
    world.settle()
    wait_until(lambda: set(world.twenty.ended) == {sessions[0], sessions[2]}, 20, lambda: str((world.twenty.ended, sessions)))
    # an event that lies: Clerk still holds the session
    living = {"id": sessions[3], "object": "session", "status": "revoked", "user_id": ids[CAROL]}
    assert world.clerk.send_webhook("session.revoked", living)["status"] == 202
    world.settle()
    assert sessions[3] not in world.twenty.ended
    assert not [row for row in world.left() if row["state"] == "dead"]


def test_whoever_is_banned_or_locked_is_refused_until_it_is_taken_back(world: World) -> None:
    world.start()
    ids = seeded(world)
    world.settle()
    alice, bob = ids[ALICE], ids[BOB]
    for verbs, standing in ((("ban", "lock"), {alice: "banned", bob: "locked"}), (("unban", "unlock"), {})):
        for user, verb in zip((alice, bob), verbs, strict=True):
            world.backend.post(f"/users/{user}/{verb}").raise_for_status()
        told = partial(operator.eq, standing)
        wait_until(lambda: told(world.twenty.refused), 20, lambda: str(world.twenty.refused))  # noqa: B023 - ends in this round
    assert world.twenty.tenants[ids["Acme"]]["members"] == {alice: "admin", bob: "member"}, "a ban ends no membership"
    world.backend.delete(f"/users/{bob}").raise_for_status()
    wait_until(lambda: world.twenty.refused == {bob: "deleted"}, 20, lambda: str(world.twenty.refused))


def test_a_ban_is_told_before_anything_that_may_fail(world: World) -> None:
    world.start()
    ids = seeded(world)
    world.settle()
    world.twenty.faults.append(Fault(500, path=r"PATCH /internal/users/.*", count=None))
    world.backend.patch(f"/users/{ids[BOB]}", json={"first_name": "Robert"}).raise_for_status()
    world.backend.post(f"/users/{ids[BOB]}/ban").raise_for_status()
    wait_until(lambda: world.twenty.refused == {ids[BOB]: "banned"}, 20, lambda: str(world.twenty.refused))
