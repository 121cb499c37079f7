"""A crowd that visits badly, and one good visitor: run inside a network namespace, so it imports nothing but the standard library.

``python crowd.py crowd …`` holds connections from many addresses; ``python crowd.py visitor …`` asks like a browser would and tells how
long each answer took. Both end by themselves after ``--seconds`` and print one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import time
from dataclasses import dataclass, field
from typing import Any

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
                    part = one.socket.recv(65536)
                    if not part:
                        raise ConnectionResetError
                    if not one.answer:
                        status = part.split(b" ", 2)[1].decode() if part.startswith(b"HTTP/") else "strange"
                        self.told[status] = self.told.get(status, 0) + 1
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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["crowd", "visitor"])
    parser.add_argument("target")
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--sources", required=True, help="addresses with commas")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--mode", choices=["headers", "bodies", "whole", "idle", "silent"], default="bodies")
    parser.add_argument("--path", default="/graphql")
    parser.add_argument("--length", type=int, default=1_500_000)
    parser.add_argument("--first", type=int, default=1000)
    parser.add_argument("--within", type=float, default=0.6)
    parser.add_argument("--headers", default="{}", help="JSON")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--every", type=float, default=0.25)
    given = parser.parse_args()
    target, sources = (given.target, given.port), given.sources.split(",")
    if given.what == "visitor":
        print(json.dumps(visits(target, sources[0], given.seconds, given.every)))
        return
    crowd = Crowd(
        target, sources, given.number, given.mode, given.path, given.length, given.first, json.loads(given.headers),
        given.within, given.seconds, given.again,
    )  # fmt: skip
    print(json.dumps(crowd.run()))


if __name__ == "__main__":
    main()
