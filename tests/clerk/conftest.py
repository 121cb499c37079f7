"""An emulator for each test, in a thread; and a browser with the real packages, for those that need one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from lab.clerk.control import Control
from lab.clerk.keys import KeyRing
from lab.clerk.server import Emulator, Kept, Server

# npm and node have no business with a proxy of the outer machine's when they talk to the emulator
os.environ["NO_PROXY"] = "127.0.0.1,localhost"

ALICE, BOB, CAROL = "alice@lab.test", "bob@lab.test", "carol@lab.test"


@dataclass
class World:
    """A running emulator with a few people: Alice in Acme (admin) and Globex (member), Bob in Acme, Carol in none."""

    emulator: Emulator
    address: str
    control: Control
    browser: httpx.Client
    backend: httpx.Client
    ids: dict[str, str]

    def page(self, origin: str = "http://127.0.0.1:9", **query: str) -> Page:
        """A development browser that nobody has signed in with."""
        headers = {"origin": origin}
        token = self.browser.post("/v1/dev_browser", headers=headers).json()["id"]
        return Page(self, token, origin, query)

    def user(self, email: str) -> str:
        return self.ids[email]


@dataclass
class Page:
    """What clerk-js asks in a browser, verbs tunnelled as it does."""

    world: World
    token: str
    origin: str
    query: dict[str, str]

    def ask(self, method: str, path: str, **fields: str) -> httpx.Response:
        query = {"__clerk_db_jwt": self.token, **self.query}
        headers = {"origin": self.origin}
        if method == "GET":
            return self.world.browser.get(path, params=query | fields, headers=headers)
        if method != "POST":
            query["_method"] = method
        return self.world.browser.post(path, params=query, data=fields, headers=headers)

    def get(self, path: str, **fields: str) -> Any:
        answer = self.ask("GET", path, **fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, **fields: str) -> Any:
        answer = self.ask("POST", path, **fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def sign_in(self, email: str, back: str = "/") -> str:
        """Through the hosted page, as a person would. Returns the session's id."""
        fields = {"db_jwt": self.token, "identifier": email, "redirect_url": f"{self.origin}{back}"}
        answer = self.world.browser.post("/sign-in", data=fields)
        assert answer.status_code == 303, answer.text
        return str(self.get("/v1/client")["response"]["last_active_session_id"])


@pytest.fixture(scope="session")
def keys() -> dict[str, dict[str, Any]]:
    return KeyRing().private()


@pytest.fixture
def world(keys: dict[str, dict[str, Any]]) -> Iterator[World]:
    emulator = Emulator("tests", kept=Kept(keys=keys))
    with (
        Server(emulator) as server,
        Control(f"{server.address}/_admin", emulator.secrets.admin_token) as control,
        httpx.Client(base_url=server.address, trust_env=False, timeout=10) as browser,
        httpx.Client(
            base_url=f"{server.address}/bapi/v1",
            headers={"Authorization": f"Bearer {emulator.secrets.secret_key}"},
            trust_env=False,
            timeout=10,
        ) as backend,
    ):
        made = control.seed(
            [
                {"email": ALICE, "first_name": "Alice", "last_name": "Admin"},
                {"email": BOB, "first_name": "Bob", "last_name": "Member"},
                {"email": CAROL, "first_name": "Carol"},
            ],
            [
                {"name": "Acme", "slug": "acme", "members": {ALICE: "admin", BOB: "member"}},
                {"name": "Globex", "slug": "globex", "members": {ALICE: "member"}},
            ],
            quiet=True,
        )
        yield World(emulator, server.address, control, browser, backend, made["users"] | made["organizations"])
