"""Registries as they answer: one with a token server like Docker Hub's, which says 401 for what is not there."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.unit.test_pure import DIGEST
from twentyops import plan
from twentyops.registry import Registry, RegistryError

USER, PASSWORD = "deployer", "r-3f0a9c77"


class Hub:
    """What Docker Hub does: a token for each scope, granted or not, and 401 where the token does not cover what is asked."""

    def __init__(self) -> None:
        self.may_push = {"wosool-ai/new"}
        self.there = {"wosool-ai/old": {"v1": DIGEST}}
        self.limited: dict[str, str] | None = None
        self.open_uploads = 0
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
                self.send_response(status)
                for name, value in {"content-length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                if hub.limited is not None:
                    self.answer(429, hub.limited)
                elif parts.path == "/token":
                    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
                    good = self.headers.get("authorization") == f"Basic {login}"
                    granted = parse_qs(parts.query).get("scope", [""])[0]
                    self.answer(200 if good else 401, {}, json.dumps({"token": granted or "any"}).encode())
                elif parts.path == "/v2/" and self.headers.get("authorization"):
                    self.answer(200, {})
                else:
                    self.with_token(parts.path)

            def with_token(self, path: str) -> None:
                token = self.headers.get("authorization", "").removeprefix("Bearer ")
                name = "/".join(path.split("/")[2:4])
                challenge = {"www-authenticate": f'Bearer realm="{hub.url}/token",service="hub"'}
                if path.startswith("/v2/") and "/blobs/uploads/" in path:
                    if name in hub.may_push and f"repository:{name}:" in token and "push" in token:
                        hub.open_uploads += 1 if self.command == "POST" else -1
                        self.answer(202 if self.command == "POST" else 204, {"location": f"/v2/{name}/blobs/uploads/one?state=x"})
                    else:
                        self.answer(401, challenge)
                elif name in hub.there and f"repository:{name}:" in token:
                    digest = hub.there[name].get(path.rsplit("/", 1)[1])
                    self.answer(200 if digest else 404, {"docker-content-digest": digest} if digest else {})
                else:
                    self.answer(401, challenge)

            do_HEAD = do_POST = do_DELETE = do_GET

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def registry(self, password: str = PASSWORD) -> Registry:
        found = Registry("docker.io", USER, password)
        found._client = httpx.Client(base_url=self.url, trust_env=False)
        return found


@pytest.fixture
def hub() -> Iterator[Hub]:
    found = Hub()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_a_repository_that_the_first_push_makes_is_to_be_built(hub: Hub) -> None:
    hub.registry().check_login()
    assert hub.registry().digest("wosool-ai/new", "v1", ours=True) is None
    assert hub.open_uploads == 0, "the upload that asked is given up"


def test_a_repository_that_is_there_has_its_digest_or_none(hub: Hub) -> None:
    assert hub.registry().digest("wosool-ai/old", "v1", ours=True) == DIGEST
    assert hub.registry().digest("wosool-ai/old", "v2", ours=True) is None


def test_a_repository_of_somebody_else_is_refused_with_the_setting(hub: Hub) -> None:
    with pytest.raises(RegistryError, match="does not let this user read or push library/redis") as caught:
        hub.registry().digest("library/redis", "v1", ours=True)
    assert plan._remedied(caught.value)[0] == "IMAGE_NAME"
    with pytest.raises(RegistryError, match="does not let this user read wosool-ai/new"):
        hub.registry().digest("wosool-ai/new", "v1")


def test_a_wrong_password_is_the_passwords_fault(hub: Hub) -> None:
    with pytest.raises(RegistryError, match="refuses this user name and password") as caught:
        hub.registry("wrong").check_login()
    assert plan._remedied(caught.value)[0] == "REGISTRY_PASSWORD"


@pytest.mark.parametrize(("headers", "when"), [({"retry-after": "90"}, "in 90 s"), ({}, "in some hours")])
def test_a_registry_that_limits_says_when_to_come_back(hub: Hub, headers: dict[str, str], when: str) -> None:
    hub.limited = headers
    with pytest.raises(RegistryError, match=f"429, too many requests of this user or address: try again {when}") as caught:
        hub.registry().digest("wosool-ai/old", "v1", ours=True)
    assert "check the address" not in plan._remedied(caught.value)[1]
