"""Bodies that nobody signed: they cost little memory and no time, and an event of Clerk's gets in meanwhile."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tenant_manager.web import SMALL, Bad, Room

from lab.clerk import signing
from lab.clerk.control import NO_TLS
from lab.command import wait_until
from tests.tenant_manager.conftest import Manager, World

MEBIBYTE = 1024 * 1024
UNSIGNED = 700
CONTAINER_MB = 192


def head(world: World, length: int, **changes: str) -> bytes:
    """Headers as a stranger can write them: everything is right but the secret."""
    shaped = signing.headers([signing.new_secret()], "msg_stranger", int(time.time()), b"")
    found = {"content-type": "application/json", "content-length": str(length), **shaped}
    found |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = ["POST /webhooks/clerk HTTP/1.1", "host: tenants", *(f"{name}: {value}" for name, value in found.items())]
    return "\r\n".join([*lines, "", ""]).encode()


@contextmanager
def connected(manager: Manager) -> Iterator[socket.socket]:
    address = urlsplit(manager.url)
    with closing(socket.create_connection((address.hostname or "", address.port or 0), timeout=20)) as connection:
        yield connection


def status(connection: socket.socket) -> tuple[int, str]:
    """(status, headers) of one answer without a body."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(65536)
        assert part, f"the connection ended after {answer!r}"
        answer += part
    return int(answer.split(b" ", 2)[1]), answer.decode().lower()


def resident(manager: Manager, of: str = "VmRSS") -> int:
    """MB of memory that the process holds."""
    found = re.search(rf"^{of}:\s+(\d+) kB", Path(f"/proc/{manager.process.pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) // 1024


def test_700_unsigned_bodies_at_once_stay_far_below_the_limit_and_events_get_in(world: World) -> None:
    manager = world.start(BODY_TIMEOUT="6")
    before = resident(manager)
    request = head(world, 250_000)
    with ExitStack() as stack:
        strangers = [stack.enter_context(connected(manager)) for _ in range(UNSIGNED)]
        for connection in strangers:
            connection.setblocking(False)
        # each sends all but its last byte, as far as it is taken
        left = dict.fromkeys(strangers, request + b"x" * 249999)
        began = time.monotonic()
        while left and time.monotonic() < began + 4:
            for connection, part in list(left.items()):
                try:
                    sent = connection.send(part)
                except BlockingIOError:
                    continue
                except OSError:
                    sent = len(part)
                if sent == len(part):
                    del left[connection]
                else:
                    left[connection] = part[sent:]
        body = world.event("session.created", {"id": "sess_1"})
        asked = time.monotonic()
        answer = httpx.post(manager.url, content=body, headers=world.signed(body), verify=NO_TLS, trust_env=False, timeout=15)
        took = time.monotonic() - asked
        told: dict[int, int] = {}
        for connection in strangers:
            connection.settimeout(15)
            try:
                found, _ = status(connection)
            except (AssertionError, OSError):
                found = 0
            told[found] = told.get(found, 0) + 1
    peak = resident(manager, "VmHWM")
    print(f"{before} MB before, {peak} MB at most; answers {told}; the event took {took:.2f} s")
    assert answer.status_code == 202
    assert took < 10  # a tenth of a second on a quiet machine; Svix waits 15 s
    assert set(told) <= {503, 408}
    assert told[503] >= UNSIGNED // 2
    assert peak < CONTAINER_MB * 0.75
    wait_until(lambda: len(world.rows("SELECT 1 FROM event")) == 1, 10, "not one event")


def test_a_body_that_does_not_come_is_given_up_in_time(world: World) -> None:
    manager = world.start(BODY_TIMEOUT="1")
    with connected(manager) as connection:
        connection.sendall(head(world, 1000) + b"x" * 10)
        began = time.monotonic()
        assert status(connection)[0] == 408
        assert 0.5 < time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("svix_timestamp", "1700000000", 400),
        ("svix_timestamp", "4102444800", 400),  # the year 2100
        ("svix_signature", "v1,AAAA", 400),
        ("svix_signature", "nothing", 400),
        ("svix_id", "../x", 400),
        ("content_type", "text/plain", 415),
        ("content_length", str(256 * 1024 + 1), 413),
        ("content_length", "9" * 15, 413),
    ],
)
def test_what_the_headers_tell_is_refused_before_the_body(world: World, name: str, value: str, expected: int) -> None:
    manager = world.start()
    with connected(manager) as connection:
        connection.sendall(head(world, 1000, **{name: value}))
        assert status(connection)[0] == expected


def test_a_refusal_is_an_answer_and_no_reset(world: World) -> None:
    manager = world.start()
    with connected(manager) as connection:
        connection.sendall(head(world, 4 * MEBIBYTE))
        connection.sendall(b"x" * 4 * MEBIBYTE)
        assert status(connection)[0] == 413
        # and the connection is as good as before
        body = world.event("session.created", {"id": "sess_1"})
        lines = {"host": "t", "content-length": str(len(body)), **world.signed(body)}
        connection.sendall(
            "\r\n".join(["POST /webhooks/clerk HTTP/1.1", *(f"{n}: {v}" for n, v in lines.items()), "", ""]).encode() + body
        )
        assert status(connection)[0] == 202


def test_without_room_the_sender_is_told_when_to_come_back(world: World) -> None:
    manager = world.start(BODIES_LIMIT=str(MEBIBYTE), BODY_TIMEOUT="3")
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connected(manager)).sendall(head(world, 250_000) + b"x" * 249_999)
        late = stack.enter_context(connected(manager))
        late.sendall(head(world, 200_000) + b"x" * 199_999)
        found, headers = status(late)
        assert found == 503
        assert "retry-after: 5" in headers
        body = world.event("session.created", {"id": "sess_1"})
        assert httpx.post(manager.url, content=body, headers=world.signed(body), verify=NO_TLS).status_code == 202


def test_large_bodies_leave_a_quarter_of_the_room_to_small_ones() -> None:
    room, large, small = Room(64 * SMALL), 48 * SMALL, SMALL
    with room.taken(large), ExitStack() as stack:
        with pytest.raises(Bad) as refused, room.taken(small + 1):
            pass
        assert refused.value.status == 503
        for _ in range(16):
            stack.enter_context(room.taken(small))
        with pytest.raises(Bad), room.taken(1):
            pass
    assert room.held == 0
