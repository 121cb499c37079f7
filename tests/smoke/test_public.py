"""What a visitor without a session meets at the public address, and what nobody outside may reach."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
import pytest

from twentyops.csp import FILE_POLICY, script_hash
from twentyops.settings import INNER_PORTS


@contextmanager
def untidied(public: httpx.Client) -> Iterator[http.client.HTTPConnection]:
    """A connection that sends a path as it is; httpx would tidy it up."""
    origin = public.base_url
    https = origin.scheme == "https"
    # the port is always given: http.client takes the end of an IPv6 address for one
    port = origin.port or (443 if https else 80)
    with closing((http.client.HTTPSConnection if https else http.client.HTTPConnection)(origin.host, port, timeout=10)) as made:
        yield made


def test_health(public: httpx.Client) -> None:
    answer = public.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


@pytest.mark.parametrize("path", ["/healthz/database", "/healthz/worker"])
def test_inner_health_reports_are_not_public(public: httpx.Client, path: str) -> None:
    assert public.get(path).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/internal",
        "/internal/tenants",
        "//internal/tenants",
        "/%69nternal/tenants",
        "/x/../internal/tenants",
        "/INTERNAL/tenants",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_internal_api_is_not_public(public: httpx.Client, method: str, path: str) -> None:
    with untidied(public) as connection:
        connection.request(method, path, headers={"Authorization": "Bearer x"})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (404, b"")


def test_page_is_served_and_knows_its_own_address(public: httpx.Client) -> None:
    answer = public.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    told = re.search(r'REACT_APP_SERVER_BASE_URL"?\s*:\s*"([^"]*)"', answer.text)
    assert told, "the page carries no address of the server"
    assert told[1] == str(public.base_url).rstrip("/")


def test_page_runs_under_a_policy_that_knows_its_inline_scripts(public: httpx.Client) -> None:
    answer = public.get("/")
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert "'unsafe-inline'" not in policy["script-src"]
    assert "'unsafe-eval'" not in policy["script-src"]
    assert (policy["object-src"], policy["base-uri"]) == ("'none'", "'none'")
    inline = re.findall(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", answer.text, re.DOTALL)
    assert [text for text in inline if script_hash(text) not in policy["script-src"].split()] == []
    assert re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"(?:https?:)?//[^\"]*", answer.text) == []


@pytest.mark.parametrize(
    "path", ["/files/attachment/x/x.png", "/files/attachment/x/x.html", "/FILES/x", "//files/x", "/%66iles/x"]
)
def test_what_tenants_uploaded_is_served_as_data(public: httpx.Client, path: str) -> None:
    with untidied(public) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
    assert (found["content-type"], found["content-disposition"]) == ("application/octet-stream", "attachment")
    assert (found["content-security-policy"], found["x-content-type-options"]) == (FILE_POLICY, "nosniff")


def test_client_config_is_json(public: httpx.Client) -> None:
    answer = public.get("/client-config")
    assert answer.status_code == 200
    assert isinstance(answer.json(), dict)


def test_visitor_without_session_cannot_read_crm_data(public: httpx.Client) -> None:
    answer = public.post("/graphql", json={"query": "{ people { totalCount } }"}).json()
    assert answer["errors"]
    assert not answer.get("data")


def test_rest_without_token_is_refused(public: httpx.Client) -> None:
    assert public.get("/rest/people").status_code in {400, 401, 403}


@pytest.mark.parametrize("port", INNER_PORTS)
def test_inner_port_is_closed_to_the_outside(public: httpx.Client, port: int) -> None:
    with pytest.raises(OSError, match=r"refused|timed out|unreachable|No route"):
        socket.create_connection((public.base_url.host, port), timeout=3).close()
