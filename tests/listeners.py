"""A webhook's and a mail server's other side, on loopback alone: they keep what arrives."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Heard:
    """What arrived, and how the listener answers."""

    port: int = 0
    status: int = 200
    location: str = ""
    delay_s: float = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/T0/B0/a-secret-part"

    @property
    def texts(self) -> list[str]:
        return [body["text"] for body in self.bodies]


@contextmanager
def webhook(tls: ssl.SSLContext | None = None, **how: Any) -> Iterator[Heard]:
    """An incoming webhook; ``how``: fields of ``Heard``."""
    heard = Heard(**how)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.paths.append(self.path)
            heard.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            time.sleep(heard.delay_s)
            self.send_response(heard.status)
            if heard.location:
                self.send_header("Location", heard.location)
            self.end_headers()
            self.wfile.write(b"ok")

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):  # the client did not wait, or did not trust the certificate
                super().handle()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    heard.port = server.server_address[1]
    with _served(server):
        yield heard


@dataclass
class Mailed:
    """Mails that arrived, and how the server answers."""

    port: int = 0
    refuse: str = ""
    """A recipient that it does not take."""
    silent: bool = False
    """It accepts connections and says nothing."""
    commands: list[str] = field(default_factory=list)
    letters: list[EmailMessage] = field(default_factory=list)


@contextmanager
def mail_server(tls: ssl.SSLContext | None = None, implicit: bool = False, **how: Any) -> Iterator[Mailed]:
    """A mail server; with ``tls`` it offers STARTTLS, or with ``implicit`` speaks TLS from the start."""
    mailed = Mailed(**how)
    end = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if mailed.silent:
                end.wait(20)
                return
            with suppress(OSError):
                self._talk()

        def _talk(self) -> None:
            connection = tls.wrap_socket(self.request, server_side=True) if tls and implicit else self.request
            lines = connection.makefile("rb")

            def say(text: str) -> None:
                connection.sendall(f"{text}\r\n".encode())

            say("220 listener")
            while line := lines.readline().decode().strip():
                mailed.commands.append(line)
                verb = line.split(" ")[0].upper()
                if verb == "EHLO":
                    extensions = ["AUTH PLAIN", *(["STARTTLS"] if tls and connection is self.request else [])]
                    say("\r\n".join(["250-listener", *(f"250-{name}" for name in extensions), "250 8BITMIME"]))
                elif verb == "STARTTLS":
                    assert tls
                    say("220 go on")
                    connection = tls.wrap_socket(self.request, server_side=True)
                    lines = connection.makefile("rb")
                elif verb == "RCPT":
                    say("550 no such user" if mailed.refuse and mailed.refuse in line else "250 ok")
                elif verb == "DATA":
                    say("354 go on")
                    data = b""
                    while (part := lines.readline()) != b".\r\n":
                        data += part
                    letter = message_from_bytes(data, policy=policy.default)
                    assert isinstance(letter, EmailMessage)
                    mailed.letters.append(letter)
                    say("250 ok")
                elif verb == "AUTH":
                    say("235 ok")
                elif verb == "QUIT":
                    say("221 bye")
                    return
                else:
                    say("250 ok")

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    mailed.port = server.server_address[1]
    with _served(server):
        try:
            yield mailed
        finally:
            end.set()


@contextmanager
def _served(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
