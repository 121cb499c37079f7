"""Webhooks as Svix delivers them for Clerk: signed, retried on its schedule, in no promised order, at least once.

The schedule runs on a compressed clock: ``speed`` says how many of Svix's seconds pass in one of ours. Only the waiting is
compressed; timestamps in signatures are of the real clock, which the receiver checks, and so is the time that it has to answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import secrets
import time
from collections import deque
from collections.abc import Coroutine
from fnmatch import fnmatchcase
from typing import Any, Literal

import httpx
from pydantic import BaseModel, ConfigDict, Field, field_validator

from lab.clerk import signing
from lab.clerk.errors import ClerkError, invalid, not_found
from lab.clerk.instance import Instance
from lab.clerk.model import ALPHABET, now_ms

Json = dict[str, Any]
LOG = logging.getLogger(__name__)
DELAYS = (0, 5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 10 * 3600)  # seconds after the attempt before
SWITCHED_OFF_AFTER = 5 * 86400
OLD_SECRET_LIVES = 86400
KEPT = 2000
EVENTS = [
    f"{kind}.{what}" for kind in ("user", "organization", "organizationMembership") for what in ("created", "updated", "deleted")
] + ["session.ended", "session.removed", "session.revoked"]


class Endpoint(BaseModel):
    """Where webhooks go and how; ``url`` None sends none. ``events`` are patterns, as a person ticks them in the dashboard."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    url: str | None = None
    events: list[str] = Field(default_factory=lambda: list(EVENTS))
    speed: float = Field(default=1, gt=0, description="Svix's seconds per second of ours.")
    timeout: float = Field(default=15, gt=0, description="Seconds that the receiver has to answer.")
    disabled: bool = False
    json_style: Literal["compact", "spaced", "escaped"] = Field(
        default="compact", description="How the body is written: a receiver has to verify the bytes, not what it reads in them."
    )

    @field_validator("url")
    @classmethod
    def _web(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("give http://HOST/PATH or https://HOST/PATH")
        return value


class Disturbance(BaseModel):
    """Something that happens to messages on their way: the next ``count`` ones that match ``events``, or all (None).

    delay: sent ``seconds`` late (ours). drop: never sent, until they are recovered. repeat: sent ``times`` more times.
    reorder: held until ``count`` are there, or ``seconds`` went by, then sent last first (``shuffle``: by chance).
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["delay", "drop", "repeat", "reorder"]
    events: list[str] = Field(default_factory=lambda: ["*"])
    count: int | None = Field(default=None, ge=1)
    seconds: float = Field(default=1, ge=0)
    times: int = Field(default=1, ge=1, le=100)
    shuffle: bool = False

    def matches(self, event: str) -> bool:
        return any(fnmatchcase(event, pattern) for pattern in self.events)


class Attempt(BaseModel):
    """One try to deliver: ``status`` None when nobody answered, ``error`` then says why. ``took`` in seconds."""

    at: int
    number: int
    url: str
    status: int | None
    error: str | None
    took: float


class Message(BaseModel):
    """One event on its way: waiting, delivered, failed (no attempt left), dropped or skipped (not wanted, nobody to send to)."""

    id: str
    event: str
    body: str
    created_at: int
    state: Literal["waiting", "delivered", "failed", "dropped", "skipped"] = "waiting"
    attempts: list[Attempt] = Field(default_factory=list)
    next_attempt_at: int | None = None


FLAWS = ("unsigned", "wrong-secret", "stale", "future", "tampered", "garbled-signature", "old-version")


def flawed_headers(flaw: str, secret: str, message_id: str, timestamp: int, body: bytes) -> tuple[dict[str, str], bytes]:
    """(headers, body) of a delivery that a receiver has to refuse."""
    good = signing.headers([secret], message_id, timestamp, body)
    match flaw:
        case "unsigned":
            return {}, body
        case "wrong-secret":
            return signing.headers([signing.new_secret()], message_id, timestamp, body), body
        case "stale" | "future":
            shifted = timestamp + (-600 if flaw == "stale" else 600)
            return signing.headers([secret], message_id, shifted, body), body
        case "tampered":
            return good, body.replace(b'"object":"event"', b'"object":"Event"', 1)
        case "garbled-signature":
            return good | {"svix-signature": "v1,AAAA"}, body
        case "old-version":
            return good | {"svix-signature": good["svix-signature"].replace("v1,", "v0,")}, body
    raise invalid("flaw", f"one of {', '.join(FLAWS)}")


class Webhooks:
    """Listens to an instance and delivers what it hears. ``start`` and ``stop`` belong to the server's event loop."""

    def __init__(self, instance: Instance, secret: str, endpoint: Endpoint | None = None) -> None:
        self.instance = instance
        self.secrets: list[tuple[str, float]] = [(secret, float("inf"))]
        self.endpoint = endpoint or Endpoint()
        self.messages: dict[str, Message] = {}
        self.disturbances: list[Disturbance] = []
        self._held: dict[int, list[Message]] = {}
        self._early: deque[Message] = deque()
        self._failing_since: float | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._http: dict[bool, httpx.AsyncClient] = {}
        self._started = False
        instance.listeners.append(self.tell)

    async def start(self) -> None:
        self._started = True
        while self._early:
            self._send(self._early.popleft())

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self._http.values():
            await client.aclose()

    # --- what happens -------------------------------------------------------------------------------------------

    def envelope(self, event: str, data: Json) -> Json:
        attributes = {"http_request": {"client_ip": "127.0.0.1", "user_agent": "lab"}}
        return {
            "data": data,
            "event_attributes": attributes,
            "instance_id": self.instance.data.id,
            "object": "event",
            "timestamp": now_ms(),
            "type": event,
        }

    def tell(self, event: str, data: Json) -> Message:
        """Take an event: it becomes a message, and goes out when the endpoint wants it."""
        message = Message(
            id="msg_" + "".join(secrets.choice(ALPHABET) for _ in range(27)), event=event, created_at=now_ms(),
            body=written(self.envelope(event, data), self.endpoint.json_style),
        )  # fmt: skip
        self.messages[message.id] = message
        while len(self.messages) > KEPT:
            self.messages.pop(next(iter(self.messages)))
        wanted = any(fnmatchcase(event, pattern) for pattern in self.endpoint.events)
        if not wanted or self.endpoint.url is None or self.endpoint.disabled:
            message.state = "skipped"
        elif not self._started:
            self._early.append(message)
        else:
            self._send(message)
        return message

    def _send(self, message: Message) -> None:
        for disturbance in self.disturbances:
            if disturbance.matches(message.event):
                break
        else:
            self._spawn(self._deliver(message))
            return
        match disturbance.kind:
            case "drop":
                message.state = "dropped"
            case "delay":
                self._spawn(self._deliver(message, after=disturbance.seconds))
            case "repeat":
                self._spawn(self._deliver(message, copies=disturbance.times))
            case "reorder":
                self._hold(disturbance, message)
                return  # counts by itself: it is over when its window is full
        self._use(disturbance)

    def _use(self, disturbance: Disturbance) -> None:
        if disturbance.count is not None:
            disturbance.count -= 1
            if disturbance.count == 0:
                self.disturbances.remove(disturbance)

    def _hold(self, disturbance: Disturbance, message: Message) -> None:
        held = self._held.setdefault(id(disturbance), [])
        held.append(message)
        if len(held) == 1:
            self._spawn(self._release_later(disturbance))
        if disturbance.count is not None and len(held) >= disturbance.count:
            self._release(disturbance)

    async def _release_later(self, disturbance: Disturbance) -> None:
        await asyncio.sleep(disturbance.seconds)
        self._release(disturbance)

    def _release(self, disturbance: Disturbance) -> None:
        held = self._held.pop(id(disturbance), [])
        if not held:
            return
        if disturbance.count is not None and disturbance in self.disturbances:
            self.disturbances.remove(disturbance)
        order = random.sample(held, len(held)) if disturbance.shuffle else held[::-1]
        self._spawn(self._deliver_in_order(order))

    async def _deliver_in_order(self, messages: list[Message]) -> None:
        for message in messages:  # the first attempts one after the other, so that the order is seen; retries on their own
            await self._attempt(message, 1)
            if message.state == "waiting":
                self._spawn(self._deliver(message, first=2))

    def clear(self) -> None:
        """Take all disturbances away and send what they hold."""
        for disturbance in list(self.disturbances):
            self._release(disturbance)
        self.disturbances.clear()

    # --- delivery -----------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            LOG.error("a delivery ended with an error of the emulator's own", exc_info=error)

    async def _deliver(self, message: Message, *, after: float = 0, copies: int = 0, first: int = 1) -> None:
        if after:
            message.next_attempt_at = now_ms() + int(after * 1000)
            await asyncio.sleep(after)
        for number in range(first, len(DELAYS) + 1):
            wait = DELAYS[number - 1] / self.endpoint.speed
            message.next_attempt_at = now_ms() + int(wait * 1000)
            if wait:
                await asyncio.sleep(wait)
            if self.endpoint.disabled or self.endpoint.url is None:
                break
            if await self._attempt(message, number):
                for _ in range(copies):
                    await self._attempt(message, number)
                return
        message.next_attempt_at = None
        if message.state == "waiting":
            message.state = "failed"

    async def _attempt(self, message: Message, number: int) -> bool:
        """One try; True when the receiver took it (2xx: a redirect is a refusal)."""
        url = self.endpoint.url
        if url is None:
            return False
        body = message.body.encode()
        found = signing.headers(self.live_secrets(), message.id, int(time.time()), body)
        attempt = await self._post(url, found, body, number)
        message.attempts.append(attempt)
        if attempt.status is not None and 200 <= attempt.status < 300:
            message.state, message.next_attempt_at, self._failing_since = "delivered", None, None
            return True
        self._failing_since = self._failing_since or time.monotonic()
        if (time.monotonic() - self._failing_since) * self.endpoint.speed >= SWITCHED_OFF_AFTER:
            self.endpoint.disabled = True
        return False

    async def _post(self, url: str, found: dict[str, str], body: bytes, number: int) -> Attempt:
        at, began, status, error = now_ms(), time.monotonic(), None, None
        sent = {"content-type": "application/json", "user-agent": "Svix-Webhooks/1.24", "accept": "*/*", **found}
        try:
            async with asyncio.timeout(self.endpoint.timeout):
                status = (await self._client(url).post(url, content=body, headers=sent, timeout=None)).status_code
        except TimeoutError:
            error = f"no answer in {self.endpoint.timeout:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as failed:
            error = f"{type(failed).__name__}: {failed}"
        return Attempt(at=at, number=number, url=url, status=status, error=error, took=round(time.monotonic() - began, 3))

    def _client(self, url: str) -> httpx.AsyncClient:
        """For http without certificates, whose loading takes longer than a delivery."""
        tls = url.startswith("https://")
        if tls not in self._http:
            # the machine's proxy settings are for the world outside, the receiver is in the lab
            self._http[tls] = httpx.AsyncClient(trust_env=False, verify=tls, limits=httpx.Limits(max_connections=50))
        return self._http[tls]

    def live_secrets(self) -> list[str]:
        """The secret, and those that it replaced less than a (compressed) day ago."""
        self.secrets = [(secret, until) for secret, until in self.secrets if until > time.monotonic()]
        return [secret for secret, _ in self.secrets]

    # --- what a person does in the dashboard ----------------------------------------------------------------------

    def message(self, message_id: str) -> Message:
        if message_id not in self.messages:
            raise not_found("Message")
        return self.messages[message_id]

    async def resend(self, message: Message) -> Attempt:
        """Send a message once more now, whatever became of it; its id stays."""
        if self.endpoint.url is None:
            raise ClerkError(400, "no_endpoint", "there is no endpoint to send to")
        await self._attempt(message, len(message.attempts) + 1)
        return message.attempts[-1]

    def recover(self) -> list[str]:
        """Send everything again that failed or was dropped, as after an outage. Returns the messages' ids."""
        self.endpoint.disabled, self._failing_since = False, None
        lost = [m for m in self.messages.values() if m.state in ("failed", "dropped")]
        for message in lost:
            message.state = "waiting"
            self._spawn(self._deliver(message))
        return [message.id for message in lost]

    def rotate_secret(self, secret: str | None = None) -> str:
        """A new secret; both sign for a day of Svix's, so that the receiver can follow without losing one."""
        fresh = secret or signing.new_secret()
        until = time.monotonic() + OLD_SECRET_LIVES / self.endpoint.speed
        self.secrets = [(fresh, float("inf")), *((old, min(end, until)) for old, end in self.secrets)]
        return fresh

    async def send(self, event: str, data: Json, flaw: str | None = None, message_id: str | None = None) -> tuple[str, Attempt]:
        """One delivery made by hand, without retries; with a flaw (a name in FLAWS) it must be refused. (id, what came of it)."""
        if self.endpoint.url is None:
            raise ClerkError(400, "no_endpoint", "there is no endpoint to send to")
        found = message_id or "msg_" + "".join(secrets.choice(ALPHABET) for _ in range(27))
        body = written(self.envelope(event, data), self.endpoint.json_style).encode()
        now, keys = int(time.time()), self.live_secrets()
        sent = signing.headers(keys, found, now, body)
        if flaw:
            sent, body = flawed_headers(flaw, keys[0], found, now, body)
        return found, await self._post(self.endpoint.url, sent, body, 1)

    def idle(self) -> bool:
        """Whether nothing is on its way or waits for its next attempt."""
        return not any(m.state == "waiting" for m in self.messages.values())


def written(found: Json, style: str) -> str:
    """The body's text. All styles are the same JSON and different bytes."""
    if style == "spaced":
        return json.dumps(found, ensure_ascii=False, indent=2)
    return json.dumps(found, ensure_ascii=style == "escaped", separators=(",", ":"))
