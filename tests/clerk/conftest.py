"""An emulator for each test, in a thread; and a browser with the real packages, for those that need one."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from lab.clerk.control import NO_TLS, Control
from lab.clerk.keys import KeyRing
from lab.clerk.server import Emulator, Kept
from lab.command import wait_until

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


class House:
    """One listening server for all tests, and a fresh emulator in it for each: a server of its own would take each 0.3 s."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.emulator: Emulator | None = None
        config = uvicorn.Config(
            self.app, port=0, log_level="warning", lifespan="off", interface="asgi3", timeout_graceful_shutdown=2
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=lambda: self.loop.run_until_complete(self.server.serve()), daemon=True)
        self.thread.start()
        wait_until(lambda: self.server.started, 20, "the server of the emulators does not start", every=0.01)
        self.address = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.emulator is not None
        await self.emulator.app(scope, receive, send)

    @contextmanager
    def lodge(self, emulator: Emulator) -> Iterator[None]:
        self.emulator = emulator
        asyncio.run_coroutine_threadsafe(emulator.start(), self.loop).result(10)
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(emulator.stop(), self.loop).result(10)

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    found = House()
    yield found
    found.close()


@pytest.fixture
def world(house: House, keys: dict[str, dict[str, Any]]) -> Iterator[World]:
    emulator = Emulator("tests", kept=Kept(keys=keys))
    address = house.address
    with (
        house.lodge(emulator),
        Control(f"{address}/_admin", emulator.secrets.admin_token) as control,
        httpx.Client(base_url=address, trust_env=False, timeout=10, verify=NO_TLS) as browser,
        httpx.Client(
            base_url=f"{address}/bapi/v1",
            headers={"Authorization": f"Bearer {emulator.secrets.secret_key}"},
            trust_env=False,
            timeout=10,
            verify=NO_TLS,
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
        yield World(emulator, address, control, browser, backend, made["users"] | made["organizations"])
