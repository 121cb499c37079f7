"""What must be true of the containers and files on the host."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from testinfra.host import Host

from twentyops import stack

SERVICES = list(stack.SERVICES)


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
    assert config["ReadonlyRootfs"]
    assert containers[service]["Config"]["User"] not in {"", "0", "root"}


@pytest.mark.parametrize("service", SERVICES)
def test_container_may_not_take_the_whole_machine(host: Host, containers: dict[str, Any], service: str) -> None:
    config = containers[service]["HostConfig"]
    # a kernel that cannot limit something is told by Docker, which then leaves the limit out
    quota, pids = host.check_output("docker info --format '{{.CPUCfsQuota}} {{.PidsLimit}}'").split()
    assert (config["CpuQuota"] > 0) == (quota == "true")
    assert ((config["PidsLimit"] or 0) > 0) == (pids == "true")


@pytest.mark.parametrize("service", ["server", "worker"])
def test_nothing_can_be_written_beside_the_code(host: Host, service: str) -> None:
    for path in ("/app/x", "/app/packages/twenty-server/dist/x", "/app/packages/twenty-server/scripts/x", "/etc/x"):
        refused = host.run("docker exec twenty-%s-1 touch %s", service, path)
        assert refused.rc != 0, path
        assert "Read-only file system" in refused.stderr, path
    for path in (stack.SCRATCH, "/tmp", "/app/packages/twenty-server/.local-storage"):
        written = host.run(
            "docker exec twenty-%s-1 sh -c %s", service, f"touch {path}/twentyops-smoke && rm {path}/twentyops-smoke"
        )
        assert written.rc == 0, written.stderr


def test_uploads_do_not_spool_into_memory(host: Host) -> None:
    for service in ("server", "worker"):
        told = host.check_output("docker exec twenty-%s-1 node -p %s", service, "os.tmpdir()")
        assert told == stack.SCRATCH
        assert host.check_output("docker exec twenty-%s-1 stat -f -c %%T %s", service, told) != "tmpfs"


def test_each_container_gets_only_its_variables(containers: dict[str, Any]) -> None:
    names = {service: set(c["Config"]["EnvNames"]) for service, c in containers.items()}
    assert "APP_SECRET" in names["server"]
    assert "CLERK_WEBHOOK_SECRET" in names["tenant-manager"]
    assert not names["tenant-manager"] & {"APP_SECRET", "PG_DATABASE_URL", "PGPASSWORD"}
    assert not names["server"] & {"CLERK_WEBHOOK_SECRET", "DATABASE_URL"}
    for service in ("postgres", "redis", "redis-cache", "caddy"):
        assert not names[service] & {"APP_SECRET", "PG_DATABASE_URL", "CLERK_SECRET_KEY"}, service
    assert not names["redis"] & {"POSTGRES_PASSWORD"}
    assert not names["server"] & {"POSTGRES_PASSWORD"}


def test_secrets_are_readable_by_root_alone(host: Host, release_directory: str) -> None:
    listing = host.check_output("find -L %s /opt/twenty/secrets -type f -printf '%%m %%U %%p\\n'", release_directory)
    secret = [line.split(" ", 2) for line in listing.splitlines() if "/env/" in line or "/secrets/" in line]
    assert len(secret) >= 7
    assert [line for line in secret if line[:2] != ["600", "0"]] == []


@pytest.mark.parametrize(("service", "policy"), [("redis", "noeviction"), ("redis-cache", "volatile-lru")])
def test_each_redis_evicts_what_it_may(host: Host, service: str, policy: str) -> None:
    answer = host.check_output("docker exec twenty-%s-1 redis-cli config get maxmemory-policy", service)
    assert answer.split() == ["maxmemory-policy", policy]


@pytest.mark.parametrize("service", ["redis", "redis-cache"])
def test_redis_asks_for_its_password(host: Host, service: str) -> None:
    assert "NOAUTH" in host.run("docker exec --env REDISCLI_AUTH= twenty-%s-1 redis-cli ping", service).stdout


def test_queue_and_what_must_stay_are_not_in_the_cache(host: Host) -> None:
    keys = host.check_output("docker exec twenty-redis-cache-1 redis-cli --scan").splitlines()
    # copies of what the database has, and what the health check writes
    assert [key for key in keys if not key.startswith(("engine:workspace:", "twentyops:health"))] == []
    assert host.check_output("docker exec twenty-redis-1 redis-cli exists bull:cron-queue:meta") == "1"


def test_no_secret_shows_in_a_process_list(host: Host) -> None:
    files = host.check_output("find /opt/twenty/secrets -type f -size +0").split()
    assert files
    assert [file for file in files if host.run("ps -eww -o args | grep -qFf %s", file).rc != 1] == []


def test_worker_works_off_a_job(host: Host) -> None:
    result = host.run("docker exec twenty-worker-1 node /app/packages/twenty-server/scripts/twentyops-worker-health.cjs")
    assert result.rc == 0, result.stdout + result.stderr


def test_database_is_migrated_by_the_image_that_serves(host: Host, compose: dict[str, Any]) -> None:
    query = "select shobj_description(oid, 'pg_database') from pg_database where datname = 'twenty'"
    mark = host.check_output("docker exec twenty-postgres-1 psql -U postgres -d postgres -tAc %s", query)
    assert mark == compose["services"]["server"]["image"]


def test_server_tells_that_its_workspaces_match_the_data_model(host: Host) -> None:
    deadline = time.monotonic() + 120
    # a server that was started just now may still be looking through its workspaces, and Docker asks it only every few seconds
    while (said := host.check_output("docker exec twenty-server-1 cat /tmp/twentyops-data-model")).startswith("running"):
        assert time.monotonic() < deadline, said
        time.sleep(1)
    assert re.match(r"matched: \d+ workspace\(s\), model [0-9a-f]{12}$", said), f"{said}; see docs/runbook/data-model.md"
    while "data model: " not in (
        log := host.check_output("docker inspect --format '{{json .State.Health.Log}}' twenty-server-1")
    ):
        assert time.monotonic() < deadline, log
        time.sleep(1)
