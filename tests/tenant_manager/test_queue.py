"""From the webhook to the worker: one waiting job for all events of a target, taken only when they are there to be seen, and never lost."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row
from tenant_manager.store import ACCEPT

from lab.clerk.control import NO_TLS
from lab.command import wait_until
from tests.tenant_manager.bench_figures import send
from tests.tenant_manager.conftest import ALICE, BOB, Manager, World
from tests.tenant_manager.twenty_internal import Fault

Json = dict[str, Any]
ORG = "org_queue12345"


def one(world: World) -> str:
    made = world.clerk.seed([{"email": ALICE}], [{"name": "Acme", "members": {ALICE: "admin"}}])
    world.settle()
    return str(made["organizations"]["Acme"])


def post(world: World, manager: Manager, target: str, message: str | None = None) -> int:
    body = world.event("organization.updated", {"id": target})
    return httpx.post(
        manager.url, content=body, headers=world.signed(body, message), verify=NO_TLS, trust_env=False, timeout=30
    ).status_code


def accept(connection: psycopg.Connection[Json], message: str) -> None:
    given = {"ids": [message], "types": ["organization.updated"], "targets": [ORG], "bodies": [b"{}"]}
    connection.execute(ACCEPT, given | {"queue": "clerk", "task": "tenant_manager.work", "rest": 0})


def fetch(connection: psycopg.Connection[Json], worker: int) -> int | None:
    found = connection.execute("SELECT (procrastinate_fetch_job_v2(ARRAY['clerk'], %s)).id", (worker,)).fetchone()
    return found["id"] if found else None


def test_a_job_is_taken_neither_before_its_events_are_committed_nor_without_them(world: World) -> None:
    waiting = "SELECT id FROM procrastinate_jobs WHERE status = 'todo'"
    with (
        psycopg.connect(world.dsn, row_factory=dict_row) as first,
        psycopg.connect(world.dsn, row_factory=dict_row) as second,
        psycopg.connect(world.dsn, row_factory=dict_row) as taker,
    ):
        worker = taker.execute("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id").fetchone()
        taker.commit()
        assert worker is not None
        accept(first, "msg_1")
        first.commit()
        accept(second, "msg_2")
        assert fetch(taker, worker["id"]) is None, "taken while an event of it was not committed: the worker would not see it"
        taker.commit()
        second.commit()
        assert len(world.rows(waiting)) == 1, "two jobs for one target"
        assert fetch(taker, worker["id"]) is not None

        # not committed yet: whoever accepts an event has to wait for what becomes of the job, and then makes a new one
        def another() -> None:
            accept(first, "msg_3")
            first.commit()

        accepting = threading.Thread(target=another)
        accepting.start()
        accepting.join(0.5)
        assert accepting.is_alive()
        taker.commit()
        accepting.join(10)
        assert len(world.rows(waiting)) == 1
    assert len(world.rows("SELECT 1 FROM event WHERE state = 'queued'")) == 3


def test_no_answer_before_the_commit(world: World) -> None:
    manager = world.start()
    answers: list[int] = []
    with psycopg.connect(world.dsn) as other:
        other.execute("LOCK TABLE event IN ACCESS EXCLUSIVE MODE")
        asking = threading.Thread(target=lambda: answers.append(post(world, manager, ORG, "msg_1")))
        asking.start()
        asking.join(1)
        assert answers == [], "answered, and nothing can have been stored"
    asking.join(20)
    assert answers == [202]
    assert [row["svix_id"] for row in world.rows("SELECT svix_id FROM event")] == ["msg_1"]


def test_many_events_of_one_organisation_are_looked_at_together(world: World) -> None:
    manager = world.start(REST="1")
    organization = one(world)
    asked, events = len(world.twenty.asked), 600
    sent = send(world, manager.url, [organization], 2000, events / 2000)
    assert len(sent["accepted"]) == len(set(sent["accepted"])) == events
    assert len(world.rows("SELECT 1 FROM procrastinate_jobs WHERE status = 'todo'")) <= 1
    world.settle()
    states = {row["svix_id"]: row["state"] for row in world.rows("SELECT svix_id, state FROM event")}
    assert {states[message] for message in sent["accepted"]} == {"done"}
    looked = world.twenty.asked[asked:].count(f"GET /internal/tenants/{organization}")
    assert looked < events / 10, f"{looked} looks for {events} events"


def test_attempts_are_spaced_and_not_used_up_by_the_events_of_others(world: World) -> None:
    manager = world.start(ATTEMPTS_OUTAGE="12", BACKOFF_BASE="0.4")
    organization = one(world)
    world.twenty.faults.append(Fault(503, f"GET /internal/tenants/{organization}", count=None))
    assert post(world, manager, organization, "msg_first") == 202
    seen: dict[int, float] = {}
    ending = time.monotonic() + 5
    while time.monotonic() < ending:
        assert post(world, manager, organization) == 202
        row = world.rows(
            "SELECT attempts, state, extract(epoch FROM next_attempt_at)::float AS due FROM event WHERE svix_id = 'msg_first'"
        )[0]
        assert row["state"] == "queued", "a dead letter of an outage of seconds"
        if row["due"]:
            seen.setdefault(row["attempts"], row["due"])
    assert max(seen) <= 7, f"{max(seen)} attempts in 5 s: events of others used them up"
    between = [seen[n + 1] - seen[n] for n in sorted(seen) if n + 1 in seen]
    assert between[-1] > between[0], f"the pauses do not grow: {between}"
    world.twenty.faults.clear()
    world.settle()
    assert world.rows("SELECT 1 FROM event WHERE state = 'dead'") == []


def test_a_job_that_the_queue_lost_sight_of_comes_back(world: World) -> None:
    """Its end could not be written down (a connection broke), and its worker lives on."""
    world.start()
    organization = one(world)
    with psycopg.connect(world.dsn) as connection:
        connection.execute(
            "INSERT INTO event (svix_id, type, target, body) VALUES ('msg_lost', 'organization.updated', %s, '{}')",
            (organization,),
        )
        connection.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, args, status, worker_id)"
            " SELECT 'clerk', 'tenant_manager.work', %s, jsonb_build_object('target', %s::text), 'doing', max(id) FROM procrastinate_workers",
            (organization, organization),
        )
    world.settle(20)
    wait_until(lambda: not world.rows("SELECT 1 FROM procrastinate_jobs"), 10, "jobs are left")


def test_a_stop_in_the_middle_of_long_work_gives_it_back(world: World) -> None:
    world.twenty.slow = 6
    manager = world.start(STOP_WITHIN="1")
    world.clerk.seed([{"email": ALICE}, {"email": BOB}], [{"name": "Acme", "members": {ALICE: "admin", BOB: "member"}}])
    wait_until(lambda: any(asked.startswith("PUT") for asked in world.twenty.asked), 20, "nothing has begun")
    assert manager.stop() == 0
    assert world.rows("SELECT id FROM procrastinate_jobs WHERE status = 'doing'") == []
    world.twenty.slow = 0
    world.start()
    world.settle()
    assert sum(effect.startswith("created") for effect in world.twenty.effects) == 1


def test_requests_in_pieces_and_with_doubled_headers_are_refused(world: World) -> None:
    manager = world.start()
    body = world.event("organization.updated", {"id": ORG}) + b" " * 400_000
    pieces = (body[at : at + 50_000] for at in range(0, len(body), 50_000))
    small = world.event("organization.updated", {"id": ORG})
    doubled = [*world.signed(small, "msg_1").items(), ("svix-id", f"msg_{uuid.uuid4().hex}")]
    with httpx.Client(verify=NO_TLS, trust_env=False, timeout=30) as client:
        assert client.post(manager.url, content=pieces, headers=world.signed(body)).status_code == 413
        assert client.post(manager.url, content=small, headers=doubled).status_code == 400
    assert world.rows("SELECT * FROM event") == []
