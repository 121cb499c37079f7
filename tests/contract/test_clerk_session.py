"""Sign-in by Clerk, asked over HTTP of the stand-in or of a real server: attacks, statuses, replays, rotation, Clerk out of reach.

A real server: ``--twenty-url``, ``--clerk-admin`` (the emulator's control, token in CLERK_ADMIN_TOKEN), and the server's
TWENTYOPS_INTERNAL_SECRET in the environment. It must have been told that emulator's address, key and secret.
In subdomain mode (IS_MULTIWORKSPACE_ENABLED=true) also ``--public-url``, its SERVER_URL.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx
import pytest

from lab.clerk.control import Control
from lab.clerk.keys import KeyRing
from lab.clerk.server import Emulator, Kept
from lab.clerk.tokens import FLAWS
from tests.clerk.conftest import House
from tests.contract.api import Api
from tests.contract.native import Services
from twentyops import data_model

INTERNAL = "TWENTYOPS_INTERNAL_SECRET"
REFUSED = b'{"error":"unauthorized"}'
PAUSE = 15.0  # s; a verifier asks for the keys again after 10 s at the earliest


def settings_for(emulator: Emulator, address: str, secret: str) -> dict[str, str]:
    """What a server is told to sign people in by this emulator: the names of its environment."""
    return {
        "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY": emulator.publishable_key,
        "CLERK_SECRET_KEY": emulator.secrets.secret_key,
        "CLERK_PROXY_URL": address,
        "CLERK_API_URL": f"{address}/bapi",
        "CLERK_JWKS_URL": f"{address}/.well-known/jwks.json",
        "SOURCE_CODE_URL": "https://example.org/source",
        INTERNAL: secret,
    }


@dataclass
class Door:
    """A server that signs people in by Clerk, the emulator behind it, and one tenant: Acme, with Alice as its admin."""

    http: httpx.Client
    clerk: Control
    secret: str
    origin: str
    ids: dict[str, str] = field(default_factory=dict)
    public: str = ""

    def mint(self, who: str, organization: str | None = "acme", **more: Any) -> str:
        wanted: dict[str, Any] = {"user_id": self.ids[who], "origin": self.origin, **more}
        if organization:
            wanted["organization_id"] = self.ids[organization]
        return str(self.clerk.mint(**wanted)["jwt"])

    @cached_property
    def has_subdomains(self) -> bool:
        return bool(self.http.get("/client-config").json()["isMultiWorkspaceEnabled"])

    def go_home(self) -> None:
        """In subdomain mode on to Acme's own address; ``public`` stays the one where people begin."""
        self.public = self.origin
        if self.has_subdomains:
            told = self.answer(self.mint("alice"))
            assert told == {"status": "elsewhere", "organizationId": self.ids["acme"], "home": told.get("home")}
            self.origin = told["home"]

    def ask(self, token: str | None) -> httpx.Response:
        headers = {} if token is None else {"authorization": f"Bearer {token}".strip()}
        return self.http.post("/clerk/session", headers=headers)

    def answer(self, token: str) -> dict[str, Any]:
        response = self.ask(token)
        assert response.status_code == 200, response.text
        assert response.headers["cache-control"] == "no-store"
        found: dict[str, Any] = response.json()
        return found

    def internal(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        response = self.http.request(
            method, f"/internal/tenants/{path}", json=body or {}, headers={"authorization": f"Bearer {self.secret}"}
        )
        assert response.status_code in (200, 201), response.text
        found: dict[str, Any] = response.json()
        return found

    def person(self, who: str) -> dict[str, Any]:
        email = {"clerkUserId": self.ids[who], "email": f"{who}-{self.ids['mark']}@lab.test", "emailVerified": True}
        return {**email, "firstName": who.title(), "lastName": "Lab"}

    def until(self, token_of: Any, status: int, seconds: float = PAUSE) -> httpx.Response:
        """Ask with a token from ``token_of()`` until the answer has this status."""
        deadline = time.monotonic() + seconds
        while True:
            response = self.ask(token_of())
            if response.status_code == status:
                return response
            assert time.monotonic() < deadline, f"{response.status_code} {response.text} after {seconds} s, not {status}"
            time.sleep(0.5)


def furnish(door: Door) -> None:
    """People and organisations with names of this run; Acme becomes a tenant, Globex and Initech stay unknown to the server."""
    mark = door.ids["mark"] = secrets.token_hex(4)
    people = ["alice", "bob", "carol", "dave", "erin"]
    made = door.clerk.seed(
        [{"email": f"{who}-{mark}@lab.test", "first_name": who.title(), "last_name": "Lab"} for who in people],
        [
            {"name": f"Acme {mark}", "slug": f"acme-{mark}",
             "members": {f"{who}-{mark}@lab.test": "admin" if who == "alice" else "member" for who in people}},
            {"name": f"Globex {mark}", "slug": f"globex-{mark}", "members": {f"alice-{mark}@lab.test": "admin"}},
            {"name": f"Initech {mark}", "slug": f"initech-{mark}", "members": {f"alice-{mark}@lab.test": "admin"}},
        ],
        quiet=True,
    )  # fmt: skip
    door.ids |= {who: made["users"][f"{who}-{mark}@lab.test"] for who in people}
    door.ids |= {name: made["organizations"][f"{name.title()} {mark}"] for name in ("acme", "globex", "initech")}
    door.ids["workspace"] = door.internal("PUT", door.ids["acme"], {"name": f"Acme {mark}", "owner": door.person("alice")})[
        "workspaceId"
    ]


@pytest.fixture(scope="module")
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    given = request.config.getoption("--twenty-url", default=None)
    admin = request.config.getoption("--clerk-admin", default=None)
    if given and not admin:
        pytest.skip("a real server's sign-in is asked with --clerk-admin, CLERK_ADMIN_TOKEN and TWENTYOPS_INTERNAL_SECRET")
    if given:
        url = given.rstrip("/")
        with Control(admin, os.environ["CLERK_ADMIN_TOKEN"]) as clerk, httpx.Client(base_url=url, timeout=60) as http:
            found = Door(http, clerk, os.environ[INTERNAL], request.config.getoption("--public-url").rstrip("/") or url)
            furnish(found)
            found.go_home()
            yield found
            clerk.heal()
        return
    local: Services = request.getfixturevalue("local_services")
    house = House()
    emulator = Emulator("contract", kept=Kept(keys=KeyRing().private()))
    secret = secrets.token_urlsafe(32)
    try:
        with house.lodge(emulator), local.standin("clerk", migrated=True) as standin:
            standin.settings |= settings_for(emulator, house.address, secret) | {"TWENTYOPS_DATA_MODEL": str(data_model.BAKED)}
            standin.start_server()
            with (
                Control(f"{house.address}/_admin", emulator.secrets.admin_token) as clerk,
                httpx.Client(base_url=standin.url, timeout=30) as http,
            ):
                found = Door(http, clerk, secret, standin.url)
                furnish(found)
                yield found
    finally:
        house.close()


def test_page_learns_the_key_and_the_source_and_no_secret(door: Door) -> None:
    answer = door.http.get("/client-config")
    config = answer.json()
    assert config["clerk"]["publishableKey"].startswith("pk_test_")
    assert config["clerk"]["proxyUrl"].startswith("http")
    assert config["sourceCodeUrl"] == "https://example.org/source"
    assert "sk_test_" not in answer.text
    assert door.secret not in answer.text


def test_session_of_the_tenant_gives_tokens_for_exactly_its_workspace(door: Door) -> None:
    for version in (2, 1):
        found = door.answer(door.mint("alice", version=version))
        assert (found["status"], found["workspaceId"]) == ("signed-in", door.ids["workspace"])
        assert (found["clerkUserId"], found["organizationId"]) == (door.ids["alice"], door.ids["acme"])
        access = found["tokens"]["accessOrWorkspaceAgnosticToken"]["token"]
        current = Api(door.http).with_token(access).metadata("{ currentWorkspace { id } }").ok()
        assert current["currentWorkspace"]["id"] == door.ids["workspace"]


def test_nobody_is_let_in_before_the_data_model_is_there_and_each_step_is_told(door: Door) -> None:
    organization = door.ids["initech"]

    def told() -> dict[str, Any]:
        answer = door.answer(door.mint("alice", "initech"))
        return {name: value for name, value in answer.items() if name in ("status", "step", "workspaceId")}

    assert told() == {"status": "workspace-provisioning", "step": "announced"}
    body = {"name": f"Initech {door.ids['mark']}", "owner": door.person("alice"), "dataModel": True}
    made = door.internal("PUT", organization, body)
    assert told() == {"status": "workspace-provisioning", "step": "data-model"}
    door.internal("PUT", organization, body)
    assert door.internal("POST", f"{organization}/data-model", {"mode": "verify"})["status"] == "differs"
    assert told() == {"status": "workspace-provisioning", "step": "data-model"}, (
        "asked again, and looked at: nothing is different"
    )
    assert door.internal("POST", f"{organization}/data-model", {"mode": "apply"})["status"] == "matched"
    if not door.has_subdomains:  # there it lives elsewhere
        assert told() == {"status": "signed-in", "workspaceId": made["workspaceId"]}


@pytest.mark.parametrize("flaw", sorted(set(FLAWS) - {"oversized"}))
def test_attack_is_refused_without_a_detail(door: Door, flaw: str) -> None:
    plain = door.ask(None)
    answer = door.ask(door.mint("alice", flaw=flaw))
    assert (answer.status_code, answer.content) == (401, REFUSED)
    assert {**answer.headers, "date": ""} == {**plain.headers, "date": ""}
    assert answer.headers["cache-control"] == "no-store"


def test_a_token_of_64_kb_does_not_get_through_http(door: Door) -> None:
    """Node takes 16 KB of headers at most; tokens between that and 8 KB are refused by the check itself (below)."""
    # it may be closed while it is still being sent
    with contextlib.suppress(httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
        assert door.ask(door.mint("alice", flaw="oversized")).status_code == 431
    assert door.answer(door.mint("alice"))["status"] == "signed-in"


@pytest.mark.parametrize("value", ["", "Bearer", "Basic eDp5", "Bearer a b", "Bearer " + "x" * 9000, "Bearer .."])
def test_other_headers_are_refused_alike(door: Door, value: str) -> None:
    answer = door.http.post("/clerk/session", headers={"authorization": value})
    assert (answer.status_code, answer.content) == (401, REFUSED)


def test_a_token_of_twenty_is_no_session_of_clerk(door: Door) -> None:
    tokens = door.answer(door.mint("alice"))["tokens"]
    for token in tokens.values():
        answer = door.ask(token["token"])
        assert (answer.status_code, answer.content) == (401, REFUSED)


def test_reasons_why_not_yet(door: Door) -> None:
    assert door.answer(door.mint("alice", claims={"o": None})) == {"status": "no-organization"}
    globex = {"status": "workspace-provisioning", "organizationId": door.ids["globex"], "step": "announced"}
    assert door.answer(door.mint("alice", "globex")) == globex
    waiting = {"status": "not-a-member", "organizationId": door.ids["acme"]}
    assert door.answer(door.mint("bob")) == waiting
    path = f"{door.ids['acme']}/members/{door.ids['bob']}"
    door.internal("PUT", path, {"person": door.person("bob"), "role": "member"})
    assert door.answer(door.mint("bob"))["status"] == "signed-in"
    assert door.internal("DELETE", path)["removed"] is True
    assert door.answer(door.mint("bob")) == waiting


def test_with_subdomains_tokens_are_handed_out_at_the_workspaces_own_address(door: Door) -> None:
    if not door.has_subdomains:
        pytest.skip("asks a server with IS_MULTIWORKSPACE_ENABLED=true")
    scheme, _, host = door.public.partition("://")
    assert door.origin == f"{scheme}://acme-{door.ids['mark']}.{host}"
    assert door.answer(door.mint("alice"))["status"] == "signed-in"
    away = {"status": "elsewhere", "organizationId": door.ids["acme"], "home": door.origin}
    for origin in (door.public, f"{scheme}://app.{host}", f"{scheme}://globex.{host}"):
        assert door.answer(door.mint("alice", origin=origin)) == away, origin
    for origin in (f"{scheme}://a.b.{host}", f"{scheme}://acme.{host}.evil.test", f"{scheme}://evil{host}", f"ftp://acme.{host}"):
        answer = door.ask(door.mint("alice", origin=origin))
        assert (answer.status_code, answer.content) == (401, REFUSED), origin
    asked = "query ($o: String!) { getPublicWorkspaceDataByDomain(origin: $o) { id displayName workspaceUrls { subdomainUrl } } }"
    told = [
        Api(door.http).metadata(asked, o=o).ok()["getPublicWorkspaceDataByDomain"]
        for o in (door.origin, f"{scheme}://nobody.{host}")
    ]
    assert [t["workspaceUrls"].pop("subdomainUrl") for t in told] == [door.origin, f"{scheme}://nobody.{host}"], (
        "the page stays where it is"
    )
    assert told[0] == told[1], "strangers do not learn which address is a tenant's"


def test_suspended_and_resumed(door: Door) -> None:
    door.internal("POST", f"{door.ids['acme']}/suspend")
    try:
        assert door.answer(door.mint("alice")) == {"status": "suspended", "organizationId": door.ids["acme"]}
    finally:
        door.internal("POST", f"{door.ids['acme']}/resume")
    assert door.answer(door.mint("alice"))["status"] == "signed-in"


def test_two_tabs_and_replays_are_one_person(door: Door) -> None:
    token = door.mint("carol")
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(door.answer, [token] * 6))
    assert {answer["status"] for answer in found} == {"not-a-member"}
    path = f"{door.ids['acme']}/members/{door.ids['carol']}"
    member = door.internal("PUT", path, {"person": door.person("carol"), "role": "member"})
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(door.answer, [token] * 6))
    assert {(answer["status"], answer["userId"]) for answer in found} == {("signed-in", member["userId"])}


def test_a_new_key_of_clerk_is_found(door: Door) -> None:
    door.clerk.rotate_keys()
    door.until(lambda: door.mint("alice"), 200)


def test_clerk_out_of_reach_is_503_for_whom_it_matters(door: Door) -> None:
    known, stranger = door.mint("alice"), door.mint("erin")
    door.clerk.fault("status", "backend")
    try:
        assert door.answer(known)["status"] == "signed-in"
        answer = door.ask(stranger)
        assert (answer.status_code, json.loads(answer.content)) == (503, {"error": "unavailable"})
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert answer.headers["cache-control"] == "no-store"
    finally:
        door.clerk.heal()
    assert door.answer(door.mint("erin"))["status"] == "not-a-member"


@pytest.mark.parametrize("kind", ["status", "hang"])
def test_a_new_key_while_the_key_set_is_out_of_reach_is_neither_yes_nor_no(door: Door, kind: str) -> None:
    before = door.mint("alice", lifetime=300)
    door.clerk.fault(kind, "keys")
    try:
        door.clerk.rotate_keys()
        answer = door.until(lambda: door.mint("alice"), 503)
        assert json.loads(answer.content) == {"error": "unavailable"}
        assert int(answer.headers["retry-after"]) >= 1
        assert door.answer(before)["status"] == "signed-in", "the keys that are known still serve"
    finally:
        door.clerk.heal()
    door.until(lambda: door.mint("alice"), 200)


def test_asking_without_end_is_slowed_down(door: Door) -> None:
    token = door.mint("dave", lifetime=300)
    answers = [door.ask(token) for _ in range(80)]
    slowed = [answer for answer in answers if answer.status_code == 429]
    assert slowed, "80 questions of one person within seconds were all answered"
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in slowed)
    assert {answer.status_code for answer in answers} <= {200, 429}
    assert door.ask(door.mint("bob")).status_code == 200, "somebody else is not hit"


@pytest.mark.parametrize(
    ("name", "value"),
    [("CLERK_SECRET_KEY", None), ("CLERK_SECRET_KEY", "sk_live_0123456789"), ("CLERK_JWT_KEY", "no key at all")],
)
def test_the_standin_does_not_start_with_half_of_clerks_settings(
    request: pytest.FixtureRequest, name: str, value: str | None
) -> None:
    if request.config.getoption("--twenty-url", default=None):
        pytest.skip("a server that runs already cannot be started with other settings")
    local: Services = request.getfixturevalue("local_services")
    key = "pk_test_" + base64.b64encode(b"contract-1.clerk.accounts.dev$").decode().rstrip("=")
    changes = {"NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY": key, "CLERK_SECRET_KEY": "sk_test_0123456789", name: value}
    with local.standin(f"refused-{secrets.token_hex(2)}", migrated=True) as standin:
        done = standin.run("node", "dist/src/main", changes=changes)
    assert done.returncode == 1
    assert f"{name}: " in done.stdout + done.stderr
    assert value is None or value not in done.stdout + done.stderr
