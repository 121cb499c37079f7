"""The reconciler: finds and repairs what no event told of, and takes away no more than its threshold."""

from __future__ import annotations

import json
from typing import Any

import httpx

from lab.clerk.control import NO_TLS
from lab.command import wait_until
from tests.tenant_manager.conftest import ALICE, BOB, World

Json = dict[str, Any]


def reconcile(world: World, *argv: str, code: int = 0, **more: str) -> Json:
    done = world.command("reconcile", *argv, **more)
    assert done.returncode == code, done.stdout + done.stderr
    found: Json = json.loads(done.stdout)
    return found


def quiet(world: World, number: int) -> dict[str, str]:
    """Organisations that no webhook told of; ids by e-mail and name."""
    made = world.clerk.seed(
        [{"email": ALICE, "first_name": "Alice"}, {"email": BOB, "first_name": "Bob"}],
        [{"name": f"Firm {n}", "members": {ALICE: "admin", BOB: "member"}} for n in range(number)],
        quiet=True,
    )
    found: dict[str, str] = made["users"] | made["organizations"]
    return found


def test_everything_that_was_missed_is_repaired_and_a_second_run_changes_nothing(world: World) -> None:
    ids = quiet(world, 3)
    dry = reconcile(world, "--dry-run")
    assert len(dry["differing"]) == 3
    assert world.twenty.tenants == {}
    report = reconcile(world)
    assert sorted(report["repaired"]) == sorted(ids[f"Firm {n}"] for n in range(3))
    world.settle(1)
    data = world.emulator.instance.data
    data.organizations[ids["Firm 0"]].name = "Renamed"
    data.users[ids[BOB]].first_name = "Robert"
    data.users[ids[BOB]].touched()
    world.twenty.tenants[ids["Firm 1"]]["members"].pop(ids[BOB])
    world.twenty.tenants[ids["Firm 2"]]["members"][ids[BOB]] = "admin"
    world.twenty.tenants[ids["Firm 2"]]["status"] = "suspended"
    assert len(reconcile(world)["repaired"]) == 3
    world.settle(1)
    before = len(world.twenty.effects)
    asked = [a for a in world.twenty.asked if not a.startswith("GET")]
    again = reconcile(world)
    assert again["differing"] == {}
    assert len(world.twenty.effects) == before
    assert [a for a in world.twenty.asked if not a.startswith("GET")] == asked


def test_it_cannot_mass_delete(world: World) -> None:
    ids = quiet(world, 8)
    reconcile(world)
    data = world.emulator.instance.data
    data.memberships.clear()
    data.organizations.clear()  # a key of another instance looks like this
    report = reconcile(world, code=3)
    assert report["stopped"]
    assert report["removals"] == 8
    assert "--removals 8" in report["remedy"]
    assert {t["status"] for t in world.twenty.tenants.values()} == {"active"}
    assert all(len(t["members"]) == 2 for t in world.twenty.tenants.values())
    reconcile(world, "--removals", "8")
    assert {t["status"] for t in world.twenty.tenants.values()} == {"suspended"}
    assert ids["Firm 0"] in world.twenty.tenants, "a workspace was dropped"


def test_a_clerk_that_does_not_answer_changes_nothing(world: World) -> None:
    quiet(world, 2)
    reconcile(world)
    before = list(world.twenty.effects)
    for fault in ({"kind": "status", "status": 401}, {"kind": "nonsense"}, {"kind": "status", "status": 404}):
        world.clerk.fault(part="backend", **fault)
        done = world.command("reconcile")
        assert done.returncode == 1, done.stdout
        assert done.stderr.startswith("error: Clerk: GET ")
        world.clerk.heal()
    assert world.twenty.effects == before


def test_a_person_may_suspend_and_resume_against_clerk(world: World) -> None:
    ids = quiet(world, 1)
    reconcile(world)
    organization = ids["Firm 0"]
    assert world.command("tenants", "suspend", organization).returncode == 0
    assert world.twenty.tenants[organization]["status"] == "suspended"
    assert reconcile(world)["differing"] == {}
    assert world.twenty.tenants[organization]["status"] == "suspended", "the reconciler undid what a person wanted"
    assert world.command("tenants", "resume", organization).returncode == 0
    assert world.twenty.tenants[organization]["status"] == "active"


def test_a_ban_that_no_event_told_of_is_found_and_so_is_its_end(world: World) -> None:
    ids = quiet(world, 1)
    reconcile(world)
    world.clerk.change(ids[BOB], banned=True)
    assert reconcile(world, "--dry-run")["standings"] == {ids[BOB]: "banned"}
    assert world.twenty.refused == {}
    assert ids[BOB] in reconcile(world)["repaired"]
    assert world.twenty.refused == {ids[BOB]: "banned"}
    assert reconcile(world)["standings"] == {}
    world.clerk.change(ids[BOB], banned=False)
    reconcile(world)
    assert world.twenty.refused == {}


def test_keys_without_a_known_maker_are_listed(world: World) -> None:
    ids = quiet(world, 2)
    reconcile(world)
    key = {"kind": "apiKey", "id": "k1", "name": "old", "createdAt": "2026-01-01T00:00:00.000Z", "makers": []}
    hook = {"kind": "webhook", "id": "w1", "name": "hooks.test", "createdAt": "2026-01-01T00:00:00.000Z", "makers": [ids[BOB]]}
    world.twenty.credentials[ids["Firm 0"]] = [key, hook]
    shown = json.loads(world.command("tenants", "credentials").stdout)
    assert shown == {ids["Firm 0"]: [key, hook], ids["Firm 1"]: []}
    shown = json.loads(world.command("tenants", "credentials", "--without-maker", ids["Firm 0"]).stdout)
    assert shown == {ids["Firm 0"]: [key]}


def test_commands_answer_in_json_and_say_what_is_not_known(world: World) -> None:
    ids = quiet(world, 1)
    assert world.command("tenants", "sync", ids["Firm 0"]).returncode == 0
    shown = json.loads(world.command("tenants", "show", ids["Firm 0"]).stdout)
    assert shown["state"] == shown["twenty"]["status"] == "active"
    assert set(shown["members"]) == {ids[ALICE], ids[BOB]}
    assert [t["organization_id"] for t in json.loads(world.command("tenants", "list").stdout)] == [ids["Firm 0"]]
    assert json.loads(world.command("events", "list", "--state", "dead").stdout) == []
    for argv in (
        ("tenants", "show", "org_x"),
        ("events", "show", "msg_x"),
        ("events", "retry", "msg_x"),
        ("tenants", "suspend", "org_x"),
    ):
        done = world.command(*argv)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {argv[2]}: ")


def test_it_runs_on_its_clock_and_health_and_metrics_tell(world: World) -> None:
    quiet(world, 2)
    manager = world.start(point=False, RECONCILE_EVERY="1")
    world.settle()
    assert httpx.get(f"{manager.internal}/healthz", verify=NO_TLS).text == "ok\n"

    def told() -> bool:
        text = httpx.get(f"{manager.internal}/metrics", verify=NO_TLS).text
        return 'tenant_manager_tenants{state="active"} 2.0' in text and "tenant_manager_reconciliation_stopped 0.0" in text

    wait_until(told, 20, "metrics do not tell of two tenants")
    world.twenty.secret = "another"  # Twenty's secret was changed without ours
    found = httpx.get(f"{manager.internal}/readyz", verify=NO_TLS, timeout=20)
    assert found.status_code == 503
    assert "401" in found.json()["twenty"]


def test_migrating_twice_and_at_once_is_one_migration(world: World) -> None:
    assert world.command("migrate").returncode == 0
    assert [row["version_num"] for row in world.rows("SELECT version_num FROM alembic_version")] == ["0002"]


def test_clerks_rate_limit_is_waited_for(world: World) -> None:
    quiet(world, 12)
    world.clerk.settings(rate_limit=20, rate_window=2)
    assert len(reconcile(world)["repaired"]) == 12
    world.clerk.settings(rate_limit=None)
    world.settle(1)


def test_names_of_255_emoji_are_taken(world: World) -> None:
    """Clerk counts them as 255, Twenty as 510."""
    ids = quiet(world, 1)
    world.emulator.instance.data.organizations[ids["Firm 0"]].name = "😀" * 255
    world.emulator.instance.data.users[ids[BOB]].first_name = "😀" * 255
    assert reconcile(world)["failed"] == {}
    assert world.twenty.tenants[ids["Firm 0"]]["name"] == "😀" * 127


def test_an_unexpected_error_of_one_organisation_leaves_the_others(world: World) -> None:
    ids = quiet(world, 4)
    broken = ids["Firm 1"]
    world.twenty.nonsense.add(broken)
    report = reconcile(world, code=1)
    assert list(report["failed"]) == [broken]
    assert "KeyError" in report["failed"][broken]
    assert sorted(report["repaired"]) == sorted(ids[f"Firm {n}"] for n in (0, 2, 3))
