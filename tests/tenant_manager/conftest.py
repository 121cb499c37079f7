"""For each test: a database, a Clerk instance, a stand-in of Twenty, and as many tenant managers as it wants, as processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn
from psycopg.rows import dict_row
from starlette.types import Receive, Scope, Send

from lab.clerk import signing
from lab.clerk.control import NO_TLS, Control
from lab.clerk.keys import KeyRing
from lab.clerk.server import Emulator, Kept
from lab.command import run, wait_until
from tests.clerk.conftest import House
from tests.tenant_manager.postgres import Postgres, free_port, temporary
from tests.tenant_manager.twenty_internal import Twenty

Json = dict[str, Any]
PACKAGE = Path(__file__).parents[2] / "files" / "tenant_manager"
SECRET = "internal-secret-of-the-tests-0123456789"
ALICE, BOB, CAROL = "alice@lab.test", "bob@lab.test", "carol@lab.test"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with temporary() as found:
        yield found


class Standing:
    """The server of the stand-ins of Twenty, one for all tests."""

    def __init__(self) -> None:
        self.twenty: Twenty | None = None
        self.loop = asyncio.new_event_loop()
        config = uvicorn.Config(
            self.app, port=0, log_level="warning", lifespan="off", interface="asgi3", timeout_graceful_shutdown=2
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=lambda: self.loop.run_until_complete(self.server.serve()), daemon=True)
        self.thread.start()
        wait_until(lambda: self.server.started, 20, "the stand-in of Twenty does not start", every=0.01)
        self.address = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.twenty is not None
        await self.twenty.app(scope, receive, send)

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture(scope="session")
def standing() -> Iterator[Standing]:
    found = Standing()
    yield found
    found.close()


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    found = House()
    yield found
    found.close()


@pytest.fixture(scope="session")
def keys() -> dict[str, dict[str, Any]]:
    return KeyRing().private()


@dataclass
class Manager:
    """A running tenant manager."""

    process: subprocess.Popen[bytes]
    url: str
    internal: str
    log: Path

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def stop(self, seconds: float = 40) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def logged(self) -> list[Json]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


@dataclass
class World:
    postgres: Postgres
    dsn: str
    emulator: Emulator
    clerk: Control
    backend: httpx.Client
    twenty: Twenty
    environment: dict[str, str]
    directory: Path
    managers: list[Manager] = field(default_factory=list)

    @property
    def secret(self) -> str:
        return self.emulator.hooks.secrets[0][0]

    def command(self, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tenant_manager", *argv],
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def start(self, *, point: bool = True, **more: str) -> Manager:
        """One more tenant manager; with ``point`` Clerk's webhooks go to it."""
        public, internal = free_port(), free_port()
        addresses = {"LISTEN": f"127.0.0.1:{public}", "INTERNAL_LISTEN": f"127.0.0.1:{internal}"}
        log = self.directory / f"manager-{len(self.managers)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "tenant_manager", "serve"],
                env=self.environment | addresses | more,
                stdout=file,
                stderr=file,
            )
        found = Manager(process, f"http://127.0.0.1:{public}/webhooks/clerk", f"http://127.0.0.1:{internal}", log)
        self.managers.append(found)
        wait_until(
            lambda: ready(found) or process.poll() is not None, 60, lambda: f"no tenant manager: {log.read_text()[-1500:]}"
        )
        assert process.poll() is None, log.read_text()
        if point:
            self.clerk.endpoint(url=found.url, speed=60)
        return found

    def rows(self, query: str, *values: Any) -> list[Json]:
        with psycopg.connect(self.dsn, row_factory=dict_row) as connection:
            return connection.execute(query, values).fetchall()

    def write(self, query: str, *values: Any) -> None:
        with psycopg.connect(self.dsn) as connection:
            connection.execute(query, values)

    def truth(self) -> dict[str, Json]:
        """What Clerk says: {organisation: {name, members: {user: (role, email, first name)}}}."""
        data = self.emulator.instance.data
        found: dict[str, Json] = {o.id: {"name": o.name, "members": {}} for o in data.organizations.values()}
        for member in list(data.memberships.values()):
            user, role = data.users[member.user_id], member.role.removeprefix("org:")
            email = user.primary_email.email_address if user.primary_email else ""
            found[member.organization_id]["members"][user.id] = (role, email, user.first_name or "")
        return found

    def made(self) -> dict[str, Json]:
        """What Twenty has, of those that are not suspended."""
        return {
            org: {
                "name": t["name"],
                "members": {u: (role, self.twenty.users[u]["email"], self.twenty.users[u]["firstName"]) for u, role in t["members"].items()},
            }
            for org, t in self.twenty.tenants.items()
            if t["status"] == "active"
        }  # fmt: skip

    def settle(self, seconds: float = 40) -> None:
        """Wait until Twenty is as Clerk is, and nothing is left to do."""

        def same() -> bool:
            wanted = {org: found for org, found in self.truth().items() if found["members"] or org in self.twenty.tenants}
            return self.made() == wanted and not self.rows("SELECT 1 FROM event WHERE state = 'queued'")

        wait_until(same, seconds, lambda: f"Clerk: {self.truth()}\nTwenty: {self.made()}\n{self.left()}")

    def left(self) -> list[Json]:
        return self.rows("SELECT svix_id, type, target, state, attempts, last_error FROM event WHERE state <> 'done'")

    def signed(self, body: bytes, message_id: str | None = None, at: float | None = None) -> dict[str, str]:
        found = signing.headers([self.secret], message_id or f"msg_{uuid.uuid4().hex}", int(at or time.time()), body)
        return {"content-type": "application/json", **found}

    def event(self, kind: str, data: Json) -> bytes:
        return json.dumps({"data": data, "object": "event", "type": kind, "timestamp": 0}).encode()


def ready(manager: Manager) -> bool:
    try:
        return httpx.get(f"{manager.internal}/readyz", trust_env=False, timeout=10, verify=NO_TLS).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> str:
    """Name of a database with all migrations, for the tests' own to be copied from."""
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE), "DATABASE_URL": postgres.database("migrated"), "CLERK_SECRET_KEY": "sk_test_x",
        "CLERK_WEBHOOK_SECRET": signing.new_secret(), "TWENTYOPS_INTERNAL_SECRET": SECRET,
    }  # fmt: skip
    run(sys.executable, "-m", "tenant_manager", "migrate", env=environment)
    return "migrated"


@pytest.fixture
def world(
    postgres: Postgres, migrated: str, standing: Standing, house: House, keys: dict[str, dict[str, Any]], tmp_path: Path
) -> Iterator[World]:
    emulator = Emulator("tests", kept=Kept(keys=keys))
    twenty = Twenty(SECRET)
    standing.twenty = twenty
    dsn = postgres.database(f"t{uuid.uuid4().hex[:12]}", migrated)
    with (
        house.lodge(emulator),
        Control(f"{house.address}/_admin", emulator.secrets.admin_token) as clerk,
        httpx.Client(
            base_url=f"{house.address}/bapi/v1", headers={"Authorization": f"Bearer {emulator.secrets.secret_key}"},
            trust_env=False, timeout=20, verify=NO_TLS,
        ) as backend,
    ):  # fmt: skip
        clerk.settings(rate_limit=None, user_quota=None)
        environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE), "DATABASE_URL": dsn, "CLERK_SECRET_KEY": emulator.secrets.secret_key,
            "CLERK_WEBHOOK_SECRET": emulator.hooks.secrets[0][0], "CLERK_API_URL": f"{house.address}/bapi",
            "TWENTY_INTERNAL_URL": standing.address, "TWENTYOPS_INTERNAL_SECRET": SECRET, "RECONCILE_EVERY": "0",
            "REST": "0.1", "MAX_TENANTS": "10000", "MAX_ORGANIZATIONS_PER_PERSON": "10000", "HEARTBEAT": "1", "STALLED_AFTER": "4", "SWEEP_EVERY": "3", "BACKOFF_BASE": "0.2", "BACKOFF_MOST": "2", "STOP_WITHIN": "10",
        }  # fmt: skip
        found = World(postgres, dsn, emulator, clerk, backend, twenty, environment, tmp_path)
        try:
            yield found
        finally:
            clerk.endpoint(url=None)
            for manager in found.managers:
                if manager.process.poll() is None:
                    manager.kill()
