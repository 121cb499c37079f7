"""A patched Twenty with Clerk on, asked over HTTP: its internal API, and its public one with and without tokens."""

from __future__ import annotations

import hashlib
import os
import secrets
import string
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from lab.clerk.control import Control
from tests.contract.api import Api
from tests.tenants.outbound import Catcher, caught

Json = Any

EXCHANGE = """mutation ($loginToken: String!, $origin: String!) {
  getAuthTokensFromLoginToken(loginToken: $loginToken, origin: $origin) {
    tokens { accessOrWorkspaceAgnosticToken { token } refreshToken { token } } } }"""
RENEW = """mutation ($token: String!) { renewToken(appToken: $token) {
    tokens { accessOrWorkspaceAgnosticToken { token } refreshToken { token } } } }"""
WHO = "{ currentUser { id email currentWorkspace { id displayName } } }"


def fresh(prefix: str) -> str:
    """An id as Clerk makes them, never used before."""
    alphabet = string.ascii_letters + string.digits
    return f"{prefix}_" + "".join(secrets.choice(alphabet) for _ in range(27))


@dataclass(frozen=True)
class Person:
    """A Clerk user as the tenant manager tells about them."""

    email: str = field(default_factory=lambda: f"p{secrets.token_hex(8)}@people.test")
    id: str = field(default_factory=lambda: fresh("user"))
    first_name: str = "Noura"
    last_name: str = "Salem"
    verified: bool = True

    def told(self) -> dict[str, Json]:
        return {
            "clerkUserId": self.id,
            "email": self.email,
            "emailVerified": self.verified,
            "firstName": self.first_name,
            "lastName": self.last_name,
        }


@dataclass(frozen=True)
class Session:
    """Twenty's tokens; and the session of Clerk that they belong to, with the token that it was exchanged for."""

    access: str
    refresh: str
    clerk_session: str = ""
    clerk_token: str = ""


class Server:
    """One server: ``http`` speaks to what is public without a token, ``internal`` to /internal with the secret and ``unsigned`` without."""

    def __init__(self, http: httpx.Client, internal: httpx.Client, app_secret: str, clerk: Control | None = None) -> None:
        self.http = http
        self.internal = internal
        self.unsigned = httpx.Client(base_url=internal.base_url, timeout=60)
        self._app_secret = app_secret
        self._clerk = clerk
        self._tenants: dict[str, Tenant] = {}
        self._origins: dict[str, str] = {}

    def api(self, token: str | None = None) -> Api:
        return Api(self.http, token)

    def ensure(self, organization: str, owner: Person, name: str = "Tenant", **more: Json) -> httpx.Response:
        return self.internal.put(f"/internal/tenants/{organization}", json={"name": name, "owner": owner.told(), **more})

    def tenant(self, name: str = "Tenant", **more: Json) -> Tenant:
        owner = Person()
        organization = fresh("org")
        answer = self.ensure(organization, owner, name, **more)
        assert answer.status_code == 201, answer.text
        made = Tenant(self, organization, answer.json()["workspaceId"], owner)
        self._tenants[made.workspace] = made
        return made

    @cached_property
    def has_subdomains(self) -> bool:
        return bool(self.http.get("/client-config").json()["isMultiWorkspaceEnabled"])

    def origin(self, workspace: str) -> str:
        """Where people open this workspace: the one address of all, or in subdomain mode its own."""
        if not self.has_subdomains:
            return str(self.http.base_url)
        if workspace not in self._origins:
            told = self._tenants[workspace].api.metadata("{ currentWorkspace { workspaceUrls { subdomainUrl } } }").ok()
            self._origins[workspace] = str(told["currentWorkspace"]["workspaceUrls"]["subdomainUrl"])
        return self._origins[workspace]

    def sign(self, kind: str, workspace: str, claims: dict[str, Json]) -> str:
        """A token as the server would sign it: HS256 by sha256hex(APP_SECRET + workspace id + type)."""
        if not self._app_secret:
            pytest.skip("signs a login token: give the server's --twenty-app-secret")
        key = OctKey.import_key(hashlib.sha256(f"{self._app_secret}{workspace}{kind}".encode()).hexdigest())
        now = int(time.time())
        claims = {"type": kind, "workspaceId": workspace, "iat": now, "exp": now + 600, **claims}
        return jwt.encode({"alg": "HS256", "typ": "JWT"}, claims, key)

    def login_token(self, workspace: str, email: str) -> str:
        return self.sign("LOGIN", workspace, {"sub": email, "authProvider": "SSO"})

    @property
    def clerk(self) -> Control:
        """The emulator that this server signs people in by."""
        if self._clerk is None:
            pytest.skip("signs people in: give --clerk-admin, and the token of that emulator in CLERK_ADMIN_TOKEN")
        return self._clerk

    def known_at_clerk(self, workspace: str, email: str) -> str:
        """Clerk's id of a member, who is one at Clerk as well from here on; no webhook tells of it."""
        tenant = self._tenants[workspace]
        member = next(m for m in tenant.describe()["members"] if m["email"] == email)
        group = {"name": "Tenant", "slug": f"t-{workspace}", "id": tenant.organization, "members": {email: member["role"]}}
        self.clerk.seed([{"email": email, "id": member["clerkUserId"]}], [group], quiet=True)
        return str(member["clerkUserId"])

    def mint(self, workspace: str, **whose: str) -> tuple[str, str]:
        """A token of Clerk for a workspace, and the id of its session: a new one (user_id), or one that there is (session_id)."""
        made = self.clerk.mint(
            organization_id=self._tenants[workspace].organization, origin=self.origin(workspace).rstrip("/"), **whose
        )
        return str(made["jwt"]), str(made["session_id"])

    def exchange(self, token: str) -> dict[str, Json]:
        """The answer of POST /clerk/session."""
        answer = self.http.post("/clerk/session", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        return dict(answer.json())

    def session(self, workspace: str, email: str) -> Session:
        """A new session at Clerk, exchanged for tokens of a workspace."""
        token, session_id = self.mint(workspace, user_id=self.known_at_clerk(workspace, email))
        found = read_session(self.exchange(token))
        return replace(found, clerk_session=session_id, clerk_token=token)


def read_session(answer: dict[str, Json]) -> Session:
    tokens = answer["tokens"]
    return Session(tokens["accessOrWorkspaceAgnosticToken"]["token"], tokens["refreshToken"]["token"])


@dataclass(frozen=True)
class Tenant:
    server: Server
    organization: str
    workspace: str
    owner: Person

    @property
    def path(self) -> str:
        return f"/internal/tenants/{self.organization}"

    def describe(self) -> dict[str, Json]:
        answer = self.server.internal.get(self.path)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def roles(self) -> dict[str, str]:
        return {member["clerkUserId"]: member["role"] for member in self.describe()["members"]}

    def put_member(self, person: Person, role: str = "member") -> httpx.Response:
        return self.server.internal.put(f"{self.path}/members/{person.id}", json={"person": person.told(), "role": role})

    def member(self, role: str = "member") -> Person:
        person = Person()
        answer = self.put_member(person, role)
        assert answer.status_code == 201, answer.text
        return person

    def remove(self, person: Person) -> dict[str, Json]:
        answer = self.server.internal.delete(f"{self.path}/members/{person.id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post(self, action: str) -> dict[str, Json]:
        answer = self.server.internal.post(f"{self.path}/{action}", json={})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def api_token(self) -> str:
        return str(self.post("token")["token"])

    @property
    def api(self) -> Api:
        return self.server.api(self.api_token())


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    url = request.config.getoption("--twenty-url")
    secret = request.config.getoption("--internal-secret")
    if not url or not secret:
        pytest.skip("asks a running, patched Twenty: pytest tests/tenants --twenty-url URL --internal-secret SECRET")
    internal_url = request.config.getoption("--internal-url") or url
    headers = {"Authorization": f"Bearer {secret}"}
    admin = request.config.getoption("--clerk-admin")
    with (
        httpx.Client(base_url=url, timeout=60) as http,
        httpx.Client(base_url=internal_url, timeout=120, headers=headers) as internal,
        Control(admin, os.environ["CLERK_ADMIN_TOKEN"]) if admin else nullcontext() as clerk,
    ):
        yield Server(http, internal, request.config.getoption("--twenty-app-secret"), clerk)


@pytest.fixture(scope="session")
def one(server: Server) -> Tenant:
    return server.tenant("One")


@pytest.fixture(scope="session")
def other(server: Server) -> Tenant:
    return server.tenant("Other")


@pytest.fixture
def inner() -> Iterator[Catcher]:
    """Stands for what is inside: nothing may arrive here."""
    with caught("127.0.0.1") as catcher:
        yield catcher
        assert catcher.arrived == []


@pytest.fixture(scope="module")
def attacker(server: Server) -> Tenant:
    return server.tenant("Attacker")


@pytest.fixture
def api(attacker: Tenant) -> Api:
    return attacker.server.api(attacker.server.session(attacker.workspace, attacker.owner.email).access)
