"""What listens: the webhook, which is all that is public; and health, readiness, metrics on the internal port."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import generate_latest
from psycopg_pool import PoolTimeout
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from starlette.requests import ClientDisconnect

from tenant_manager import SELF_TEST, WEBHOOK_PATH, metrics
from tenant_manager.errors import ManagerError
from tenant_manager.queue import Work
from tenant_manager.settings import Settings
from tenant_manager.store import Incoming, Store
from tenant_manager.twenty import Twenty

LOG = logging.getLogger(__name__)
BATCH = 200
COMMIT_WITHIN = 10.0  # Svix waits 15 s
TOLERANCE = 300.0  # seconds that a timestamp may be off; Svix's own, and what Webhook.verify asks for
SMALL = 16 * 1024  # Clerk's events have 2 to 8 KB
MESSAGE_ID = re.compile(r"[A-Za-z0-9_.\-]{1,128}")
TYPE = re.compile(r"[A-Za-z0-9_.\-]{1,100}")
IDS = {prefix: re.compile(prefix + r"[A-Za-z0-9]{4,64}") for prefix in ("org_", "user_", "sess_")}
SESSION_ENDS = ("session.ended", "session.removed", "session.revoked")


class Bad(Exception):
    """A request that is refused: status and one word for the metric. The sender learns the status only."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class Room:
    """Bytes of bodies that may be held in all, each from before it is read to its answer. What is larger than SMALL leaves a quarter to
    the others: who fills it with large bodies keeps no event of Clerk's out."""

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Raises Bad(503) when there is no room; Svix sends again."""
        if self.held + size > (self.most if size <= SMALL else self.most * 3 // 4):
            raise Bad(503, "room")
        self.held += size
        try:
            yield
        finally:
            self.held -= size


class Verifier:
    """Signatures of the raw bytes, by any of the secrets (several while one replaces another)."""

    def __init__(self, settings: Settings) -> None:
        self.webhooks = [Webhook(secret.get_secret_value()) for secret in settings.clerk_webhook_secret]

    def check(self, message_id: str, timestamp: str, signatures: str, body: bytes) -> None:
        """Raises Bad(400)."""
        given = {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signatures}
        for webhook in self.webhooks:
            try:
                webhook.verify(body, given, json_parse=False)
            except (WebhookVerificationError, ValueError):
                continue
            return
        raise Bad(400, "signature")


def presented(timestamp: str, signatures: str) -> str:
    """The signatures that can be one, with spaces. Raises Bad(400) when none can, or the time is not now: all that is known before the
    body is read. Versions that nobody knows and pieces that are no signature are passed over, as Svix asks."""
    known = " ".join(part for part in signatures.split(" ") if signature(part))
    if not known or not timestamp.isascii() or not timestamp.isdecimal() or len(timestamp) > 12:
        raise Bad(400, "signature")
    if abs(time.time() - int(timestamp)) > TOLERANCE:
        raise Bad(400, "stale")
    return known


def signature(part: str) -> bool:
    version, _, value = part.partition(",")
    try:
        return version == "v1" and len(base64.b64decode(value, validate=True)) == 32
    except (binascii.Error, ValueError):
        return False


def target_of(kind: str, data: Any) -> str | None:
    """Where to look because of an event: an organisation, a person or a session. Raises Bad(422) when a known type names none."""
    if kind == SELF_TEST:
        return SELF_TEST
    match kind.split(".")[0]:
        case "organization" | "user" as what:
            found, prefix = data.get("id"), "org_" if what == "organization" else "user_"
        case "organizationMembership":
            found, prefix = (data.get("organization") or {}).get("id"), "org_"
        case "session" if kind in SESSION_ENDS:
            found, prefix = data.get("id"), "sess_"
        case _:
            return None
    if not isinstance(found, str) or not IDS[prefix].fullmatch(found):
        raise Bad(422, "content")
    return found


def read(message_id: str, body: bytes) -> Incoming:
    """A verified body as an event."""
    try:
        found = json.loads(body)
        kind, data = found["type"], found["data"]
        if not isinstance(data, dict) or not TYPE.fullmatch(kind):
            raise Bad(422, "content")
        return Incoming(message_id, kind, target_of(kind, data), body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Bad(422, "content") from error


class Committer:
    """Puts events into the database, all that wait in one transaction; whoever waits is answered after the commit."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.waiting: list[tuple[Incoming, asyncio.Future[bool]]] = []
        self.there = asyncio.Event()

    async def commit(self, event: Incoming) -> bool:
        """True when the event is new. Raises what the database raised."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.waiting.append((event, future))
        self.there.set()
        return await future

    async def run(self) -> None:
        while True:
            await self.there.wait()
            batch, self.waiting = self.waiting[:BATCH], self.waiting[BATCH:]
            if not self.waiting:
                self.there.clear()
            try:
                async with asyncio.timeout(COMMIT_WITHIN):
                    fresh = await self.store.accept([event for event, _ in batch])
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for event, future in batch:
                if not future.done():
                    future.set_result(event.svix_id in fresh)


def declared(request: Request, limit: int) -> int:
    """Bytes that a body may have: what it says, or the limit. Raises Bad(413) when it says more."""
    length = request.headers.get("content-length", str(limit))
    if not length.isdecimal():
        raise Bad(400, "length")
    if int(length[:20]) > limit:
        raise Bad(413, "size")
    return int(length)


async def raw(request: Request, limit: int, within: float) -> bytes:
    """The body as it came, never more of it than the limit (bytes) nor later than ``within`` (seconds). What was not read when a request
    is refused is thrown away by the listener as it comes: the sender sees the answer and no reset."""
    found = bytearray()
    try:
        async with asyncio.timeout(within):
            async for part in request.stream():
                found += part
                if len(found) > limit:
                    raise Bad(413, "size")
    except TimeoutError:
        raise Bad(408, "slow") from None
    except ClientDisconnect:
        raise Bad(400, "gone") from None
    return bytes(found)


def public(settings: Settings, committer: Committer) -> FastAPI:
    """The application behind the proxy. Nothing else is there: no documentation, no health."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    verifier = Verifier(settings)
    room = Room(settings.bodies_limit)

    async def receive(request: Request) -> None:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Bad(415, "type")
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Bad(415, "type")
        names = ("svix-id", "svix-timestamp", "svix-signature")
        if any(len(request.headers.getlist(name)) != 1 for name in names):
            raise Bad(400, "headers")
        message_id, timestamp, signatures = (request.headers[name] for name in names)
        if not MESSAGE_ID.fullmatch(message_id) or len(signatures) > 4096:
            raise Bad(400, "headers")
        known = presented(timestamp, signatures)
        size = declared(request, settings.body_limit)
        with room.taken(size):
            body = await raw(request, size, settings.body_timeout)
            verifier.check(message_id, timestamp, known, body)
            event = read(message_id, body)
            fresh = await committer.commit(event)
        metrics.WEBHOOKS.labels(result=("accepted" if event.target else "ignored") if fresh else "repeated").inc()

    async def webhook(request: Request) -> Response:
        began = time.monotonic()
        try:
            await receive(request)
        except Bad as bad:
            metrics.WEBHOOKS.labels(result=bad.why).inc()
            return Response(status_code=bad.status, headers={"Retry-After": "5"} if bad.status == 503 else None)
        except (psycopg.Error, PoolTimeout, TimeoutError, OSError) as error:
            metrics.WEBHOOKS.labels(result="database").inc()
            LOG.error("an event could not be stored; Clerk sends it again", extra={"error": f"{type(error).__name__}: {error}"})
            return Response(status_code=503, headers={"Retry-After": "5"})
        metrics.ACCEPTING.observe(time.monotonic() - began)
        return Response(status_code=202)

    # a route of Starlette's: FastAPI's own would cost as much again as all that is done here, for parameters that there are none of
    app.add_route(WEBHOOK_PATH, webhook, methods=["POST"])
    return app


def internal(store: Store, work: Work, twenty: Twenty) -> FastAPI:
    """For the host and for Prometheus, never behind the proxy."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/healthz")
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        found = {"database": "ok", "worker": "ok" if work.alive else "not working", "twenty": "ok"}
        try:
            async with asyncio.timeout(3):
                await store.rows("SELECT 1 FROM event LIMIT 1")
        except Exception as error:
            found["database"] = f"{type(error).__name__}: {error}".strip()
        try:
            async with asyncio.timeout(6):
                await twenty.reachable()
        except (ManagerError, TimeoutError) as error:
            found["twenty"] = str(error) or "no answer"
        return JSONResponse(found, 200 if set(found.values()) == {"ok"} else 503)

    @app.get("/metrics")
    async def read_metrics() -> Response:
        await _gauges(store)
        return Response(generate_latest(metrics.REGISTRY), media_type="text/plain; version=0.0.4")

    return app


async def _gauges(store: Store) -> None:
    states: Callable[[list[dict[str, Any]]], dict[str, int]] = lambda rows: {r["state"]: r["n"] for r in rows}  # noqa: E731
    try:
        async with asyncio.timeout(3):
            events = states(await store.rows("SELECT state, count(*) AS n FROM event GROUP BY state"))
            tenants = states(await store.rows("SELECT state, count(*) AS n FROM tenant GROUP BY state"))
            oldest = await store.row(
                "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(received_at)), 0)::float AS s FROM event WHERE state = 'queued'"
            )
    except Exception as error:
        LOG.warning("metrics of the database are old", extra={"error": f"{type(error).__name__}: {error}"})
        return
    for state in ("queued", "done", "ignored", "dead"):
        metrics.EVENTS.labels(state=state).set(events.get(state, 0))
    for state in ("new", "active", "suspended"):
        metrics.TENANTS.labels(state=state).set(tenants.get(state, 0))
    metrics.OLDEST.set(oldest["s"] if oldest else 0)
