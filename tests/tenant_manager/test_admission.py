"""Who may have a workspace: so many on the machine, so many of one person; the others wait in a line, and nobody has to push."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.command import wait_until
from tests.tenant_manager.conftest import ALICE, BOB, CAROL, Manager, World
from tests.tenant_manager.twenty_internal import Fault

Json = dict[str, Any]
EMAILS = [ALICE, BOB, CAROL]


def people(world: World) -> list[str]:
    made = world.clerk.seed([{"email": email, "first_name": email[0]} for email in EMAILS])
    return [made["users"][email] for email in EMAILS]


def create(world: World, owner: str, name: str) -> str:
    answer = world.backend.post("/organizations", json={"name": name, "created_by": owner})
    answer.raise_for_status()
    return str(answer.json()["id"])


def tenants(world: World) -> dict[str, Json]:
    return {row["organization_id"]: row for row in world.rows("SELECT * FROM tenant")}


def settled(world: World, made: set[str], waiting: dict[str, str], seconds: float = 40) -> None:
    """Wait until exactly these have a workspace and exactly these wait, in our table and as Twenty was told; no event is left."""

    def same() -> bool:
        rows = tenants(world)
        return (
            {org for org, t in world.twenty.tenants.items() if t["status"] == "active"} == made
            and {org: row["waiting"] for org, row in rows.items() if row["waiting"]} == waiting
            and world.twenty.waiting == waiting
            and not world.rows("SELECT 1 FROM event WHERE state = 'queued'")
        )

    wait_until(same, seconds, lambda: f"{world.twenty.tenants.keys()} {world.twenty.waiting} {tenants(world)} {world.left()}")


def filled(world: World, ids: list[str], places: int, seconds: float = 90) -> None:
    """Wait until so many of these have a workspace, whichever they are, and all the others wait for a place."""
    there = world.twenty
    wait_until(
        lambda: (len(there.tenants), len(there.waiting)) == (places, len(ids) - places),
        seconds,
        lambda: f"{there.tenants.keys()} {there.waiting} {tenants(world)} {world.left()}",
    )
    settled(world, set(there.tenants), dict.fromkeys(set(ids) - set(there.tenants), "no-room"), seconds)


def test_above_the_machines_limit_organizations_wait_and_come_in_their_order(world: World) -> None:
    manager = world.start(MAX_TENANTS="2")
    users = people(world)
    ids = [create(world, users[n % 3], f"Firm {n}") for n in range(2)]
    settled(world, set(ids), {})
    for n in range(2, 5):
        ids.append(create(world, users[n % 3], f"Firm {n}"))
        settled(world, set(ids[:2]), dict.fromkeys(ids[2:], "no-room"))
    listed = {row["organization_id"]: row for row in json.loads(world.command("tenants", "list").stdout)}
    assert "MAX_TENANTS" in listed[ids[2]]["problems"][0]
    count = json.loads(world.command("tenants", "count", MAX_TENANTS="2").stdout)
    assert count == {"most": 2, "used": 2, "suspended": 0, "waiting": {"no-room": 3}}
    # waiting is no failure: nothing is tried again and again
    asked = len(world.twenty.asked)
    waited = world.rows("SELECT attempts, state FROM event WHERE target = ANY(%s)", ids[2:])
    assert {(row["attempts"], row["state"]) for row in waited} == {(0, "done")}
    assert world.rows("SELECT 1 FROM procrastinate_jobs") == []
    # a tenant goes: the first in the line comes in
    world.backend.delete(f"/organizations/{ids[0]}").raise_for_status()
    settled(world, {ids[1], ids[2]}, dict.fromkeys(ids[3:], "no-room"))
    # one that waits goes: it keeps no place in the line
    world.backend.delete(f"/organizations/{ids[3]}").raise_for_status()
    settled(world, {ids[1], ids[2]}, {ids[4]: "no-room"})
    # the limit is raised
    assert len(world.twenty.asked) - asked < 60
    manager.kill()
    world.start(MAX_TENANTS="3")
    settled(world, {ids[1], ids[2], ids[4]}, {})


def test_above_a_persons_limit_their_organizations_wait_and_those_of_others_do_not(world: World) -> None:
    world.start(MAX_ORGANIZATIONS_PER_PERSON="2", MAX_TENANTS="5")
    alice, bob, _ = people(world)
    ids = [create(world, alice, f"Firm {n}") for n in range(2)]
    settled(world, set(ids), {})
    third = create(world, alice, "Firm 2")
    others = create(world, bob, "Other")
    settled(world, {*ids, others}, {third: "too-many-organizations"})
    problems = json.loads(world.command("tenants", "show", third).stdout)["problems"]
    assert f"{alice} has 2 workspaces already" in problems[0]
    # giving one up and making another is no way around it: the workspace of the first is still there
    world.backend.delete(f"/organizations/{ids[0]}").raise_for_status()
    settled(world, {ids[1], others}, {third: "too-many-organizations"})
    # a member who is not its creator counts for nothing
    world.backend.post(f"/organizations/{others}/memberships", json={"user_id": alice, "role": "org:admin"}).raise_for_status()
    # the operator lets it in
    assert world.command("tenants", "admit", third, MAX_ORGANIZATIONS_PER_PERSON="2", MAX_TENANTS="5").returncode == 0
    settled(world, {ids[1], others, third}, {})


def test_many_at_once_get_exactly_the_places_there_are(world: World) -> None:
    first, second = world.start(MAX_TENANTS="5"), world.start(MAX_TENANTS="5", point=False)
    users = people(world)
    world.twenty.slow = 0.05
    ids = [create(world, users[n % 3], f"Firm {n}") for n in range(12)]
    filled(world, ids, 5)
    assert {manager.process.poll() for manager in (first, second)} == {None}


def test_what_waits_is_reconciled_as_waiting_and_not_as_failed(world: World) -> None:
    world.start(MAX_TENANTS="1")
    alice, bob, _ = people(world)
    one = create(world, alice, "One")
    settled(world, {one}, {})
    other = create(world, bob, "Other")
    settled(world, {one}, {other: "no-room"})
    done = world.command("reconcile", MAX_TENANTS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["waiting"] == {other: "no-room"}
    assert report["differing"] == {}


@pytest.mark.parametrize("at_once", ["1", "3"])
def test_no_more_workspaces_are_made_at_once_than_the_server_has_slots_for(world: World, at_once: str) -> None:
    world.twenty.slow = 0.15
    manager = world.start(PROVISIONING=at_once)
    users = people(world)
    ids = [create(world, users[n % 3], f"Firm {n}") for n in range(9)]
    world.settle(60)
    assert set(world.twenty.tenants) == set(ids)
    assert world.twenty.most_making <= int(at_once)
    assert manager.process.poll() is None


def test_a_removal_does_not_wait_behind_a_burst(world: World) -> None:
    world.start()
    users = people(world)
    here = create(world, users[0], "Here")
    world.backend.post(f"/organizations/{here}/memberships", json={"user_id": users[1], "role": "org:member"}).raise_for_status()
    world.settle()
    world.twenty.slow = 1.0
    ids = [create(world, users[2], f"Firm {n}") for n in range(8)]
    wait_until(lambda: world.twenty.making, 20, "nothing is made")
    world.backend.delete(f"/organizations/{here}/memberships/{users[1]}").raise_for_status()
    wait_until(lambda: users[1] not in world.twenty.tenants[here]["members"], 8, "who is removed waits for others' workspaces")
    assert len(set(ids) & world.twenty.tenants.keys()) < 8, "the burst was over before"
    world.twenty.slow = 0
    world.settle(60)


def test_a_failure_is_counted_once_however_many_jobs_the_target_has(world: World) -> None:
    manager = world.start(BACKOFF_BASE="3", BACKOFF_MOST="3")
    alice, _, _ = people(world)
    organization = create(world, alice, "Acme")
    world.settle()
    world.twenty.slow = 0.3
    world.twenty.faults.append(Fault(503, f"GET /internal/tenants/{organization}", count=None))
    for name in ("a", "b", "c"):
        world.backend.patch(f"/organizations/{organization}", json={"name": name}).raise_for_status()
    # what a lost notice, a sweep and a second replica would bring: more jobs of the same target, with nothing new to see to
    for _ in range(4):
        with_events = json.dumps({"target": organization, "events": True, "attempt": 0})
        world.write(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('clerk', 'tenant_manager.work', %s::jsonb)",
            with_events,
        )
    wait_until(lambda: world.rows("SELECT 1 FROM event WHERE attempts > 0"), 20, "nothing failed")
    wait_until(
        lambda: not world.rows("SELECT 1 FROM procrastinate_jobs WHERE status = 'doing' OR scheduled_at IS NULL"), 20, "jobs stay"
    )
    attempts = [row["attempts"] for row in world.rows("SELECT attempts FROM event WHERE state = 'queued'")]
    assert attempts
    assert max(attempts) == 1, f"one failure was counted {max(attempts)} times"
    world.twenty.faults.clear()
    world.settle()
    assert manager.process.poll() is None


def test_a_place_is_kept_through_kills(world: World) -> None:
    """Killed while the last places are given: as many workspaces as there are places, none twice, and the line goes on."""
    manager: Manager = world.start(MAX_TENANTS="4")
    address = manager.url.split("/")[2]
    users = people(world)
    world.twenty.slow = 0.2
    ids = [create(world, users[n % 3], f"Firm {n}") for n in range(7)]
    for _ in range(3):
        wait_until(lambda: world.twenty.making or len(world.twenty.tenants) == 4, 20, "nothing is made")
        manager.kill()
        manager = world.start(MAX_TENANTS="4", point=False, LISTEN=address)
    world.postgres.kill()
    world.postgres.start()
    filled(world, ids, 4)
    assert manager.process.poll() is None
