"""Start, migrate, upgrade, stop, and the switches for failures: the stand-in only, as each needs a server of its own.

What of it is upstream's behaviour (the traps of ``upgrade``, the shape of the migrations table, what ``migration:show``
prints) was read in upstream's source at c0bae491e1.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract import api as q
from tests.contract.api import Api
from tests.contract.conftest import Target, exchange
from tests.contract.native import SERVER, TREE, Services, Standin

MIGRATIONS = Path("dist/src/database/typeorm/core/migrations/common")
PENDING = """
exports.Pending1999000000000 = class {
  name = 'Pending1999000000000';
  async up(runner) { await runner.query('CREATE TABLE "core"."pending" ("id" uuid)'); }
  async down(runner) { await runner.query('DROP TABLE "core"."pending"'); }
};
"""


@pytest.fixture
def standin(local_services: Services, request: pytest.FixtureRequest) -> Iterator[Standin]:
    with local_services.standin(re.sub(r"\W", "-", request.node.name)) as fresh:
        yield fresh


@pytest.fixture
def migrated(local_services: Services, request: pytest.FixtureRequest) -> Iterator[Standin]:
    with local_services.standin(re.sub(r"\W", "-", request.node.name), migrated=True) as fresh:
        yield fresh


def add_pending_migration(standin: Standin) -> None:
    (standin.tree / SERVER / MIGRATIONS / "1999000000000-pending.js").write_text(PENDING)


def applied(standin: Standin) -> list[str]:
    return standin.psql('SELECT "name" FROM "core"."_typeorm_migrations" ORDER BY "id"').splitlines()


def add_active_workspace(standin: Standin, version: str | None) -> None:
    standin.psql(
        'INSERT INTO "core"."workspace" ("displayName", "subdomain", "activationStatus", "defaultRoleId", "version") '
        "VALUES ('x', 'x', 'ACTIVE', public.uuid_generate_v4(), nullif(:'version', ''))",
        version=version or "",
    )


def upgrade(standin: Standin, **changes: str | None) -> subprocess.CompletedProcess[str]:
    return standin.run("node", "dist/src/command/command", "upgrade", changes=changes)


# --- start


@pytest.mark.parametrize("program", ["src/main", "src/queue-worker/queue-worker", "src/command/command"])
@pytest.mark.parametrize("missing", ["PG_DATABASE_URL", "REDIS_URL", "APP_SECRET", "SERVER_URL"])
def test_missing_setting_is_refused_by_name(standin: Standin, program: str, missing: str) -> None:
    changes: dict[str, str | None] = {missing: None}
    done = standin.run("node", f"dist/{program}", "upgrade", timeout=20, changes=changes)
    assert done.returncode == 1
    assert f"{missing}: missing" in done.stderr


def test_malformed_address_is_refused_by_name(standin: Standin) -> None:
    done = standin.run("node", "dist/src/main", timeout=20, changes={"SERVER_URL": "localhost", "REDIS_URL": "http://x"})
    assert done.returncode == 1
    assert "SERVER_URL: not an address" in done.stderr
    assert "REDIS_URL: not an address" in done.stderr


def test_server_does_not_start_on_an_empty_database(standin: Standin) -> None:
    done = standin.run("node", "dist/src/main", timeout=20)
    assert done.returncode == 1
    assert 'relation "core.workspace" does not exist' in done.stderr


def test_boot_writes_the_block_of_the_page_anew(migrated: Standin) -> None:
    page = migrated.tree / SERVER / "dist/front/index.html"
    page.write_text(page.read_text().replace("<!-- END: Twenty Config -->", "<b>ours</b><!-- END: Twenty Config -->"))
    migrated.start_server()
    served = httpx.get(f"{migrated.url}/").text
    assert "<b>ours</b>" not in served
    assert migrated.url in served


def test_server_ends_by_sigterm_and_answers_what_is_under_way(migrated: Standin) -> None:
    server = migrated.start_server()
    with httpx.Client(base_url=migrated.url) as http:
        assert http.get("/healthz").status_code == 200
        assert server.stop() == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{migrated.url}/healthz", timeout=2)


# --- migrations


def test_migrations_are_recorded_as_typeorm_records_them(standin: Standin) -> None:
    standin.migrate()
    columns = standin.psql(
        "SELECT string_agg(column_name || ' ' || data_type, ', ' ORDER BY ordinal_position) "
        "FROM information_schema.columns WHERE table_schema = 'core' AND table_name = '_typeorm_migrations'"
    )
    assert columns == "id integer, timestamp bigint, name character varying"
    assert len(applied(standin)) == len(list((TREE / SERVER / "src" / MIGRATIONS.relative_to("dist/src")).iterdir()))


def test_pending_migrations_are_listed(migrated: Standin) -> None:
    add_pending_migration(migrated)
    done = migrated.typeorm("show")
    assert done.returncode == 0, done.stderr
    states = {name: mark for mark, name in re.findall(r"\[([X ])\] (?:\d+ )?(\w+)", done.stdout)}
    assert states.pop("Pending1999000000000") == " "
    assert set(states.values()) == {"X"}
    assert set(states) == set(applied(migrated))


def test_failing_migration_fails_and_leaves_nothing(standin: Standin) -> None:
    assert standin.run("node", "dist/scripts/setup-db").returncode == 0
    done = standin.typeorm("run", STANDIN_FAIL_MIGRATION="1")
    assert done.returncode == 1
    assert "standinMissing" in done.stdout + done.stderr
    tables = standin.psql("SELECT count(*) FROM pg_tables WHERE schemaname = 'core' AND tablename <> '_typeorm_migrations'")
    assert tables == "0"


# --- upgrade


@pytest.mark.parametrize("version", [None, "", "nonsense", "9.9.0", "1.6.0"])
def test_upgrade_without_a_known_release_runs_nothing_and_exits_with_0(migrated: Standin, version: str | None) -> None:
    add_active_workspace(migrated, "1.10.0")
    add_pending_migration(migrated)
    done = upgrade(migrated, APP_VERSION=version)
    assert done.returncode == 0
    assert "APP_VERSION" in done.stderr
    assert "Pending1999000000000" not in applied(migrated)


def test_upgrade_without_an_active_workspace_runs_nothing(migrated: Standin) -> None:
    add_pending_migration(migrated)
    done = upgrade(migrated)
    assert done.returncode == 0
    assert "no core migration run" in done.stdout
    assert "Pending1999000000000" not in applied(migrated)


@pytest.mark.parametrize("before", ["1.8.0", None])
def test_upgrade_over_a_skipped_minor_runs_nothing(migrated: Standin, before: str | None) -> None:
    add_active_workspace(migrated, before)
    add_pending_migration(migrated)
    done = upgrade(migrated, APP_VERSION="1.11.0")
    assert done.returncode == 0
    assert "one minor at a time" in done.stderr
    assert "Pending1999000000000" not in applied(migrated)


@pytest.mark.parametrize(("before", "after"), [("1.10.2", "1.11.3"), ("1.11.0", "1.11.0")])
def test_upgrade_runs_core_migrations_and_raises_the_version(migrated: Standin, before: str, after: str) -> None:
    add_active_workspace(migrated, before)
    add_pending_migration(migrated)
    done = upgrade(migrated, APP_VERSION="1.11.3")
    assert done.returncode == 0, done.stderr
    assert applied(migrated)[-1] == "Pending1999000000000"
    assert migrated.psql('SELECT "version" FROM "core"."workspace"') == after


def test_failed_core_migration_in_upgrade_exits_with_0_too(migrated: Standin) -> None:
    add_active_workspace(migrated, "1.10.0")
    done = upgrade(migrated, STANDIN_FAIL_MIGRATION="1")
    assert done.returncode == 0
    assert "core migrations failed" in done.stderr
    assert migrated.psql('SELECT "version" FROM "core"."workspace"') == "1.10.0"


def test_unknown_command_fails(standin: Standin) -> None:
    done = standin.run("node", "dist/src/command/command", "no:such")
    assert done.returncode == 1
    assert "no:such" in done.stderr


# --- entrypoint


@pytest.fixture
def entrypoint(standin: Standin) -> Path:
    """The image's entrypoint, run here: yarn, which the image brings, is npm under another name."""
    programs = standin.directory / "bin"
    programs.mkdir()
    yarn = programs / "yarn"
    yarn.write_text('#!/bin/sh\nname="$1"; shift\nexec npm run --silent "$name" -- "$@"\n')
    yarn.chmod(0o755)
    standin.path = f"{programs}:{standin.path}"
    return TREE / "packages/twenty-docker/twenty/entrypoint.sh"


def test_entrypoint_sets_up_an_empty_database_once(standin: Standin, entrypoint: Path) -> None:
    first = standin.run("sh", str(entrypoint), "echo", "the command")
    assert first.returncode == 0, first.stderr
    assert "setting up the database" in first.stdout
    assert first.stdout.splitlines()[-1] == "the command"
    assert len(applied(standin)) == 3
    second = standin.run("sh", str(entrypoint), "echo", "the command")
    assert second.returncode == 0, second.stderr
    assert "setting up the database" not in second.stdout


def test_entrypoint_stops_where_the_first_migration_fails(standin: Standin, entrypoint: Path) -> None:
    done = standin.run("sh", str(entrypoint), "echo", "the command", changes={"STANDIN_FAIL_MIGRATION": "1"})
    assert done.returncode != 0
    assert "the command" not in done.stdout


def test_entrypoint_leaves_out_what_is_switched_off(standin: Standin, entrypoint: Path) -> None:
    off: dict[str, str | None] = {"DISABLE_DB_MIGRATIONS": "true", "DISABLE_CRON_JOBS_REGISTRATION": "true"}
    done = standin.run("sh", str(entrypoint), "echo", "the command", changes=off)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "the command"
    assert standin.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'core'") == "0"


# --- switches for failures


def test_unhealthy_by_switch(migrated: Standin) -> None:
    server = migrated.start("server", "node", "dist/src/main", STANDIN_UNHEALTHY="1")
    deadline = time.monotonic() + 20
    while True:
        try:
            answer = httpx.get(f"{migrated.url}/healthz", timeout=2)
            break
        except httpx.TransportError:
            assert time.monotonic() < deadline, server.tail()
            time.sleep(0.05)
    assert answer.status_code == 503
    assert answer.json()["status"] == "error"
    assert httpx.get(f"{migrated.url}/client-config").status_code == 200


def test_slow_boot_by_switch(migrated: Standin) -> None:
    started = time.monotonic()
    migrated.start_server(STANDIN_SLOW_BOOT_SECONDS="2")
    assert time.monotonic() - started >= 2


# --- several workspaces (multi-workspace mode on)


def test_workspaces_do_not_see_each_other(migrated: Standin) -> None:
    migrated.settings |= {"IS_MULTIWORKSPACE_ENABLED": "true", "SERVER_URL": f"http://localhost:{migrated.port}"}
    migrated.start_server()
    tokens = []
    with httpx.Client(base_url=migrated.url, timeout=30) as http:
        for tenant in ("one", "two"):
            target = Target(migrated.url, http, migrated, None, None)
            signed = target.api.metadata(q.SIGN_UP, email=f"{tenant}@example.com", password="long enough").ok()
            agnostic = signed["signUp"]["tokens"]["accessOrWorkspaceAgnosticToken"]["token"]
            made = target.api.with_token(agnostic).metadata(q.NEW_WORKSPACE).ok()["signUpInNewWorkspace"]
            named = migrated.psql('SELECT "subdomain" FROM "core"."workspace" WHERE "id" = :\'id\'', id=made["workspace"]["id"])
            at = Target(f"http://{named}.localhost", http, migrated, None, None)
            before, _ = exchange(at, made["loginToken"]["token"])
            target.api.with_token(before).metadata(q.ACTIVATE, data={"displayName": tenant}).ok()
            tokens.append(exchange(at, made["loginToken"]["token"])[0])
        one, two = (Api(http, token) for token in tokens)
        one.records('mutation { createCompany(data: { name: "Secret" }) { id } }').ok()
        assert one.records("{ companies { totalCount } }").ok()["companies"]["totalCount"] == 1
        assert two.records("{ companies { totalCount } }").ok()["companies"]["totalCount"] == 0
