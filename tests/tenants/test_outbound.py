"""What a tenant has the server ask for goes to public addresses only, however the address is written and whoever sends it there.

A catcher on this machine's loopback counts what arrives; where the server runs elsewhere, its own ports are asked for as well.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from tests.contract.api import Api, Json
from tests.contract.native import wait_until
from tests.tenants.conftest import Server, Tenant

TEST_REQUEST = """mutation ($input: TestHttpRequestInput!) {
  testHttpRequest(input: $input) { success message result error status } }"""
WEBHOOK = "mutation ($input: CreateWebhookInput!) { createWebhook(input: $input) { id } }"
COMPANY = "mutation ($name: String!) { createCompany(data: { name: $name }) { id } }"
LAB_FLAG = "mutation ($input: UpdateLabPublicFeatureFlagInput!) { updateLabPublicFeatureFlag(input: $input) { key value } }"
ACCOUNT = """mutation ($owner: UUID!, $handle: String!, $parameters: EmailAccountConnectionParameters!) {
  saveImapSmtpCaldavAccount(accountOwnerId: $owner, handle: $handle, connectionParameters: $parameters) { success } }"""
REFUSED = "is not an address on the public internet"

# each is the server itself, a network of its own, or the cloud's metadata service
SPELLINGS = [
    "0",
    "0.0.0.0",  # noqa: S104
    "0.1.2.3",
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[ff02::1]",
    "user:password@127.0.0.1",
    "8.8.8.8@127.0.0.1",
    "169.254.169.254",
    "0xa9fea9fe",
    "10.0.0.1",
    "100.64.0.1",
    "172.17.0.1",
    "192.168.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
]


@dataclass
class Catcher:
    """An HTTP server that keeps the lines and bodies that arrive; ``answer`` decides what it sends back."""

    address: str
    port: int
    arrived: list[tuple[str, str]] = field(default_factory=list)
    answer: Callable[[str], tuple[int, dict[str, str], bytes]] = lambda path: (200, {}, b"caught")

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"


@contextmanager
def caught(address: str) -> Iterator[Catcher]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            catcher.arrived.append((self.command, self.path))
            status, headers, body = catcher.answer(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_PROPFIND = handle_any

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer((address, 0), Handler) as http:
        catcher = Catcher(address, http.server_port)
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield catcher
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture
def inner() -> Iterator[Catcher]:
    """Stands for what is inside: nothing may arrive here."""
    with caught("127.0.0.1") as catcher:
        yield catcher
        assert catcher.arrived == []


@pytest.fixture
def outer(request: pytest.FixtureRequest) -> Iterator[Catcher]:
    """Stands for a server on the internet that belongs to the attacker."""
    address = request.config.getoption("--egress-allowed")
    if not address:
        pytest.skip("needs an address that the server may ask: --egress-allowed, of its TWENTYOPS_EGRESS_ALLOW")
    with caught(address) as catcher:
        yield catcher


@pytest.fixture(scope="module")
def attacker(server: Server) -> Tenant:
    return server.tenant("Attacker")


@pytest.fixture
def api(attacker: Tenant) -> Api:
    return attacker.server.api(attacker.server.session(attacker.workspace, attacker.owner.email).access)


def ask(api: Api, url: str, method: str = "GET", **more: Json) -> dict[str, Json]:
    answer = api.metadata(TEST_REQUEST, input={"url": url, "method": method, **more}).ok()
    return dict(answer["testHttpRequest"])


def ports(server: Server, inner: Catcher) -> list[int]:
    """The catcher's, and those where the server itself listens, natively and in its container."""
    return [inner.port, urlsplit(str(server.http.base_url)).port or 3000, 3000]


@pytest.mark.parametrize("host", SPELLINGS)
def test_nothing_inside_is_asked_however_it_is_written(server: Server, api: Api, inner: Catcher, host: str) -> None:
    for port in ports(server, inner):
        answer = ask(api, f"http://{host}:{port}/healthz")
        assert answer["success"] is False, answer
        assert REFUSED in str(answer["error"]), answer


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "unix:/run/x", "//127.0.0.1/", "http://"]
)
def test_other_schemes_are_refused(api: Api, inner: Catcher, url: str) -> None:
    answer = ask(api, url)
    assert answer["success"] is False, answer
    assert "root:" not in str(answer)


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


def test_an_endless_answer_is_cut(api: Api, outer: Catcher) -> None:
    outer.answer = lambda path: (200, {}, bytes(11 * 2**20))
    answer = ask(api, f"{outer.url}/large")
    assert answer["success"] is False
    assert "maxContentLength" in str(answer["error"])


def test_webhooks_reach_nothing_inside(attacker: Tenant, api: Api, inner: Catcher, outer: Catcher) -> None:
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
        api.metadata(WEBHOOK, input={"targetUrl": target, "operations": ["company.created"]})
    for number in range(3):
        api.records(COMPANY, name=f"told {number}").ok()
    wait_until(
        lambda: min(sum(path == wanted for _, path in outer.arrived) for wanted in ("/heard", "/redirect")) >= 3,
        120,
        lambda: f"the webhook that is allowed heard {outer.arrived}: does a worker run?",
    )


@pytest.mark.parametrize("protocol", ["IMAP", "SMTP", "CALDAV"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0", "127.1", "::1", "::ffff:127.0.0.1"])
def test_mail_and_calendar_reach_nothing_inside(api: Api, protocol: str, host: str) -> None:
    api.records(LAB_FLAG, input={"publicFeatureFlag": "IS_IMAP_SMTP_CALDAV_ENABLED", "value": True}).ok()
    owner = api.records("{ workspaceMembers { edges { node { id } } } }").ok()["workspaceMembers"]["edges"][0]["node"]["id"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        name = f"[{host}]" if ":" in host and protocol == "CALDAV" else host
        where = f"http://{name}:{port}/" if protocol == "CALDAV" else host
        parameters = {protocol: {"host": where, "port": port, "password": "x", "secure": False}}
        answer = api.metadata(ACCOUNT, owner=owner, handle="a@people.test", parameters=parameters)
        assert answer.errors, answer.body
        assert answer.code != "GRAPHQL_VALIDATION_FAILED", answer.body
        assert "not enabled" not in str(answer.errors), answer.body
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.mark.parametrize("step", ["well-known", "principal", "home"])
def test_a_calendar_server_names_nothing_inside(api: Api, inner: Catcher, outer: Catcher, step: str) -> None:
    """Each answer of a CalDAV server says where to ask next."""
    api.records(LAB_FLAG, input={"publicFeatureFlag": "IS_IMAP_SMTP_CALDAV_ENABLED", "value": True}).ok()
    owner = api.records("{ workspaceMembers { edges { node { id } } } }").ok()["workspaceMembers"]["edges"][0]["node"]["id"]
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
    answer = api.metadata(ACCOUNT, owner=owner, handle="a@people.test", parameters=parameters)
    assert answer.errors, answer.body
    asked = {"well-known": 1, "principal": 2, "home": 3}[step]
    assert len(outer.arrived) >= asked, outer.arrived
