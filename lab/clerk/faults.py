"""Failures on demand: a part of the instance answers 503, hangs, is slow, breaks off or talks nonsense."""

from __future__ import annotations

import asyncio
import json
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp, Receive, Scope, Send

from lab.clerk.addresses import ADMIN, BACKEND

Part = Literal["frontend", "backend", "keys", "script", "portal", "all"]


class Fault(BaseModel):
    """What goes wrong with the next ``count`` requests (None: all) to a part whose path matches.

    status: answered with it and Clerk's error shape. hang: no answer for ``seconds`` (or until it is taken away), then cut.
    slow: answered after ``seconds``. cut: the connection breaks off in the middle. nonsense: 200 and a page of HTML.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["status", "hang", "slow", "cut", "nonsense"]
    part: Part = "all"
    path: str = "*"
    method: str | None = None
    count: int | None = Field(default=None, ge=1)
    status: int = Field(default=503, ge=400, le=599)
    code: str = "service_unavailable"
    retry_after: int | None = Field(default=None, ge=0)
    seconds: float = Field(default=3600, ge=0)


def part_of(path: str) -> Part:
    """Which part of Clerk a path belongs to. The key set is one of its own: verifiers ask for it, browsers do not."""
    if path in ("/.well-known/jwks.json", f"{BACKEND}/v1/jwks"):
        return "keys"
    if path.startswith(BACKEND):
        return "backend"
    if path.startswith("/npm/"):
        return "script"
    return "frontend" if path.startswith("/v1/") else "portal"


class Faults:
    """ASGI layer that lets faults happen; the control interface is never hit."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.active: list[Fault] = []
        self._changed = asyncio.Event()

    def add(self, fault: Fault) -> None:
        self.active.append(fault)

    def clear(self) -> None:
        """Take all away; requests that hang are cut."""
        self.active.clear()
        self._changed.set()
        self._changed = asyncio.Event()

    def take(self, path: str, method: str) -> Fault | None:
        """The fault that hits a request, counted."""
        for fault in self.active:
            fits = fault.part in ("all", part_of(path)) and fnmatchcase(path, fault.path)
            if fits and fault.method in (None, method):
                if fault.count is not None:
                    fault.count -= 1
                    if fault.count == 0:
                        self.active.remove(fault)
                return fault
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(ADMIN):
            await self.app(scope, receive, send)
            return
        fault = self.take(scope["path"], scope["method"])
        if fault is None:
            await self.app(scope, receive, send)
        elif fault.kind == "slow":
            await self._wait(fault.seconds)
            await self.app(scope, receive, send)
        else:
            await self._fail(fault, send)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _fail(self, fault: Fault, send: Send) -> None:
        if fault.kind == "hang":
            await self._wait(fault.seconds)
        if fault.kind in ("hang", "cut"):
            # more is promised than comes: the server closes the connection, and the client sees it break off
            await _start(send, 200, b"application/json", [(b"content-length", b"1000")])
            await send({"type": "http.response.body", "body": b'{"', "more_body": True})
            raise BrokenOff
        if fault.kind == "nonsense":
            await _start(send, 200, b"text/html; charset=utf-8", [])
            await send({"type": "http.response.body", "body": b"<!doctype html><title>proxy</title><h1>It works!</h1>"})
            return
        error = {
            "code": fault.code,
            "message": "The service is not available",
            "long_message": "The service is not available",
            "meta": {},
        }
        extra = [] if fault.retry_after is None else [(b"retry-after", str(fault.retry_after).encode())]
        await _start(send, fault.status, b"application/json", extra)
        await send({"type": "http.response.body", "body": json.dumps({"errors": [error], "clerk_trace_id": "lab"}).encode()})


class BrokenOff(Exception):
    """Ends a request in the middle of its answer, on purpose."""


async def _start(send: Send, status: int, kind: bytes, extra: list[tuple[bytes, bytes]]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind), *extra]})
