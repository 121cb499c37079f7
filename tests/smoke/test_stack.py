"""What must be true of the containers and files on the host."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from testinfra.host import Host

SERVICES = ["postgres", "redis", "server", "worker", "tenant-manager", "caddy"]
READ_ONLY = {"tenant-manager", "caddy"}


@pytest.mark.parametrize("service", SERVICES)
def test_service_is_healthy(containers: dict[str, Any], service: str) -> None:
    state = containers[service]["State"]
    assert (state["Status"], state["Health"]["Status"]) == ("running", "healthy")


@pytest.mark.parametrize("service", SERVICES)
def test_service_runs_the_image_of_the_release_by_digest(
    containers: dict[str, Any], compose: dict[str, Any], service: str
) -> None:
    wanted = compose["services"][service]["image"]
    assert "@sha256:" in wanted
    assert containers[service]["Config"]["Image"] == wanted


def test_only_the_proxy_publishes_ports(containers: dict[str, Any], compose: dict[str, Any]) -> None:
    published = {
        name: sorted(
            int(binding["HostPort"]) for bindings in c["NetworkSettings"]["Ports"].values() for binding in bindings or []
        )
        for name, c in containers.items()
    }
    assert {name: sorted(set(ports)) for name, ports in published.items() if ports} == {"caddy": compose["x-twentyops"]["ports"]}


@pytest.mark.parametrize("service", SERVICES)
def test_container_is_confined(containers: dict[str, Any], service: str) -> None:
    config = containers[service]["HostConfig"]
    assert "no-new-privileges:true" in config["SecurityOpt"]
    assert config["CapDrop"] == ["ALL"]
    assert config["Memory"] > 0
    assert config["LogConfig"]["Config"]["max-size"]
    assert config["RestartPolicy"]["Name"] == "unless-stopped"
    assert config["ReadonlyRootfs"] == (service in READ_ONLY)
    if service != "caddy":
        assert containers[service]["Config"]["User"] not in {"", "0", "root"}


def test_each_container_gets_only_its_variables(containers: dict[str, Any]) -> None:
    names = {service: set(c["Config"]["EnvNames"]) for service, c in containers.items()}
    assert "APP_SECRET" in names["server"]
    assert "CLERK_WEBHOOK_SECRET" in names["tenant-manager"]
    assert not names["tenant-manager"] & {"APP_SECRET", "PG_DATABASE_URL", "PGPASSWORD"}
    assert not names["server"] & {"CLERK_WEBHOOK_SECRET", "DATABASE_URL"}
    for service in ("postgres", "redis", "caddy"):
        assert not names[service] & {"APP_SECRET", "PG_DATABASE_URL", "CLERK_SECRET_KEY"}, service
    assert not names["redis"] & {"POSTGRES_PASSWORD"}
    assert not names["server"] & {"POSTGRES_PASSWORD"}


def test_secrets_are_readable_by_root_alone(host: Host, release_directory: str) -> None:
    listing = host.check_output("find -L %s /opt/twenty/secrets -type f -printf '%%m %%U %%p\\n'", release_directory)
    secret = [line.split(" ", 2) for line in listing.splitlines() if "/env/" in line or "/secrets/" in line]
    assert len(secret) >= 7
    assert [line for line in secret if line[:2] != ["600", "0"]] == []


def test_redis_never_evicts_queue_jobs(host: Host) -> None:
    assert host.check_output("docker exec twenty-redis-1 redis-cli config get maxmemory-policy").split() == [
        "maxmemory-policy",
        "noeviction",
    ]


def test_worker_works_off_a_job(host: Host) -> None:
    result = host.run("docker exec twenty-worker-1 node /app/packages/twenty-server/scripts/twentyops-worker-health.cjs")
    assert result.rc == 0, result.stdout + result.stderr


def test_database_is_migrated_by_the_image_that_serves(host: Host, compose: dict[str, Any]) -> None:
    query = "select shobj_description(oid, 'pg_database') from pg_database where datname = 'twenty'"
    mark = host.check_output("docker exec twenty-postgres-1 psql -U postgres -d postgres -tAc %s", query)
    assert mark == compose["services"]["server"]["image"]


def test_server_tells_that_its_workspaces_match_the_data_model(host: Host, containers: dict[str, Any]) -> None:
    deadline = time.monotonic() + 120
    # a server that was started just now may still be looking through its workspaces
    while (said := host.check_output("docker exec twenty-server-1 cat /tmp/twentyops-data-model")).startswith("running"):
        assert time.monotonic() < deadline, said
        time.sleep(1)
    assert re.match(r"matched: \d+ workspace\(s\), model [0-9a-f]{12}$", said), f"{said}; see docs/runbook/data-model.md"
    # Docker's own view is a few seconds behind: any of its words will do, as long as it has them
    checks = containers["server"]["State"]["Health"]["Log"]
    assert any(check["Output"].startswith("data model: ") for check in checks), checks
