"""Plain HTTP: health, the page and its configuration block, what unknown addresses answer."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest

from tests.contract.conftest import Target
from twentyops import csp

BLOCK = re.compile(r"<!-- BEGIN: Twenty Config -->(.*?)<!-- END: Twenty Config -->", re.DOTALL)


def test_healthz_says_ok(target: Target) -> None:
    answer = target.http.get("/healthz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"


def test_health_without_z_is_no_route_but_the_page(target: Target) -> None:
    answer = target.http.get("/health")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")


@pytest.fixture
def inside(target: Target) -> None:
    """The server itself answers; our proxy keeps what is below /healthz from the outside."""
    answer = target.http.get("/healthz/database")
    if (answer.status_code, answer.content) == (404, b""):
        pytest.skip("asked through the proxy, which does not pass /healthz/* on; give the server's own address")


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize("indicator", ["database", "redis", "worker"])
def test_health_of_one_part_is_told_by_name(target: Target, indicator: str) -> None:
    answer = target.http.get(f"/healthz/{indicator}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["details"][indicator]["status"] == "up"


@pytest.mark.usefixtures("inside")
def test_health_of_an_unknown_part_is_a_bad_request(target: Target) -> None:
    assert target.http.get("/healthz/nothing").status_code == 400


@pytest.mark.parametrize("path", ["/no/such/page", "/clerk/session", "/objects/people?view=1"])
def test_unknown_get_answers_the_page(target: Target, path: str) -> None:
    answer = target.http.get(path)
    assert answer.status_code == 200
    assert BLOCK.search(answer.text)
    assert answer.text == target.http.get("/").text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_unknown_requests_are_not_found_as_json(target: Target, method: str) -> None:
    answer = target.http.request(method, "/no/such/route")
    assert answer.status_code == 404
    assert answer.json()["statusCode"] == 404


def test_page_names_the_server_address_between_the_markers(target: Target) -> None:
    blocks = BLOCK.findall(target.http.get("/").text)
    assert len(blocks) == 1
    settings = json.loads(blocks[0][blocks[0].index("{") : blocks[0].rindex("}") + 1])
    assert list(settings) == ["REACT_APP_SERVER_BASE_URL"]
    assert urlsplit(settings["REACT_APP_SERVER_BASE_URL"]).hostname
    if target.standin:
        assert settings["REACT_APP_SERVER_BASE_URL"] == target.url
    script = re.search(r"<script[^>]*>(.*?)</script>", blocks[0], re.DOTALL)
    assert script
    assert csp.script_hash(script[1]) == csp.config_script_hash(settings["REACT_APP_SERVER_BASE_URL"]), (
        "the page's policy refuses it"
    )


def test_page_loads_a_script_that_is_there(target: Target) -> None:
    source = re.search(r'<script type="module"[^>]* src="([^"]+)"', target.http.get("/").text)
    assert source
    answer = target.http.get(source.group(1))
    assert answer.status_code == 200
    assert "javascript" in answer.headers["content-type"]


def test_client_config_is_public_json(target: Target) -> None:
    answer = target.http.get("/client-config")
    assert answer.status_code == 200
    config = answer.json()
    assert config["isMultiWorkspaceEnabled"] is False
    assert isinstance(config["authProviders"]["password"], bool)
    assert config["frontDomain"]
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", config["appVersion"])


def test_any_origin_may_ask(target: Target) -> None:
    answer = target.http.get("/client-config", headers={"Origin": "https://somewhere.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
