"""Whatever the network, the machines and the order of things do: it ends as Clerk says, nothing lost and nothing done twice."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from typing import Any

import httpx
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lab.clerk.control import NO_TLS
from lab.command import wait_until
from tests.tenant_manager.conftest import ALICE, BOB, CAROL, World
from tests.tenant_manager.twenty_internal import Fault

Json = dict[str, Any]
EMAILS = [ALICE, BOB, CAROL]
STEPS = st.one_of(
    st.tuples(st.just("create"), st.integers(0, 2), st.sampled_from(["Acme", "شركة", "Acme"])),
    st.tuples(st.just("add"), st.integers(0, 5), st.tuples(st.integers(0, 2), st.sampled_from(["org:admin", "org:member"]))),
    st.tuples(st.just("role"), st.integers(0, 5), st.tuples(st.integers(0, 2), st.sampled_from(["org:admin", "org:member"]))),
    st.tuples(st.just("remove"), st.integers(0, 5), st.integers(0, 2)),
    st.tuples(st.just("rename"), st.integers(0, 5), st.sampled_from(["A", "B", "Ünï"])),
    st.tuples(st.just("delete"), st.integers(0, 5), st.none()),
    st.tuples(st.just("person"), st.integers(0, 2), st.sampled_from(["Ann", "Ben", "Cem"])),
)
WAYS = st.lists(st.sampled_from(["once", "twice", "lost", "late"]), min_size=1, max_size=12)


def do(world: World, users: list[str], organizations: list[str], step: tuple[str, int, Any]) -> None:
    """One change in Clerk; those that Clerk refuses change nothing."""
    what, number, more = step
    http = world.backend
    if what == "create":
        answer = http.post("/organizations", json={"name": more, "created_by": users[number]})
        answer.raise_for_status()
        organizations.append(answer.json()["id"])
    elif what == "person":
        http.patch(f"/users/{users[number]}", json={"first_name": more}).raise_for_status()
    elif organizations:
        at = f"/organizations/{organizations[number % len(organizations)]}"
        match what:
            case "add":
                http.post(f"{at}/memberships", json={"user_id": users[more[0]], "role": more[1]})
            case "role":
                http.patch(f"{at}/memberships/{users[more[0]]}", json={"role": more[1]})
            case "remove":
                http.delete(f"{at}/memberships/{users[more]}")
            case "rename":
                http.patch(at, json={"name": more})
            case "delete":
                http.delete(at)


def test_any_order_repetition_and_loss_ends_in_clerks_state(world: World) -> None:
    replicas = [world.start(point=False), world.start(point=False)]
    made = world.clerk.seed([{"email": email, "first_name": email[0]} for email in EMAILS])
    users = [made["users"][email] for email in EMAILS]
    organizations: list[str] = []
    taken = {m["id"] for m in world.clerk.messages()}
    client = httpx.Client(verify=NO_TLS, trust_env=False, timeout=30)

    @settings(
        max_examples=20, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )  # fmt: skip
    @given(steps=st.lists(STEPS, min_size=1, max_size=10), ways=WAYS, seed=st.integers(0, 9999))
    def check(steps: list[tuple[str, int, Any]], ways: list[str], seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311
        late: list[Json] = []
        lost = False
        for step in steps:
            do(world, users, organizations, step)
            if chance.random() < 0.2:
                world.twenty.faults.append(Fault(chance.choice([500, 502, 503]), chance.choice([".*", "PUT .*", "GET .*"])))
            fresh = [m for m in world.clerk.messages() if m["id"] not in taken]
            taken.update(m["id"] for m in fresh)
            chance.shuffle(fresh)
            for message in fresh:
                way = ways[len(taken) % len(ways)]
                lost |= way == "lost"
                if way == "late":
                    late.append(message)
                for _ in range({"once": 1, "twice": 2}.get(way, 0)):
                    deliver(client, chance.choice(replicas).url, world, message)
        chance.shuffle(late)
        for message in late:
            deliver(client, chance.choice(replicas).url, world, message)
        world.twenty.faults.clear()
        if lost:
            done = world.command("reconcile", "--removals", "1000")
            assert done.returncode == 0, done.stdout + done.stderr
        world.settle()

    check()
    client.close()
    assert world.twenty.overlaps == []
    assert max(Counter(e for e in world.twenty.effects if e.startswith("created")).values()) == 1
    assert world.rows("SELECT 1 FROM event WHERE state = 'dead'") == []


def deliver(client: httpx.Client, url: str, world: World, message: Json) -> None:
    body = message["body"].encode()
    assert client.post(url, content=body, headers=world.signed(body, message["id"])).status_code == 202


class Load:
    """Signed events, sent until they are taken, each id known; ``accepted`` are those with a 2xx."""

    def __init__(self, world: World, targets: list[str], urls: list[str]) -> None:
        self.world, self.targets, self.urls = world, targets, urls
        self.accepted: set[str] = set()
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(3)]

    def run(self, number: int) -> None:
        chance = random.Random(number)  # noqa: S311
        with httpx.Client(verify=NO_TLS, trust_env=False, timeout=20) as client:
            while not self.ending.is_set():
                body = self.world.event("organization.updated", {"id": chance.choice(self.targets)})
                message = f"msg_{uuid.uuid4().hex}"
                while True:  # as Svix: the same id until it is taken
                    try:
                        if client.post(self.urls[0], content=body, headers=self.world.signed(body, message)).status_code == 202:
                            self.accepted.add(message)
                            break
                    except httpx.HTTPError:
                        pass
                    if self.ending.wait(0.05):
                        return

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        for thread in self.threads:
            thread.join(60)


def check_nothing_lost(world: World, load: Load) -> None:
    world.settle(90)
    stored = {row["svix_id"]: row["state"] for row in world.rows("SELECT svix_id, state FROM event")}
    lost = load.accepted - stored.keys()
    assert not lost, f"{len(lost)} of {len(load.accepted)} accepted events are lost"
    assert {stored[m] for m in load.accepted} == {"done"}
    created = Counter(e for e in world.twenty.effects if e.startswith("created"))
    assert set(created.values()) == {1}, created
    assert world.rows("SELECT 1 FROM procrastinate_jobs WHERE status = 'failed'") == []


def many(world: World, number: int = 12) -> list[str]:
    made = world.clerk.seed(
        [{"email": e, "first_name": "x"} for e in EMAILS],
        [{"name": f"Firm {n}", "members": {ALICE: "admin", EMAILS[n % 3]: "admin"}} for n in range(number)],
    )
    return list(made["organizations"].values())


def more(world: World, number: int) -> None:
    """Organisations that are just being made when something is killed."""
    world.clerk.seed([], [{"name": f"During {number} {n}", "members": {ALICE: "admin", BOB: "member"}} for n in range(4)])


def test_kill_9_of_the_service_under_load_loses_nothing(world: World) -> None:
    chance = random.Random(5)  # noqa: S311
    manager = world.start()
    address = manager.url.split("/")[2]
    world.twenty.slow = 0.03
    targets = many(world)
    with Load(world, targets, [manager.url]) as load:
        for _ in range(4):
            before = len(load.accepted)
            wait_until(lambda before=before: len(load.accepted) > before + 20, 60, "nothing is accepted")  # type: ignore[misc]
            more(world, len(load.accepted))
            time.sleep(chance.uniform(0, 0.4))  # the random moment
            manager.kill()
            manager = world.start(point=False, LISTEN=address)  # Clerk's endpoint stays where it was
    check_nothing_lost(world, load)


def test_kill_9_of_postgres_under_load_loses_nothing(world: World) -> None:
    chance = random.Random(7)  # noqa: S311
    manager = world.start()
    world.twenty.slow = 0.03
    targets = many(world)
    with Load(world, targets, [manager.url]) as load:
        for _ in range(3):
            before = len(load.accepted)
            wait_until(lambda before=before: len(load.accepted) > before + 20, 60, "nothing is accepted")  # type: ignore[misc]
            more(world, len(load.accepted))
            time.sleep(chance.uniform(0, 0.4))  # the random moment
            world.postgres.kill()
            world.postgres.start()
    check_nothing_lost(world, load)
    assert manager.process.poll() is None


def test_two_replicas_share_the_work_and_never_an_organisation(world: World) -> None:
    world.twenty.slow = 0.05
    first, second = world.start(), world.start(point=False)
    targets = many(world)
    with Load(world, targets, [first.url]) as one, Load(world, targets, [second.url]) as two:
        wait_until(lambda: min(len(one.accepted), len(two.accepted)) > 50, 60, "nothing is accepted")
    check_nothing_lost(world, one)
    check_nothing_lost(world, two)
    assert world.twenty.overlaps == []
    for manager in (first, second):
        text = httpx.get(f"{manager.internal}/metrics", verify=NO_TLS).text
        done = next(float(line.split()[1]) for line in text.splitlines() if line.startswith("tenant_manager_convergences_total"))
        assert done > 0, "one of them did nothing"


def test_a_graceful_stop_finishes_or_returns_its_jobs(world: World) -> None:
    world.twenty.slow = 0.2
    manager = world.start()
    many(world, 6)
    wait_until(lambda: world.twenty.tenants, 20, "nothing has begun")
    began = time.monotonic()
    assert manager.stop() == 0
    assert time.monotonic() - began < 25
    doing = world.rows("SELECT id FROM procrastinate_jobs WHERE status = 'doing'")
    assert doing == []
    world.start()
    world.settle()
    assert world.twenty.overlaps == []


def test_a_slow_clerk_keeps_no_event_out(world: World) -> None:
    manager = world.start()
    world.clerk.fault("hang", "backend", seconds=3600)
    body = world.event("organization.updated", {"id": "org_waits12345"})
    took = []
    for _ in range(20):
        began = time.monotonic()
        assert httpx.post(manager.url, content=body, headers=world.signed(body), verify=NO_TLS).status_code == 202
        took.append(time.monotonic() - began)
    assert sorted(took)[10] < 2
    world.clerk.heal()
