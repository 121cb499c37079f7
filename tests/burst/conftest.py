"""A real, patched Twenty that is asked directly (``--twenty-url``), and the people who are at work there while a burst comes.

The whole way, from Clerk's webhook on, is asked of a lab: ``--lab NAME`` (test_lab.py).
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from lab.clerk.control import Control
from tests.burst.watch import Watch
from tests.tenants.conftest import Person, Server, Tenant

PEOPLE = "{ people { totalCount } }"


def pytest_addoption(parser: pytest.Parser) -> None:
    # the others are in tests/conftest.py
    group = parser.getgroup("burst")
    group.addoption(
        "--server-pid-file",
        default="",
        help="burst: file with the process id of that server, which is started again when it ends",
    )
    group.addoption(
        "--twenty-database-url", default="", help="burst: that server's database, for the test that holds a table of it"
    )
    group.addoption("--fifty", action="store_true", help="burst: 50 organisations too; the lab needs SERVER_MEMORY_MB=4096")


@dataclass(frozen=True)
class House:
    """A server, its Clerk, and one tenant whose people are at work; the first of them is its admin, and Clerk knows them all."""

    server: Server
    clerk: Control
    tenant: Tenant
    people: list[str]

    def watch(self, every: float = 0.3) -> Watch:
        return watch(
            str(self.server.http.base_url).rstrip("/"),
            self.clerk,
            self.tenant.organization,
            self.people,
            self.tenant.api_token(),
            every,
        )


def watch(url: str, clerk: Control, organization: str, people: list[str], access: str, every: float) -> Watch:
    """A page that asks for records, and people who sign in one after the other, each less often than the limit for a person."""
    turn = itertools.cycle(people)

    def graphql(client: httpx.Client) -> httpx.Response:
        return client.post(f"{url}/graphql", json={"query": PEOPLE}, headers={"Authorization": f"Bearer {access}"})

    def sign_in(client: httpx.Client) -> httpx.Response:
        token = clerk.mint(user_id=next(turn), organization_id=organization, origin=url)["jwt"]
        began = time.monotonic()
        answer = client.post(f"{url}/clerk/session", json={}, headers={"Authorization": f"Bearer {token}"})
        answer.extensions["seconds"] = time.monotonic() - began  # without Clerk's part
        return answer

    return Watch(every, graphql=graphql, sign_in=sign_in)


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    url, secret = request.config.getoption("--twenty-url"), request.config.getoption("--internal-secret")
    if not url or not secret:
        pytest.skip(
            "asks a running, patched Twenty: pytest tests/burst --twenty-url URL --internal-secret SECRET --clerk URL/_admin"
        )
    internal = request.config.getoption("--internal-url") or url
    headers = {"Authorization": f"Bearer {secret}"}
    with (
        httpx.Client(base_url=url, timeout=60, trust_env=False) as http,
        httpx.Client(base_url=internal, timeout=300, headers=headers, trust_env=False) as asked,
    ):
        yield Server(http, asked, request.config.getoption("--twenty-app-secret"))


@pytest.fixture(scope="session")
def house(request: pytest.FixtureRequest, server: Server) -> Iterator[House]:
    """One tenant that is there before the burst, made as the tenant manager would."""
    admin = request.config.getoption("--clerk")
    if not admin.startswith("http"):
        pytest.skip("needs the control of the emulator that the server signs people in by: --clerk URL/_admin, CLERK_ADMIN_TOKEN")
    with Control(admin, os.environ["CLERK_ADMIN_TOKEN"]) as clerk:
        unknown = [Person(first_name="Noura") for _ in range(6)]
        made = clerk.seed(
            [{"email": person.email, "first_name": person.first_name} for person in unknown],
            [{"name": f"Here {unknown[0].email[:6]}", "members": {person.email: "admin" for person in unknown}}],
            quiet=True,
        )
        people = [Person(email=person.email, id=made["users"][person.email]) for person in unknown]
        organization = next(iter(made["organizations"].values()))
        answer = server.ensure(organization, people[0], "Here")
        assert answer.status_code in (200, 201), answer.text
        tenant = Tenant(server, organization, answer.json()["workspaceId"], people[0])
        for person in people[1:]:
            assert tenant.put_member(person, "admin").is_success
        model = server.internal.post(f"{tenant.path}/data-model", json={"mode": "apply"})
        assert model.json()["status"] == "matched", model.text
        yield House(server, clerk, tenant, [person.id for person in people])


@pytest.fixture(scope="session")
def database(request: pytest.FixtureRequest) -> str:
    """Address of that server's database."""
    found = str(request.config.getoption("--twenty-database-url", default=""))
    if not found:
        pytest.skip("holds a table of the server's database: --twenty-database-url URL")
    return found


@pytest.fixture(scope="session")
def process(request: pytest.FixtureRequest) -> Callable[[], int]:
    """The server's process id, which changes when it is started again; ``--server-pid-file``."""
    path = request.config.getoption("--server-pid-file", default="")
    if not path:
        pytest.skip("looks at the server's process: --server-pid-file FILE")
    return lambda: int(Path(path).read_text())


def report(name: str, **figures: object) -> None:
    """One line of figures, for notes."""
    print(f"{name}: {json.dumps(figures, default=str)}")
