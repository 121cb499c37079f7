"""The way of an event from Clerk: through the proxy, signed, stored, worked off; and what is turned away."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from testinfra.host import Host

MANAGER = "docker exec twenty-tenant-manager-1 python -m tenant_manager"
PSQL = "docker exec -i twenty-postgres-1 psql -v ON_ERROR_STOP=1 -tA"
SECONDS = 30


@pytest.fixture
def delivery(host: Host) -> dict[str, Any]:
    """One event that nothing follows from, signed on the droplet: its secret never leaves it."""
    found: dict[str, Any] = json.loads(host.check_output(f"{MANAGER} events self-test"))
    return found


def sent(public: httpx.Client, delivery: dict[str, Any], **headers: str) -> int:
    answer = public.post(delivery["path"], content=delivery["body"], headers=delivery["headers"] | headers)
    return answer.status_code


def rows(host: Host, delivery: dict[str, Any]) -> int:
    query = "select count(*) from event where svix_id = :'id'"
    return int(host.check_output(f"echo %s | {PSQL} -U tenants -d tenants -v id=%s", query, delivery["headers"]["svix-id"]))


def test_a_signed_event_from_outside_comes_back_done_and_leaves_no_tenant(
    host: Host, public: httpx.Client, delivery: dict[str, Any]
) -> None:
    tenants = host.check_output(f"{MANAGER} tenants list")
    assert sent(public, delivery) == 202
    deadline = time.monotonic() + SECONDS
    while True:
        found = json.loads(host.check_output(f"{MANAGER} events show %s", delivery["headers"]["svix-id"]))
        if found["state"] == "done":
            break
        assert time.monotonic() < deadline, f"not worked off after {SECONDS} s: {found['state']}"
        time.sleep(0.5)
    assert sent(public, delivery) == 202, "a repeated delivery is welcome"
    assert rows(host, delivery) == 1, "and stored once"
    assert host.check_output(f"{MANAGER} tenants list") == tenants


@pytest.mark.parametrize(
    "wrong",
    [
        {"svix-signature": "v1,AAAA"},
        {"svix-timestamp": "1600000000"},
        {"content-type": "text/plain"},
    ],
    ids=["signature", "stale", "type"],
)
def test_an_event_that_clerk_did_not_send_is_turned_away(
    host: Host, public: httpx.Client, delivery: dict[str, Any], wrong: dict[str, str]
) -> None:
    assert 400 <= sent(public, delivery, **wrong) < 500
    assert rows(host, delivery) == 0


def test_a_tampered_event_is_turned_away(host: Host, public: httpx.Client, delivery: dict[str, Any]) -> None:
    assert 400 <= sent(public, delivery | {"body": delivery["body"].replace("self_test", "self_tess")}) < 500
    assert rows(host, delivery) == 0


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/docs", "/openapi.json", "/webhooks/clerk/"])
def test_nothing_else_of_the_tenant_manager_is_public(public: httpx.Client, path: str) -> None:
    answer = public.get(path)
    assert "tenant_manager" not in answer.text
    assert answer.headers.get("content-type", "").partition(";")[0] in {"text/html", ""} or answer.status_code in {404, 405}


def test_the_tenant_managers_role_reads_nothing_of_twentys(host: Host) -> None:
    assert host.check_output(f"{PSQL} -U tenants -d tenants -c 'select 1'") == "1"
    refused = host.run(f"{PSQL} -U tenants -d twenty -c 'select 1'")
    assert refused.rc != 0
    assert "permission denied for database" in refused.stderr
    rights = "select rolsuper or rolcreaterole or rolcreatedb from pg_roles where rolname = 'tenants'"
    assert host.check_output(f"{PSQL} -U postgres -d postgres -c %s", rights) == "f"


def test_database_is_migrated_by_the_image_that_serves(host: Host, compose: dict[str, Any]) -> None:
    query = "select shobj_description(oid, 'pg_database') from pg_database where datname = 'tenants'"
    mark = host.check_output(f"{PSQL} -U postgres -d postgres -c %s", query)
    assert mark == compose["services"]["tenant-manager"]["image"]
