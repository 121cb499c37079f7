"""Which server the contract is asked of, and what every test starts from."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.contract import api as q
from tests.contract.api import Api
from tests.contract.native import Services, Standin, services


def pytest_addoption(parser: pytest.Parser) -> None:
    # --twenty-url, --twenty-app-secret, --twenty-redis-url and --clerk-admin are in tests/conftest.py
    group = parser.getgroup("contract")
    group.addoption("--twenty-email", help="its first user, when its database is not empty")
    group.addoption("--twenty-password", help="that user's password")
    group.addoption(
        "--twenty-shell",
        default="",
        help="data model: command that starts sh beside that server (lab.twenty.Twenty), as 'docker exec -i twenty-server-1 sh'",
    )
    group.addoption("--twenty-process-shell", default="", help="data model: the same where a second server's process has room")
    group.addoption("--twenty-kill", default="", help="data model: command that ends that server by SIGKILL and starts it anew")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What needs a real server is left out without one, what needs a stand-in of its own with one."""
    given = bool(config.getoption("--twenty-shell", default=""))
    absent = "standin_cli" if given else "running_cli"
    left_out = [item for item in items if absent in getattr(item, "fixturenames", ())]
    if given and not config.getoption("--twenty-kill"):
        left_out += [item for item in items if item.name == "test_server_killed_at_ten_points_converges"]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@dataclass(frozen=True)
class Target:
    """The server under test. ``fresh``: its database is empty, the first sign-up is ours."""

    url: str
    http: httpx.Client
    standin: Standin | None
    app_secret: str | None
    redis_url: str | None

    @property
    def api(self) -> Api:
        return Api(self.http)


@dataclass(frozen=True)
class Workspace:
    """One active workspace and its first user, who administers it."""

    id: str
    email: str
    password: str
    access_token: str
    refresh_token: str
    api_key: str
    made_here: bool


@pytest.fixture(scope="session")
def local_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services(tmp_path_factory.mktemp("standin")) as running:
        yield running


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    given = request.config.getoption("--twenty-url", default=None)
    if given:
        with httpx.Client(base_url=given, timeout=60) as http:
            secret = request.config.getoption("--twenty-app-secret") or None
            yield Target(given.rstrip("/"), http, None, secret, request.config.getoption("--twenty-redis-url", default=None))
        return
    local: Services = request.getfixturevalue("local_services")
    with local.standin("contract") as standin, httpx.Client(base_url=standin.url, timeout=30) as http:
        standin.migrate()
        standin.start_server()
        standin.start_worker()
        yield Target(standin.url, http, standin, standin.app_secret, standin.redis_url)


@pytest.fixture(scope="session")
def api(target: Target) -> Api:
    """The server's GraphQL without a token."""
    return target.api


def exchange(target: Target, login_token: str) -> tuple[str, str]:
    tokens = target.api.metadata(q.EXCHANGE, loginToken=login_token, origin=target.url).ok()
    pair = tokens["getAuthTokensFromLoginToken"]["tokens"]
    return pair["accessOrWorkspaceAgnosticToken"]["token"], pair["refreshToken"]["token"]


def sign_in(target: Target, email: str, password: str) -> str:
    answer = target.api.metadata(q.LOGIN, email=email, password=password, origin=target.url)
    return str(answer.ok()["getLoginTokenFromCredentials"]["loginToken"]["token"])


def make_api_key(admin: Api) -> tuple[str, str]:
    """Id and token of a new API key with the role Admin."""
    roles = {role["label"]: role["id"] for role in admin.metadata(q.ROLES).ok()["getRoles"]}
    expires = "2099-01-01T00:00:00.000Z"
    wanted = {"name": "contract", "expiresAt": expires, "roleId": roles["Admin"]}
    key = admin.metadata(q.CREATE_API_KEY, input=wanted).ok()["createApiKey"]["id"]
    token = admin.metadata(q.API_KEY_TOKEN, apiKeyId=key, expiresAt=expires).ok()["generateApiKeyToken"]["token"]
    return key, token


@pytest.fixture(scope="session")
def workspace(request: pytest.FixtureRequest, target: Target) -> Workspace:
    """The workspace of the whole session: made by signing up on an empty server, else the one of the user given."""
    email = request.config.getoption("--twenty-email", default=None)
    password = request.config.getoption("--twenty-password", default=None) or secrets.token_urlsafe(12)
    made_here = email is None
    if made_here:
        email = f"{q.fresh_name()}@example.com"
        answer = target.api.metadata(q.SIGN_UP, email=email, password=password)
        if answer.extensions.get("subCode") == "SIGNUP_DISABLED":
            pytest.fail(f"{target.url} has a workspace already: give --twenty-email and --twenty-password, or empty it")
        agnostic = answer.ok()["signUp"]["tokens"]["accessOrWorkspaceAgnosticToken"]["token"]
        made = target.api.with_token(agnostic).metadata(q.NEW_WORKSPACE).ok()["signUpInNewWorkspace"]
        login_token = made["loginToken"]["token"]
        before, _ = exchange(target, login_token)
        activated = target.api.with_token(before).metadata(q.ACTIVATE, data={"displayName": "Contract"})
        assert activated.ok()["activateWorkspace"]["activationStatus"] == "ACTIVE"
    else:
        login_token = sign_in(target, email, password)
    # a token from before the activation names no member: exchanged again
    access, refresh = exchange(target, login_token)
    current = target.api.with_token(access).metadata("{ currentWorkspace { id } }").ok()
    _, api_key = make_api_key(target.api.with_token(access))
    return Workspace(current["currentWorkspace"]["id"], email, password, access, refresh, api_key, made_here)


@pytest.fixture(scope="session")
def admin(target: Target, workspace: Workspace) -> Api:
    """GraphQL as the API key of an administrator: its token outlives the session."""
    return target.api.with_token(workspace.api_key)
