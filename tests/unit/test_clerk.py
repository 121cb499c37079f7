"""Before a deploy the Clerk instance is asked whether its test mode is on."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.unit.test_pure import settings
from twentyops import clerk, preflight

HOST = "https://pleasant-newt-7.clerk.accounts.dev"


def answering(answer: httpx.Response | Exception) -> Callable[[str], bool]:
    """``clerk.is_test_mode_on`` over a network that gives this answer to everything."""

    def give(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == f"{HOST}/v1/environment"
        assert not {"authorization", "cookie"} & set(request.headers), "no key is sent"
        if isinstance(answer, Exception):
            raise answer
        return answer

    return lambda address: clerk.is_test_mode_on(HOST, httpx.MockTransport(give))


def environment(test_mode: object) -> httpx.Response:
    return httpx.Response(
        200, json={"object": "environment", "auth_config": {"single_session_mode": True, "test_mode": test_mode}}
    )


def test_an_instance_without_test_mode_passes() -> None:
    assert preflight.clerk_instance(settings(), answering(environment(False))) == []


def test_an_instance_in_test_mode_is_refused_by_name() -> None:
    (found,) = preflight.clerk_instance(settings(), answering(environment(True)))
    assert found.setting == "CLERK_TEST_MODE"
    assert "is on" in found.remedy
    assert "set CLERK_TEST_MODE=allowed" in found.remedy


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.ConnectError("no route"), "ConnectError: no route"),
        (httpx.ReadTimeout("too late"), "ReadTimeout"),
        (httpx.Response(503), "answered 503"),
        (httpx.Response(302, headers={"location": "https://elsewhere.test"}), "answered 302"),
        (httpx.Response(200, text="<h1>It works!</h1>"), "no auth_config.test_mode"),
        (httpx.Response(200, json=["environment"]), "no auth_config.test_mode"),
        (environment("false"), "no auth_config.test_mode"),
        (environment(None), "no auth_config.test_mode"),
    ],
)
def test_an_instance_that_does_not_say_it_is_refused_with_a_remedy(answer: httpx.Response | Exception, says: str) -> None:
    (found,) = preflight.clerk_instance(settings(), answering(answer))
    assert found.setting == "CLERK_TEST_MODE"
    assert "cannot be told" in found.remedy
    assert says in found.remedy
    assert "set CLERK_TEST_MODE=allowed" in found.remedy


def test_what_is_allowed_by_name_is_not_asked() -> None:
    def ask(_address: str) -> bool:
        raise AssertionError("asked")

    assert preflight.clerk_instance(settings(CLERK_TEST_MODE="allowed"), ask) == []


def test_the_instance_is_the_one_of_the_publishable_key() -> None:
    key = "pk_test_" + "cGxlYXNhbnQtbmV3dC03LmNsZXJrLmFjY291bnRzLmRldiQ"
    found = settings(NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY=key, CLERK_PROXY_URL="", CLERK_JWKS_URL="")
    assert clerk.frontend(found) == HOST


@pytest.mark.parametrize(
    ("proxy", "jwks"), [("http://10.77.0.1:4400/", ""), ("/clerk", "http://10.77.0.1:4400/.well-known/jwks.json")]
)
def test_a_rehearsal_asks_its_emulator(proxy: str, jwks: str) -> None:
    assert clerk.frontend(settings(TWENTYOPS_LAB="1", CLERK_PROXY_URL=proxy, CLERK_JWKS_URL=jwks)) == "http://10.77.0.1:4400"
