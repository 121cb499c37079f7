"""What a tenant has the server ask for goes to public addresses only, however the address is written and whoever sends it there.

A catcher on this machine's loopback counts what arrives; where the server runs elsewhere, its own ports are asked for as well.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from tests.contract.api import Api
from tests.tenants.conftest import Server
from tests.tenants.outbound import Catcher, ask, save_account

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


def ports(server: Server, inner: Catcher) -> list[int]:
    """The catcher's, and those where the server itself listens, natively and in its container."""
    return [inner.port, urlsplit(str(server.http.base_url)).port or 3000, 3000]


@pytest.mark.parametrize("host", SPELLINGS)
def test_nothing_inside_is_asked_however_it_is_written(server: Server, api: Api, inner: Catcher, host: str) -> None:
    for port in ports(server, inner):
        answer = ask(api, f"http://{host}:{port}/healthz")
        assert answer["success"] is False, answer
        # a name that the container's resolver does not know leads nowhere either
        assert REFUSED in str(answer["error"]) or f"ENOTFOUND {host}" in str(answer["error"]), answer


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "unix:/run/x", "//127.0.0.1/", "http://"]
)
def test_other_schemes_are_refused(api: Api, inner: Catcher, url: str) -> None:
    answer = ask(api, url)
    assert answer["success"] is False, answer
    assert "root:" not in str(answer)


@pytest.mark.parametrize("protocol", ["IMAP", "SMTP", "CALDAV"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0", "127.1", "::1", "::ffff:127.0.0.1"])
def test_mail_and_calendar_reach_nothing_inside(api: Api, protocol: str, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        name = f"[{host}]" if ":" in host and protocol == "CALDAV" else host
        where = f"http://{name}:{port}/" if protocol == "CALDAV" else host
        parameters = {protocol: {"host": where, "port": port, "password": "x", "secure": False}}
        answer = save_account(api, parameters)
        assert answer.errors, answer.body
        with pytest.raises(BlockingIOError):
            listener.accept()
