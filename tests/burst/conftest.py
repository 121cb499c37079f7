"""A real, patched Twenty that is asked directly (``--twenty-url``), and the people who are at work there while a burst comes.

The whole way, from Clerk's webhook on, is asked of a lab: ``--lab NAME`` (test_lab.py).
"""

from __future__ import annotations

import json
import os
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
    group.addoption("--fifty", action="store_true", help="burst: 50 organisations too; the lab needs SERVER_MEMORY_MB=4096")


@dataclass(frozen=True)
class House:
    """A server, its Clerk, and one tenant whose people are at work: Alice is its admin, known to Clerk too."""

    server: Server
    clerk: Control
    tenant: Tenant
    alice: str

    def token(self) -> str:
        wanted = {"user_id": self.alice, "organization_id": self.tenant.organization, "origin": str(self.server.http.base_url)}
        return str(self.clerk.mint(**wanted)["jwt"])

    def watch(self, every: float = 0.25) -> Watch:
        """Alice's page asks for records with a session of hers, and she signs in again and again."""
        url = str(self.server.http.base_url).rstrip("/")
        access = {"Authorization": f"Bearer {self.tenant.api_token()}"}

        def graphql(client: httpx.Client) -> httpx.Response:
            return client.post(f"{url}/graphql", json={"query": PEOPLE}, headers=access)

        def sign_in(client: httpx.Client) -> httpx.Response:
            # visitors of different addresses: the limit of questions for one is not what is looked at here
            headers = {"Authorization": f"Bearer {self.token()}", "X-Forwarded-For": "203.0.113.9"}
            return client.post(f"{url}/clerk/session", json={}, headers=headers)

        return Watch(every, graphql=graphql, sign_in=sign_in)


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    url, secret = request.config.getoption("--twenty-url"), request.config.getoption("--internal-secret")
    if not url or not secret:
        pytest.skip(
            "asks a running, patched Twenty: pytest tests/burst --twenty-url URL --internal-secret SECRET --clerk-admin …"
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
        owner = Person(first_name="Alice")
        made = clerk.seed(
            [{"email": owner.email, "first_name": "Alice", "last_name": "Salem"}],
            [{"name": f"Here {owner.email[:6]}", "members": {owner.email: "admin"}}],
            quiet=True,
        )
        alice, organization = made["users"][owner.email], next(iter(made["organizations"].values()))
        owner = Person(email=owner.email, id=alice, first_name="Alice")
        answer = server.ensure(organization, owner, "Here")
        assert answer.status_code in (200, 201), answer.text
        tenant = Tenant(server, organization, answer.json()["workspaceId"], owner)
        server.internal.post(f"{tenant.path}/data-model", json={"mode": "apply"})
        yield House(server, clerk, tenant, alice)


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
