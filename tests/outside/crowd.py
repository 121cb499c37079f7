"""A crowd that visits badly, and one good visitor: run inside a network namespace, so it imports nothing but the standard library.

``python crowd.py crowd …`` holds connections from many addresses; ``visitor`` asks like a browser would and tells how long each answer
took; ``steady`` asks on kept connections, ``--number`` at a time; ``upload`` sends one file slowly; ``burst`` asks ``--number`` times as fast
as ten connections can. Each ends by itself after ``--seconds`` at most and prints one line of JSON.
"""

from __future__ import annotations

import argparse
import http.client
import json
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

UPLOAD = "mutation($f: Upload!) { uploadFile(file: $f, fileFolder: Attachment) { path } }"
EVERY = 0.5
"""How often each connection of the crowd sends its next byte, seconds."""


def head(host: str, path: str, length: int, headers: dict[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()


@dataclass
class One:
    """One connection of the crowd. ``state``: connecting, open, or how it ended."""

    source: str
    socket: socket.socket
    state: str = "connecting"
    answer: bytes = b""
    left: int = 0
    opened: float = 0.0


@dataclass
class Crowd:
    """``number`` connections from ``sources`` in turn, opened within ``within`` seconds; whoever is put out comes back at once when
    ``again`` is set."""

    target: tuple[str, int]
    sources: list[str]
    number: int
    mode: str
    path: str
    length: int
    first: int
    headers: dict[str, str]
    within: float
    seconds: float
    again: bool
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    ones: list[One] = field(default_factory=list)
    told: dict[str, int] = field(default_factory=dict)
    ever_open: int = 0
    most_open: int = 0

    def connect(self, source: str) -> None:
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setblocking(False)
        if self.mode == "readers":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # the kernel looks for a free port only when it knows where to
        made.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        made.bind((source, 0))
        made.connect_ex(self.target)
        one = One(source, made)
        self.ones.append(one)
        self.selector.register(made, selectors.EVENT_WRITE, one)

    def ended(self, one: One, how: str) -> None:
        one.state = how
        self.told[how] = self.told.get(how, 0) + 1
        self.selector.unregister(one.socket)
        one.socket.close()
        self.ones.remove(one)

    def begin(self, one: One) -> None:
        """Say what there is to say first."""
        one.state, one.opened, one.left = "open", time.monotonic(), self.length
        self.ever_open += 1
        self.selector.modify(one.socket, selectors.EVENT_READ, one)
        host = f"{self.target[0]}"
        match self.mode:
            case "headers":
                one.socket.send(f"POST {self.path} HTTP/1.1\r\nHost: {host}\r\nX-Slow: ".encode())
            case "bodies":
                one.left -= self.first
                one.socket.send(head(host, self.path, self.length, self.headers) + b"x" * self.first)
            case "whole":
                one.left = 0
                one.socket.setblocking(True)
                one.socket.settimeout(5)
                one.socket.sendall(head(host, self.path, self.length, self.headers) + b"x" * self.length)
                one.socket.setblocking(False)
            case "readers":
                get = f"GET {self.path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: gzip, zstd, br\r\n\r\n"
                one.socket.send(get.encode())
            case "idle":
                one.socket.send(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            case "silent":
                pass

    def drip(self, one: One) -> None:
        if self.mode == "headers" or (self.mode == "bodies" and one.left > 1):
            one.left -= 1
            one.socket.send(b"x")

    def run(self) -> dict[str, Any]:
        began = time.monotonic()
        opened, next_drip = 0, began + EVERY
        while (now := time.monotonic()) < began + self.seconds:
            due = self.number if self.within == 0 else min(self.number, int(self.number * (now - began) / self.within) + 1)
            while opened < due:
                self.connect(self.sources[opened % len(self.sources)])
                opened += 1
            for key, _ in self.selector.select(0.05):
                one: One = key.data
                try:
                    if one.state == "connecting":
                        if error := one.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                            raise OSError(error, "connect")
                        self.begin(one)
                        continue
                    # who does not read looks at the first line, which stays where it is
                    part = one.socket.recv(15, socket.MSG_PEEK) if self.mode == "readers" else one.socket.recv(65536)
                    if not part:
                        raise ConnectionResetError
                    if not one.answer:
                        status = part.split(b" ", 2)[1].decode() if part.startswith(b"HTTP/") else "strange"
                        self.told[status] = self.told.get(status, 0) + 1
                        if self.mode == "readers":
                            self.selector.unregister(one.socket)
                    one.answer = part
                except OSError as error:
                    self.ended(one, "refused" if one.state == "connecting" else type(error).__name__)
                    if self.again:
                        self.connect(one.source)
            if now >= next_drip:
                next_drip = now + EVERY
                for one in list(self.ones):
                    if one.state == "open":
                        try:
                            self.drip(one)
                        except OSError as error:
                            self.ended(one, type(error).__name__)
                            if self.again:
                                self.connect(one.source)
            self.most_open = max(self.most_open, sum(one.state == "open" for one in self.ones))
        states = [one.state for one in self.ones]
        return {
            "ever_open": self.ever_open,
            "most_open": self.most_open,
            "open": states.count("open"),
            "connecting": states.count("connecting"),
            "told": self.told,
        }


def visit(target: tuple[str, int], source: str, path: str, body: bytes | None, timeout: float) -> tuple[float, str]:
    """One visit on a connection of its own: (seconds, status or what went wrong)."""
    began = time.monotonic()
    try:
        with socket.create_connection(target, timeout=timeout, source_address=(source, 0)) as connection:
            if body is None:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {target[0]}\r\nConnection: close\r\n\r\n".encode())
            else:
                connection.sendall(head(target[0], path, len(body), {"Connection": "close"}) + body)
            answer = b""
            while part := connection.recv(65536):
                answer += part
    except OSError as error:
        return time.monotonic() - began, type(error).__name__
    return time.monotonic() - began, answer.split(b" ", 2)[1].decode() if answer.startswith(b"HTTP/") else "nothing"


def visits(target: tuple[str, int], source: str, seconds: float, every: float) -> dict[str, Any]:
    """The page, its settings and a question, in turn, every ``every`` seconds."""
    asked: list[tuple[str, bytes | None]] = [
        ("/", None), ("/client-config", None), ("/graphql", b'{"query":"{ __typename }"}'), ("/healthz", None),
    ]  # fmt: skip
    began, found, n = time.monotonic(), [], 0
    while time.monotonic() < began + seconds:
        path, body = asked[n % len(asked)]
        found.append((*visit(target, source, path, body, 10), path))
        n += 1
        time.sleep(max(0.0, began + n * every - time.monotonic()))
    good = sorted(took for took, status, _ in found if status in {"200", "400", "401"})
    bad = [f"{path}: {status} after {took:.1f} s" for took, status, path in found if status not in {"200", "400", "401"}]
    return {
        "visits": len(found),
        "served_within_2s": sum(took <= 2 for took in good),
        "slowest": round(good[-1], 3) if good else None,
        "median": round(good[len(good) // 2], 3) if good else None,
        "bad": bad,
    }


def ask(connection: http.client.HTTPConnection, path: str, body: bytes | None, headers: dict[str, str]) -> str:
    """Status of one request on a kept connection, or what went wrong; nothing is sent a second time."""
    try:
        connection.request("GET" if body is None else "POST", path, body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return type(error).__name__
    return str(answer.status)


def keep(target: tuple[str, int], source: str, timeout: float) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(*target, timeout=timeout, source_address=(source, 0))


def together(workers: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(n,)) for n in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def steady(target: tuple[str, int], source: str, given: argparse.Namespace) -> dict[str, Any]:
    """Questions without a pause of more than ``every`` seconds between two of them, on kept connections; every other one is a POST."""
    told: dict[str, int] = {}
    slowest, end = [0.0], time.monotonic() + given.seconds

    def work(number: int) -> None:
        connection = keep(target, source, 30)
        time.sleep(given.every * number / given.number)
        n = number
        while time.monotonic() < end:
            n += 1
            path, body = (given.path, b'{"query":"{ __typename }"}') if n % 2 else ("/healthz", None)
            if given.path.startswith("/webhooks"):
                path, body = given.path, b"{}"
            began = time.monotonic()
            status = ask(connection, path, body, json.loads(given.headers))
            slowest[0] = max(slowest[0], time.monotonic() - began)
            told[status] = told.get(status, 0) + 1
            time.sleep(max(0.0, given.every - (time.monotonic() - began)))

    together(given.number, work)
    return {"told": told, "slowest": round(slowest[0], 2)}


def burst(target: tuple[str, int], sources: list[str], given: argparse.Namespace) -> dict[str, Any]:
    """As many questions as asked for, ten at a time, the connections' addresses in turn."""
    told: dict[str, int] = {}

    def work(number: int) -> None:
        connection = keep(target, sources[number % len(sources)], 30)
        for _ in range(given.number // 10):
            status = ask(connection, given.path, b"{}", json.loads(given.headers))
            told[status] = told.get(status, 0) + 1

    together(10, work)
    return {"told": told}


def upload(target: tuple[str, int], source: str, given: argparse.Namespace) -> dict[str, Any]:
    """One multipart upload of ``length`` bytes at an even pace over ``seconds``: what came back, and when."""
    edge = "----crowd"
    operations = json.dumps({"query": UPLOAD, "variables": {"f": None}})
    parts = "".join(
        f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in (("operations", operations), ("map", '{"0":["variables.f"]}'))
    )
    first = f'{parts}--{edge}\r\nContent-Disposition: form-data; name="0"; filename="a.bin"\r\n\r\n'.encode()
    last = f"\r\n--{edge}--\r\n".encode()
    began = time.monotonic()
    with socket.create_connection(target, timeout=60, source_address=(source, 0)) as connection:
        lines = [
            f"POST {given.path} HTTP/1.1", f"Host: {target[0]}", f"Content-Type: multipart/form-data; boundary={edge}",
            *(f"{name}: {value}" for name, value in json.loads(given.headers).items()), f"Content-Length: {len(first) + given.length + len(last)}",
        ]  # fmt: skip
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + first)
        sent = 0
        try:
            while sent < given.length:
                part = min(32768, given.length - sent)
                connection.sendall(b"x" * part)
                sent += part
                time.sleep(max(0.0, began + given.seconds * sent / given.length - time.monotonic()))
            connection.sendall(last)
            answer = connection.recv(65536)
        except OSError as error:
            return {"status": type(error).__name__, "sent": sent, "took": round(time.monotonic() - began, 1)}
    status = answer.split(b" ", 2)[1].decode() if answer.startswith(b"HTTP/") else "nothing"
    stored = b'"path":"' in answer
    return {"status": status, "stored": stored, "sent": sent, "took": round(time.monotonic() - began, 1)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["crowd", "visitor", "steady", "burst", "upload"])
    parser.add_argument("target")
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--sources", required=True, help="addresses with commas")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--mode", choices=["headers", "bodies", "whole", "readers", "idle", "silent"], default="bodies")
    parser.add_argument("--path", default="/graphql")
    parser.add_argument("--length", type=int, default=1_500_000)
    parser.add_argument("--first", type=int, default=1000)
    parser.add_argument("--within", type=float, default=0.6)
    parser.add_argument("--headers", default="{}", help="JSON")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--every", type=float, default=0.25)
    given = parser.parse_args()
    target, sources = (given.target, given.port), given.sources.split(",")
    match given.what:
        case "visitor":
            print(json.dumps(visits(target, sources[0], given.seconds, given.every)))
            return
        case "steady":
            print(json.dumps(steady(target, sources[0], given)))
            return
        case "burst":
            print(json.dumps(burst(target, sources, given)))
            return
        case "upload":
            print(json.dumps(upload(target, sources[0], given)))
            return
    crowd = Crowd(
        target, sources, given.number, given.mode, given.path, given.length, given.first, json.loads(given.headers),
        given.within, given.seconds, given.again,
    )  # fmt: skip
    print(json.dumps(crowd.run()))


if __name__ == "__main__":
    main()
