"""A mail server of an attacker's ends neither server nor worker: by errors that nobody listens to, or by more than memory holds.

In a file of its own, and late in the alphabet: without the mend nothing answers after it. It needs --egress-allowed, as
test_outbound_answers.py does.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.contract.api import Api
from tests.tenants.conftest import Server
from tests.tenants.outbound import save_account


@contextmanager
def mail_server(address: str, at_list: Callable[[socket.socket], None]) -> Iterator[int]:
    """An IMAP server that agrees to every command, and does as told when folders are asked for; its port."""

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"* OK [CAPABILITY IMAP4rev1] hello\r\n")
            for line in connection.makefile("rb"):
                tag, command, *_ = line.split()
                if command.upper() == b"LIST":
                    at_list(connection)
                connection.sendall(tag + b" OK done\r\n")

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=[connection], daemon=True).start()

    with socket.create_server((address, 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def address(request: pytest.FixtureRequest) -> str:
    allowed = request.config.getoption("--egress-allowed")
    if not allowed:
        pytest.skip("needs an address that the server may ask: --egress-allowed, of its TWENTYOPS_TENANTS_MAY_REACH")
    return str(allowed)


def endless(connection: socket.socket) -> None:
    """200 MB in one literal."""
    connection.sendall(b'* LIST () "/" {209715200}\r\n')
    for _ in range(200):
        connection.sendall(b"x" * 2**20)


def long_line(connection: socket.socket) -> None:
    for _ in range(100):
        connection.sendall(b"x" * 2**20)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.shutdown(socket.SHUT_RD)
    connection.close()


ANSWERS: dict[str, Callable[[socket.socket], None]] = {
    "a literal of two gigabytes": lambda connection: connection.sendall(b'* LIST () "/" {2000000000}\r\n'),
    "a literal that is sent": endless,
    "a line without end": long_line,
    "folders without end": lambda connection: connection.sendall(b'* LIST () "/" a\r\n' * 100_000),
    "a reset": reset,
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_server_goes_on(server: Server, api: Api, address: str, name: str) -> None:
    """The account is refused, soon, and the server answers as before: a second time too, when it would have been started again."""
    with mail_server(address, ANSWERS[name]) as port:
        parameters = {"IMAP": {"host": address, "port": port, "password": "x", "secure": False}}
        began = time.monotonic()
        answer = save_account(api, parameters)
        assert answer.errors, answer.body
        assert re.search("IMAP connection failed|Connection not available", str(answer.errors)), answer.body
        assert time.monotonic() - began < 30
    for _ in range(3):
        assert server.http.get("/healthz").status_code == 200
        time.sleep(0.5)
