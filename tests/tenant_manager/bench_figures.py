"""The tenant manager's figures: ``pytest -s tests/tenant_manager/bench_figures.py``. Not collected with the tests: it needs a quiet machine.

Latency counts from the moment that an event was due, at a fixed pace: a sender that waits for answers would hide queues.
"""

from __future__ import annotations

import base64
import json
import sys
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab.command import run, wait_until
from tests.tenant_manager.conftest import ALICE, BOB, Manager, World

RATE, SECONDS, CONNECTIONS, TENANTS = 500, 15, 40, 1000


def memory_mb(manager: Manager, name: str = "VmRSS") -> float:
    lines = Path(f"/proc/{manager.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def request(world: World, url: str, target: str) -> tuple[str, bytes]:
    message, body = f"msg_{uuid.uuid4().hex}", world.event("organization.updated", {"id": target})
    head = {"host": urlsplit(url).netloc, "content-length": str(len(body)), **world.signed(body, message)}
    lines = [f"POST {urlsplit(url).path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    return message, "\r\n".join(lines).encode() + body


def send(url: str, requests: list[tuple[str, bytes]], rate: float = RATE) -> dict[str, Any]:
    """What the sender's process measured."""
    at = urlsplit(url)
    lines = "".join(f"{name} {base64.b64encode(raw).decode()}\n" for name, raw in requests)
    done = run(
        sys.executable, "-m", "tests.tenant_manager.load", str(at.hostname), str(at.port), str(rate), str(CONNECTIONS),
        input=lines, timeout=SECONDS + 120,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_accepting(world: World) -> None:
    manager = world.start()
    made = world.clerk.seed([{"email": ALICE}], [{"name": f"Firm {n}", "members": {ALICE: "admin"}} for n in range(50)])
    world.settle(120)
    targets = list(made["organizations"].values())
    requests = [request(world, manager.url, targets[n % len(targets)]) for n in range(RATE * SECONDS)]
    sent = send(manager.url, requests)
    accepted, took, elapsed = set(sent["accepted"]), sorted(sent["took"]), sent["elapsed"]
    print("sender", sent["cpu"], "late p99", sorted(sent["late"])[int(len(took) * 0.99)])
    print(
        f"\naccepted {len(accepted)} of {len(requests)}, {len(accepted) / elapsed:.0f}/s, p50 {took[len(took) // 2] * 1000:.1f} ms,"
        f" p99 {took[int(len(took) * 0.99)] * 1000:.1f} ms, memory {memory_mb(manager):.0f} MB", flush=True,
    )  # fmt: skip
    world.settle(300)
    done = {row["svix_id"] for row in world.rows("SELECT svix_id FROM event WHERE state = 'done'")}
    figures = {
        "events_per_second": round(len(accepted) / elapsed), "p50_ms": round(took[len(took) // 2] * 1000, 1),
        "p99_ms": round(took[int(len(took) * 0.99)] * 1000, 1), "sent": len(requests), "lost": len(accepted - done),
        "memory_mb": round(memory_mb(manager)), "memory_peak_mb": round(memory_mb(manager, "VmHWM")),
    }  # fmt: skip
    print("\naccepting:", json.dumps(figures), "load:", Path("/proc/loadavg").read_text().strip())
    assert len(accepted) == len(requests)
    assert figures["lost"] == 0


def test_the_first_event_of_an_organisation(world: World) -> None:
    world.start()
    made = world.clerk.seed([{"email": ALICE}])
    took = []
    for number in range(5):
        began = time.monotonic()
        answer = world.backend.post("/organizations", json={"name": f"New {number}", "created_by": made["users"][ALICE]})
        found = answer.json()["id"]
        wait_until(lambda found=found: world.twenty.tenants.get(found, {}).get("model"), 60, "not ready", every=0.01)  # type: ignore[misc]
        took.append(time.monotonic() - began)
    print("\norganisation to workspace with its model, seconds:", [round(t, 2) for t in took])


def test_reconciling(world: World) -> None:
    world.clerk.seed(
        [{"email": ALICE}, {"email": BOB}],
        [{"name": f"Firm {n}", "members": {ALICE: "admin", BOB: "member"}} for n in range(TENANTS)],
        quiet=True,
    )
    began = time.monotonic()
    assert world.command("reconcile").returncode == 0
    first = time.monotonic() - began
    for tenant in list(world.twenty.tenants.values())[:20]:
        tenant["name"] = "drifted"
    world.clerk.settings(rate_limit=100)  # what a development instance allows in 10 s
    began = time.monotonic()
    report = json.loads(world.command("reconcile").stdout)
    print(f"\n{TENANTS} tenants made by reconciling (no rate limit): {first:.1f} s; compared, 20 repaired, at Clerk's rate limit:"
          f" {time.monotonic() - began:.1f} s; failed: {len(report['failed'])}")  # fmt: skip
    assert len(report["differing"]) == 20
