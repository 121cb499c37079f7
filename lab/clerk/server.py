"""The emulator as one server: its parts put together, what is kept on the disk, and how it is run."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

import uvicorn
from pydantic import BaseModel, ConfigDict, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lab.clerk import addresses, bundle, errors, signing
from lab.clerk.admin import Admin
from lab.clerk.backend import Backend
from lab.clerk.faults import BrokenOff, Faults
from lab.clerk.frontend import Frontend
from lab.clerk.instance import Instance
from lab.clerk.keys import KeyRing
from lab.clerk.model import Data
from lab.clerk.portal import Portal
from lab.clerk.tokens import Minter
from lab.clerk.webhooks import Endpoint, Webhooks
from lab.command import wait_until
from lab.identity import LabError
from lab.state import write_private

Json = dict[str, Any]
SAVE_EVERY = 0.5
LOGGED = 2000


class Secrets(BaseModel):
    """What only the operator's side knows; made up where none is given."""

    model_config = ConfigDict(extra="forbid")

    secret_key: str = Field(default_factory=lambda: f"sk_test_{secrets.token_urlsafe(32)}")
    webhook_secret: str = Field(default_factory=signing.new_secret)
    admin_token: str = Field(default_factory=lambda: secrets.token_urlsafe(24))


class Kept(BaseModel):
    """The file of an instance: everything that a restart must not lose. It holds secrets: 0600."""

    model_config = ConfigDict(extra="forbid")

    secrets: Secrets = Field(default_factory=Secrets)
    keys: dict[str, dict[str, Any]] = Field(default_factory=dict)
    endpoint: Endpoint = Field(default_factory=lambda: Endpoint())
    data: Data = Field(default_factory=Data)


class Emulator:
    """All parts of one instance, and the ASGI application over them. ``name`` is the lab's: the publishable key follows from it.

    ``file`` keeps the state between runs; without one it is gone with the process. ``script`` is where clerk-js lies; without
    it, npm brings it at the first page.
    """

    def __init__(self, name: str, file: Path | None = None, kept: Kept | None = None, script: Path | None = None) -> None:
        self.file, self.script_directory = file, script
        kept = kept or read(file)
        self.secrets = kept.secrets
        self.domain = addresses.domain(name)
        self.publishable_key = addresses.publishable_key(self.domain)
        self.keys = KeyRing(kept.keys)
        self.instance = Instance(kept.data)
        self.hooks = Webhooks(self.instance, kept.secrets.webhook_secret, kept.endpoint)
        self.minter = Minter(self.instance, self.keys, f"https://{self.domain}")
        self.log: deque[Json] = deque(maxlen=LOGGED)
        self._bundle = asyncio.Lock()
        self._saved = ""
        self._saver: asyncio.Task[None] | None = None
        routes = [
            Route("/npm/@clerk/{package}/dist/{file}", self.script, methods=["GET"]),
            Route("/.well-known/jwks.json", self.jwks, methods=["GET"]),
            *Portal(self.instance, self.publishable_key).routes(),
            *Frontend(self.instance, self.minter).routes(),
            *Backend(self.instance, self.keys, self.minter, self.secrets.secret_key).routes(),
        ]
        # the control interface reaches the layer of faults, which lies around the application that holds it
        inner = Starlette(
            routes=routes, exception_handlers={errors.ClerkError: errors.answer, 404: unknown, 405: unknown, Exception: broken}
        )
        inner.router.redirect_slashes = False
        self.faults = Faults(inner)
        admin = Admin(self.instance, self.keys, self.minter, self.hooks, self.faults, self.log, self.secrets.admin_token)
        inner.router.routes.extend(admin.routes())
        self.app: ASGIApp = Edge(self.faults, self.log)

    async def script(self, request: Request) -> Response:
        """clerk-js and its chunks: whatever version the page asks for, it gets the pinned one."""
        if request.path_params["package"].partition("@")[0] != "clerk-js":
            raise errors.not_found("Package")
        async with self._bundle:
            if self.script_directory is None:
                try:
                    self.script_directory = await asyncio.to_thread(bundle.ensure)
                except LabError as error:
                    raise errors.ClerkError(503, "bundle_missing", str(error)) from error
        file = self.script_directory / Path(request.path_params["file"]).name
        if not file.is_file():
            raise errors.not_found("File")
        return FileResponse(file, media_type="application/javascript", headers={"cache-control": "public, max-age=3600"})

    async def jwks(self, _request: Request) -> JSONResponse:
        return JSONResponse(self.keys.jwks(), headers={"cache-control": "public, max-age=60"})

    # --- life ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        self.save()
        self._saver = asyncio.create_task(self._save_now_and_then())
        await self.hooks.start()

    async def stop(self) -> None:
        if self._saver:
            self._saver.cancel()
        self.faults.clear()
        await self.hooks.stop()
        self.save()

    async def _save_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(SAVE_EVERY)
            self.save()

    def save(self) -> None:
        """Write the instance to its file when it changed."""
        if self.file is None:
            return
        self.secrets.webhook_secret = self.hooks.live_secrets()[0]
        kept = Kept(secrets=self.secrets, keys=self.keys.private(), endpoint=self.hooks.endpoint, data=self.instance.data)
        text = kept.model_dump_json()
        if text != self._saved:
            write_private(self.file, text)
            self._saved = text

    def told(self, address: str) -> dict[str, str]:
        """What others need to use this instance at an address: ``clerk`` in the lab's state file."""
        return {
            "frontend": address,
            "backend": f"{address}{addresses.BACKEND}",
            "admin": f"{address}{addresses.ADMIN}",
            "admin_token": self.secrets.admin_token,
            "publishable_key": self.publishable_key,
            "secret_key": self.secrets.secret_key,
            "webhook_secret": self.secrets.webhook_secret,
        }


def read(file: Path | None) -> Kept:
    """What an instance's file keeps; a new instance where there is none yet."""
    if file is None or not file.exists():
        return Kept()
    try:
        return Kept.model_validate_json(file.read_text())
    except ValueError as error:
        raise LabError(f"{file} is damaged: remove it, and the emulator begins anew\n  {error}") from error


async def unknown(request: Request, _error: Exception) -> JSONResponse:
    """What the emulator does not have: named, so that a test that needs it is understood."""
    logging.getLogger(__name__).warning("not emulated: %s %s", request.method, request.url.path)
    error = errors.ClerkError(404, "resource_not_found", f"the emulator has no {request.method} {request.url.path}")
    return JSONResponse(error.body(), 404)


class Edge:
    """Outermost layer: CORS as Clerk does it (also on errors), verbs unpacked from ``_method``, every request noted."""

    def __init__(self, app: ASGIApp, log: deque[Json]) -> None:
        self.app, self.log = app, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get("origin")
        extra = cors(origin) if origin and not scope["path"].startswith((addresses.BACKEND, addresses.ADMIN)) else []
        if scope["method"] == "OPTIONS":
            await self.preflight(headers, extra, send)
            return
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        if scope["method"] == "POST" and "_method" in query and scope["path"].startswith("/v1/"):
            scope = {**scope, "method": query["_method"].upper()}
        entry: Json = {"at": time.time(), "method": scope["method"], "path": scope["path"], "status": None, "origin": origin}
        if not scope["path"].startswith((addresses.ADMIN, "/npm/")):
            self.log.append(entry)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry["status"] = message["status"]
                message["headers"] = [*message.get("headers", []), *extra]
            await send(message)

        try:
            await self.app(scope, receive, sent)
        except BrokenOff:
            entry["status"] = None

    async def preflight(self, headers: dict[str, str], extra: list[tuple[bytes, bytes]], send: Send) -> None:
        asked = headers.get("access-control-request-headers", "").encode("latin-1")
        allowed = [(b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"), (b"access-control-allow-headers", asked)]
        await send({"type": "http.response.start", "status": 204, "headers": [*extra, *allowed]})
        await send({"type": "http.response.body", "body": b""})


def cors(origin: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"Clerk-Db-Jwt, Retry-After, X-Country"),
        (b"vary", b"Origin"),
    ]


async def broken(_request: Request, _error: Exception) -> JSONResponse:
    """An error of the emulator's own, in Clerk's shape; uvicorn logs where it came from."""
    error = errors.ClerkError(500, "internal_clerk_error", "There was an internal error on our servers.")
    return JSONResponse(error.body(), 500)


class Server:
    """An emulator that listens. ``run`` until it is told to end, or ``with Server(...)`` beside a test, in a thread of its own."""

    def __init__(self, emulator: Emulator, host: str = "127.0.0.1", port: int = 0) -> None:
        self.emulator = emulator
        self.host = host
        quiet = {
            "log_level": "warning",
            "access_log": False,
            "lifespan": "off",
            "ws": "none",
            "interface": "asgi3",
            "proxy_headers": False,
        }
        self._uvicorn = uvicorn.Server(uvicorn.Config(emulator.app, host=host, port=port, timeout_graceful_shutdown=2, **quiet))  # type: ignore[arg-type]
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        number: int = self._uvicorn.servers[0].sockets[0].getsockname()[1]
        return number

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def serve(self) -> None:
        """Run in this event loop until the process is asked to end."""
        await self.emulator.start()
        try:
            await self._uvicorn.serve()
        finally:
            await self.emulator.stop()

    def run(self) -> None:
        asyncio.run(self.serve())

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.run, daemon=True, name="clerk-emulator")
        self._thread.start()
        wait_until(self._listens, 20, f"the emulator does not listen on {self.host}")
        return self

    def _listens(self) -> bool:
        if self._thread is None or not self._thread.is_alive():
            raise LabError(f"the emulator ended at once; is the port on {self.host} free?")
        return self._uvicorn.started

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._uvicorn.should_exit = True
        if self._thread:
            self._thread.join(10)


def owner_only() -> None:
    """Files that this process makes are nobody else's."""
    os.umask(0o077)
