"""Asking another service over HTTP: every failure becomes Later or Refused, with what was asked and what came."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from tenant_manager.errors import Later, Refused

Json = dict[str, Any]
# httpcore looks for it on the disk with each request, as long as it is not there
sys.modules.setdefault("trio", None)  # type: ignore[arg-type]
LONGEST_WAIT = 3600.0


class NotThere(Refused):
    """404 in the other side's own words; ``code`` is its code."""

    def __init__(self, words: str, code: str) -> None:
        super().__init__(words)
        self.code = code


class TooMany(Later):
    """429: we ask more than the other side takes."""


class Remote:
    """One base address with a bearer token. ``label`` names it in errors; tokens are in none.

    A 429 with Retry-After holds for every request here: they wait together, each up to ``patience`` seconds, then it is Later.
    """

    def __init__(self, label: str, base: str, token: str, timeout: float, patience: float = 0, connections: int = 16) -> None:
        self.label, self.patience = label, patience
        self.quiet_until = 0.0
        self.asked = 0
        self.http = httpx.AsyncClient(
            base_url=base.rstrip("/"),
            headers={"Authorization": f"Bearer {token}", "User-Agent": "tenant-manager", "Accept": "application/json"},
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=connections),
        )

    async def close(self) -> None:
        await self.http.aclose()

    async def ask(
        self, method: str, path: str, *, body: Json | None = None, query: Any = None, timeout: float | None = None
    ) -> Any:
        """The answer's JSON. 404 raises NotThere, 408, 425, 429, 5xx and no answer Later, the rest Refused."""
        what = f"{self.label}: {method} {path}"
        deadline = time.monotonic() + self.patience
        while True:
            if (pause := self.quiet_until - time.monotonic()) > 0:
                if self.quiet_until > deadline:
                    raise Later(f"{what}: not asked, {self.label} wants quiet for {pause:.0f} s", pause)
                # not all at the same moment
                await asyncio.sleep(pause + random.uniform(0, 0.2))  # noqa: S311
            try:
                return await self._once(what, method, path, body, query, timeout)
            except TooMany as error:
                if error.after is None:
                    raise
                self.quiet_until = max(self.quiet_until, time.monotonic() + error.after)
                if self.quiet_until > deadline:
                    raise

    async def _once(self, what: str, method: str, path: str, body: Json | None, query: Any, timeout: float | None) -> Any:
        self.asked += 1
        try:
            answer = await self.http.request(
                method, path, json=body, params=query, timeout=httpx.USE_CLIENT_DEFAULT if timeout is None else timeout
            )
        except httpx.HTTPError as error:
            raise Later(f"{what}: {type(error).__name__}: {error}") from error
        status = answer.status_code
        try:
            found = answer.json()
        except ValueError:
            if answer.is_success or status == 404:
                raise Later(f"{what}: {status}, but no JSON: something else answers at this address") from None
            found = None
        if answer.is_success:
            return found
        words = f"{what}: {status} {answer.text[:300]}"
        if status == 429:
            raise TooMany(words, retry_after(answer.headers.get("retry-after")))
        if status in (408, 425) or status >= 500:
            raise Later(words, retry_after(answer.headers.get("retry-after")))
        if status == 404:
            raise NotThere(words, code_of(found))
        if status == 409:
            raise Later(words)
        raise Refused(words)


def retry_after(value: str | None) -> float | None:
    """Seconds to wait: Retry-After holds a number or a date; nonsense is None, more than an hour an hour."""
    if not value:
        return None
    try:
        found = float(value)
    except ValueError:
        try:
            found = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return min(max(found, 0.0), LONGEST_WAIT) if found == found else None


def code_of(found: Any) -> str:
    """Clerk's code (``errors[0].code``) or Twenty's (``error``)."""
    if not isinstance(found, dict):
        return ""
    errors = found.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return str(errors[0].get("code", ""))
    return str(found.get("error", ""))
