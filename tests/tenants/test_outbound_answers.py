"""A server on the internet that belongs to an attacker leads the server nowhere inside: by redirects, by webhooks, by what its answers name.

It needs an address that the server may ask, and this machine listens at: a deployment with TENANT_EGRESS_ALLOW (`make accept` names the lab's
gateway), or a server started with TWENTYOPS_TENANTS_MAY_REACH=127.0.0.2/32; and --egress-allowed with it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.api import Api
from tests.contract.native import wait_until
from tests.tenants.outbound import Catcher, ask, caught, save_account

WEBHOOK = "mutation ($input: CreateWebhookInput!) { createWebhook(input: $input) { id } }"
COMPANY = "mutation ($name: String!) { createCompany(data: { name: $name }) { id } }"


@pytest.fixture
def outer(request: pytest.FixtureRequest) -> Iterator[Catcher]:
    """Stands for a server on the internet that belongs to the attacker."""
    address = request.config.getoption("--egress-allowed")
    if not address:
        pytest.skip("needs an address that the server may ask: --egress-allowed, of its TWENTYOPS_TENANTS_MAY_REACH")
    with caught(address) as catcher:
        yield catcher


def test_the_allowed_address_is_asked(api: Api, outer: Catcher) -> None:
    """What the refusals of the other tests are measured by."""
    answer = ask(api, f"{outer.url}/hello", method="POST", body={"a": 1}, headers={"content-type": "application/json"})
    assert (answer["success"], answer["result"]) == (True, "caught")
    assert outer.arrived == [("POST", "/hello")]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "0", "[::1]", "[::ffff:127.0.0.1]", "localhost", "2130706433"])
def test_redirects_lead_nowhere_inside(api: Api, inner: Catcher, outer: Catcher, status: int, host: str) -> None:
    outer.answer = lambda path: (status, {"Location": f"http://{host}:{inner.port}/secret"}, b"")
    answer = ask(api, f"{outer.url}/start", method="POST", body={"a": 1}, headers={"content-type": "application/json"})
    assert answer["success"] is False, answer
    assert [path for _, path in outer.arrived] == ["/start"]


def test_a_second_redirect_is_checked_as_the_first(api: Api, inner: Catcher, outer: Catcher) -> None:
    outer.answer = lambda path: (
        302,
        {"Location": "/again" if path == "/start" else f"http://127.0.0.1:{inner.port}/secret"},
        b"",
    )
    assert ask(api, f"{outer.url}/start")["success"] is False
    assert [path for _, path in outer.arrived] == ["/start", "/again"]


def test_redirects_come_to_an_end(api: Api, outer: Catcher) -> None:
    outer.answer = lambda path: (302, {"Location": path + "x"}, b"")
    assert ask(api, f"{outer.url}/x")["success"] is False
    assert len(outer.arrived) == 6


@pytest.mark.parametrize("size", [2 * 2**20, 11 * 2**20])
def test_an_endless_answer_is_cut(api: Api, outer: Catcher, size: int) -> None:
    """A run of a workflow keeps what a step was answered."""
    outer.answer = lambda path: (200, {}, bytes(size))
    answer = ask(api, f"{outer.url}/large")
    assert answer["success"] is False
    assert "maxContentLength" in str(answer["error"])


def test_webhooks_reach_nothing_inside(api: Api, inner: Catcher, outer: Catcher) -> None:
    """Told of the same events as one that is allowed: when that one has heard three, the others have been tried."""
    outer.answer = lambda path: (
        (307, {"Location": f"http://127.0.0.1:{inner.port}/secret"}, b"") if path == "/redirect" else (200, {}, b"")
    )
    for target in (
        f"http://127.0.0.1:{inner.port}/",
        f"http://0.0.0.0:{inner.port}/",
        f"http://127.1.1.1:{inner.port}/",
        f"http://2130706433:{inner.port}/",
        f"{outer.url}/redirect",
        f"{outer.url}/heard",
    ):
        api.metadata(WEBHOOK, input={"targetUrl": target, "operations": ["company.created"], "secret": "s"}).ok()
    for number in range(3):
        api.records(COMPANY, name=f"told {number}").ok()
    wait_until(
        lambda: min(sum(path == wanted for _, path in outer.arrived) for wanted in ("/heard", "/redirect")) >= 3,
        120,
        lambda: f"the webhook that is allowed heard {outer.arrived}: does a worker run?",
    )


@pytest.mark.parametrize("step", ["well-known", "principal", "home"])
def test_a_calendar_server_names_nothing_inside(api: Api, inner: Catcher, outer: Catcher, step: str) -> None:
    """Each answer of a CalDAV server says where to ask next."""
    inside = f"http://127.0.0.1:{inner.port}/secret"

    def told(path: str) -> tuple[int, dict[str, str], bytes]:
        if path.startswith("/.well-known"):
            return (302, {"Location": inside}, b"") if step == "well-known" else (404, {}, b"")
        found = {
            "/": f"<d:current-user-principal><d:href>{inside if step == 'principal' else '/me'}</d:href></d:current-user-principal>",
            "/me": f"<c:calendar-home-set><d:href>{inside}</d:href></c:calendar-home-set>",
        }.get(path, "")
        body = f"""<?xml version="1.0"?><d:multistatus xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav"><d:response>
            <d:href>{path}</d:href><d:propstat><d:prop>{found}</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>
            </d:response></d:multistatus>"""
        return 207, {"Content-Type": "application/xml"}, body.encode()

    outer.answer = told
    parameters = {"CALDAV": {"host": f"{outer.url}/", "port": outer.port, "password": "x"}}
    answer = save_account(api, parameters)
    assert answer.errors, answer.body
    asked = {"well-known": 1, "principal": 2, "home": 3}[step]
    assert len(outer.arrived) >= asked, outer.arrived
