"""A catcher of what a server asks for, and how a tenant has it ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.contract.api import Answer, Api, Json

TEST_REQUEST = """mutation ($input: TestHttpRequestInput!) {
  testHttpRequest(input: $input) { success message result error status } }"""
LAB_FLAG = "mutation ($input: UpdateLabPublicFeatureFlagInput!) { updateLabPublicFeatureFlag(input: $input) { key value } }"
ACCOUNT = """mutation ($owner: UUID!, $handle: String!, $parameters: EmailAccountConnectionParameters!) {
  saveImapSmtpCaldavAccount(accountOwnerId: $owner, handle: $handle, connectionParameters: $parameters) { success } }"""


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


def ask(api: Api, url: str, method: str = "GET", **more: Json) -> dict[str, Json]:
    answer = api.metadata(TEST_REQUEST, input={"url": url, "method": method, **more}).ok()
    return dict(answer["testHttpRequest"])


def save_account(api: Api, parameters: dict[str, Json]) -> Answer:
    """A member's mail or calendar server, which the server tries before it saves it; any admin may switch this on."""
    api.records(LAB_FLAG, input={"publicFeatureFlag": "IS_IMAP_SMTP_CALDAV_ENABLED", "value": True}).ok()
    owner = api.records("{ workspaceMembers { edges { node { id } } } }").ok()["workspaceMembers"]["edges"][0]["node"]["id"]
    answer = api.metadata(ACCOUNT, owner=owner, handle="a@people.test", parameters=parameters)
    assert answer.code != "GRAPHQL_VALIDATION_FAILED", answer.body
    assert "not enabled" not in str(answer.errors), answer.body
    return answer
