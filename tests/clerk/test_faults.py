"""Failures on demand: each one hits the part that it was meant for, as often as it was told to, and goes when it is taken away."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.clerk.server import Emulator, Kept, Server, read
from lab.command import wait_until
from tests.clerk.conftest import ALICE, World
from tests.clerk.test_frontend import code
from tests.clerk.test_tokens import check


def test_unavailable_with_a_word_on_when_to_come_back(world: World) -> None:
    world.control.fault("status", "backend", count=2, retry_after=7)
    answers = [world.backend.get("/users") for _ in range(3)]
    assert [a.status_code for a in answers] == [503, 503, 200]
    assert answers[0].headers["retry-after"] == "7"
    assert code(answers[0]) == (503, "service_unavailable")


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ("keys", "/.well-known/jwks.json"),
        ("portal", "/sign-in"),
        ("frontend", "/v1/environment"),
        ("script", "/npm/@clerk/clerk-js@5/dist/x.js"),
    ],
)
def test_only_the_part_that_was_meant_fails(world: World, part: str, path: str) -> None:
    world.control.fault("status", part, status=500)
    assert world.browser.get(path, headers={"origin": "http://crm.test"}).status_code == 500
    others = {"/.well-known/jwks.json", "/sign-in", "/v1/environment"} - {path}
    assert {world.browser.get(other).status_code for other in others} == {200}
    assert world.backend.get("/jwks").status_code == (500 if part == "keys" else 200)
    world.control.heal()
    assert world.browser.get(path).status_code in (200, 404)


def test_one_call_of_one_kind(world: World) -> None:
    world.control.fault("status", "backend", path="*/organizations", method="POST", status=422, code="form_param_value_invalid")
    assert world.backend.get("/organizations").status_code == 200
    assert world.backend.post("/organizations", json={"name": "X"}).status_code == 422


def test_a_connection_that_breaks_off(world: World) -> None:
    world.control.fault("cut", "keys", count=1)
    with pytest.raises(httpx.RemoteProtocolError):
        world.browser.get("/.well-known/jwks.json")
    assert world.browser.get("/.well-known/jwks.json").status_code == 200


def test_nonsense_with_a_good_status(world: World) -> None:
    world.control.fault("nonsense", "keys", count=1)
    answer = world.browser.get("/.well-known/jwks.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()


def test_slow_and_hanging(world: World) -> None:
    world.control.fault("slow", "keys", seconds=0.3, count=1)
    began = time.monotonic()
    assert world.browser.get("/.well-known/jwks.json").status_code == 200
    assert time.monotonic() - began >= 0.3
    world.control.fault("hang", "keys")
    with pytest.raises(httpx.ReadTimeout):
        world.browser.get("/.well-known/jwks.json", timeout=0.3)
    broken: list[Any] = []

    def ask() -> None:
        try:
            world.browser.get("/.well-known/jwks.json", timeout=10)
        except httpx.HTTPError as error:
            broken.append(error)

    asking = threading.Thread(target=ask)
    before = len(world.control.requests())
    asking.start()
    wait_until(lambda: len(world.control.requests()) > before, 5, "never asked", every=0.01)
    world.control.heal()  # lets go of who still waits
    asking.join(5)
    assert isinstance(broken[0], httpx.RemoteProtocolError)


@pytest.mark.parametrize("status", [401, 404])
def test_revoked_sessions_are_refused_as_told(world: World, status: int) -> None:
    world.control.settings(revoked_status=status)
    page = world.page()
    session = page.sign_in(ALICE)
    assert world.control.revoke(session_id=session) == [session]
    assert page.ask("POST", f"/v1/client/sessions/{session}/tokens").status_code == status
    assert page.get("/v1/client")["response"]["sessions"] == []
    assert world.control.revoke() == []


def test_every_request_is_noted_without_its_secrets(world: World) -> None:
    world.control.drop_requests()
    world.page("http://crm.test").sign_in(ALICE)
    seen = [(r["method"], r["path"], r["status"]) for r in world.control.requests()]
    assert seen == [("POST", "/v1/dev_browser", 200), ("POST", "/sign-in", 303), ("GET", "/v1/client", 200)]
    assert "dvb_" not in str(world.control.requests())


def test_reset_leaves_a_new_instance_with_the_same_keys(world: World) -> None:
    token = world.control.mint(user_id=world.user(ALICE), origin="http://127.0.0.1:9")["jwt"]
    world.control.fault("status")
    world.control.reset()
    assert set(world.control.overview()["counts"].values()) == {0}
    assert check(world, token)


def test_an_unexpected_error_is_clerks_500_with_cors(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(world.emulator.instance, "new_browser", broken)
    answer = world.browser.post("/v1/dev_browser", headers={"origin": "http://crm.test"})
    assert code(answer) == (500, "internal_clerk_error")
    assert answer.headers["access-control-allow-origin"] == "http://crm.test"


def test_a_restart_keeps_everything(tmp_path: Path, keys: dict[str, dict[str, Any]]) -> None:
    """Users, sessions, keys and secrets outlive the process, in a file that is its owner's alone."""
    file = tmp_path / "clerk" / "instance.json"
    first = Emulator("kept", file, Kept(keys=keys))
    with Server(first) as server:
        made = first.instance.create_user(["alice@lab.test"])
        browser = first.instance.new_browser()
        session = first.instance.sign_in(browser, made.id, None)
        address = server.address
        assert httpx.get(f"{address}/v1/client", params={"__clerk_db_jwt": browser}, trust_env=False).status_code == 200
    assert file.stat().st_mode & 0o777 == 0o600
    second = Emulator("kept", file)
    assert (second.secrets, second.keys.jwks(), second.instance.data.id) == (
        first.secrets,
        first.keys.jwks(),
        first.instance.data.id,
    )
    with Server(second) as server:
        answer = httpx.get(f"{server.address}/v1/client", params={"__clerk_db_jwt": browser}, trust_env=False)
        assert answer.json()["response"]["last_active_session_id"] == session.id
    assert read(file).data.users[made.id].emails[0].email_address == "alice@lab.test"
