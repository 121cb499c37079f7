"""Time limits, sizes, stalls, and who a visitor is."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from contextlib import closing

import pytest

from lab.command import wait_until
from tests.outside.conftest import Containers, Outside
from twentyops.settings import WEBHOOK_PATH

MEGABYTE = 1_000_000
STALL = 6.0
NOBODY = "00000000-0000-4000-8000-00000000abcd"


@pytest.mark.parametrize(
    ("service", "path", "good"), [("server", "/graphql", {"200", "400", "401"}), ("tenant-manager", WEBHOOK_PATH, {"415", "400"})]
)
def test_no_request_fails_when_a_service_stalls_for_six_seconds(
    outside: Outside, all_stay_up: Containers, service: str, path: str, good: set[str]
) -> None:
    seconds = 24.0
    # every connection is left alone for 5 to 8 s now and then, which is when the server used to close it
    asked = [
        outside.start("steady", [outside.visitor], seconds, "--number", "10", "--every", every, "--path", path)
        for every in ("0.5", "5.2", "7")
    ]
    time.sleep(6)
    container = all_stay_up.id(service)
    outside.droplet.ssh(f"docker pause {container} && sleep {STALL} && docker unpause {container}")
    told: dict[str, int] = {}
    for child in asked:
        for status, number in child.end()["told"].items():
            told[status] = told.get(status, 0) + number
    print(told)
    assert set(told) <= good
    assert sum(told.values()) > 100


def status_of(outside: Outside, path: str, length: int, sent: int, **headers: str) -> str:
    """Status that a client gets which writes all that it can before it reads."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {outside.droplet.address}", f"Content-Length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in ({"Content_Type": "application/json"} | headers).items()]
    with closing(socket.create_connection((outside.droplet.address, 80), timeout=60)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        # the answer may come before the end; what was not read is thrown away for a moment
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(b"x" * sent)
        try:
            return connection.recv(65536).split(b" ", 2)[1].decode()
        except (IndexError, ConnectionResetError):
            return "nothing"


@pytest.mark.parametrize(
    ("path", "length", "kind"),
    [
        ("/clerk/session", 20_000, "application/json"),
        (WEBHOOK_PATH, 300_000, "application/json"),
        (f"/webhooks/workflows/{NOBODY}/{NOBODY}", 270_000, "application/json"),
        ("/graphql", 11 * MEGABYTE, "application/json"),
        ("/rest/people", 11 * MEGABYTE, "application/json"),
        ("/metadata", 51 * MEGABYTE, "multipart/form-data; boundary=x"),
        ("/rest/people", 11 * MEGABYTE, "multipart/form-data; boundary=x"),
    ],
)
def test_what_is_too_large_is_told_so(outside: Outside, all_stay_up: Containers, path: str, length: int, kind: str) -> None:
    """Whether all of it is sent (in small pieces the answer is seen meanwhile) or nothing but the length."""
    signed = {"svix_id": "msg_1", "svix_timestamp": str(int(time.time())), "svix_signature": "v1," + "A" * 43 + "="}
    more = {"Content_Type": kind, **(signed if path == WEBHOOK_PATH else {})}
    assert status_of(outside, path, length, 0, **more) == "413"
    assert status_of(outside, path, length, min(length, 250_000), **more) == "413"


def test_headers_have_a_size_and_a_time(outside: Outside) -> None:
    with closing(http.client.HTTPConnection(outside.droplet.address, timeout=30)) as connection:
        connection.request("GET", "/", headers={"X-Large": "x" * 40_000})
        assert connection.getresponse().status == 431
    with closing(socket.create_connection((outside.droplet.address, 80), timeout=30)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        assert connection.recv(1000) == b""
        assert 5 < time.monotonic() - began < 15


def test_a_small_body_that_does_not_come_is_given_up(outside: Outside) -> None:
    with closing(socket.create_connection((outside.droplet.address, 80), timeout=60)) as connection:
        connection.sendall(b"POST /clerk/session HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nxx")
        began = time.monotonic()
        connection.recv(1000)
        assert 20 < time.monotonic() - began < 40


def test_an_upload_of_20_mb_on_a_slow_line_works(outside: Outside, all_stay_up: Containers, member: str) -> None:
    """2.7 Mbit/s, twice as long as a small body may take."""
    headers = json.dumps({"Authorization": f"Bearer {member}"})
    options = ("--path", "/metadata", "--length", str(20 * MEGABYTE), "--headers", headers)
    found = outside.start("upload", [outside.visitor], 60, *options).end(150)
    print(found)
    assert (found["status"], found["stored"], found["sent"]) == ("200", True, 20 * MEGABYTE)


def test_visitors_over_ipv6_are_counted_each_for_themselves(outside: Outside, over_ipv6: str) -> None:
    """One uses up what a visitor may ask of sign-in; another of the same /64 is that visitor, one of another /64 is not."""
    own, same, other = "fd77:0:0:a::2", "fd77:0:0:a::3", "fd77:0:0:b::2"

    def ask(source: str, number: int) -> dict[str, int]:
        told: dict[str, int] = outside.start(
            "burst", [source], 60, "--number", str(number), "--path", "/clerk/session", target=over_ipv6
        ).end()["told"]
        return told

    wait_until(lambda: set(ask(other, 10)) == {"401"}, 20, "nobody answers over IPv6")
    told = ask(own, 1500)
    print(told)
    # ten a second come back while it asks
    assert told["401"] >= 600
    assert told["429"] >= 10
    assert ask(same, 100).get("429", 0) > 0
    assert ask(other, 50) == {"401": 50}


def test_of_1400_questions_over_ipv4_no_more_pass_than_may(outside: Outside) -> None:
    began = time.monotonic()
    crowd = [outside.start("burst", [outside.crowd[50]], 60, "--number", "700", "--path", "/clerk/session") for _ in range(2)]
    told: dict[str, int] = {}
    for child in crowd:
        for status, number in child.end()["told"].items():
            told[status] = told.get(status, 0) + number
    print(told)
    assert told["401"] <= 600 + 10 * (time.monotonic() - began) + 1
    assert set(told) <= {"401", "429"}
