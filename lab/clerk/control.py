"""Driving a running emulator from a test: one method for each thing that the control interface can do."""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Any, Self

import httpx

from lab.command import wait_until
from lab.identity import LabError

Json = dict[str, Any]
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the emulator speaks http: loading certificates for it takes longer than a test


class Control:
    """``Control(state.clerk.admin, state.clerk.admin_token)``. A refusal of the emulator raises LabError with its words."""

    def __init__(self, address: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=address, headers=headers, timeout=30, trust_env=False, verify=NO_TLS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.close()

    def _call(self, method: str, path: str, body: Json | None = None, query: dict[str, str] | None = None) -> Any:
        answer = self._http.request(method, path, json=body, params=query)
        if not answer.is_success:
            raise LabError(f"Clerk emulator: {method} {path}: {answer.status_code} {answer.text[:400]}")
        return answer.json()

    # --- instance ---

    def overview(self) -> Json:
        """Counts, settings, endpoint, faults, disturbances, id and PEM of the signing key."""
        found: Json = self._call("GET", "/state")
        return found

    def settings(self, **changes: Any) -> Json:
        """Change how the instance behaves (lab.clerk.model.Settings). Returns all settings."""
        found: Json = self._call("PATCH", "/settings", changes)
        return found

    def seed(self, users: list[Json] | None = None, organizations: list[Json] | None = None, *, quiet: bool = False) -> Json:
        """Make people ``{email, first_name, last_name, verified}`` and organisations ``{name, slug, members: {email: role}}``.

        Returns ``{users: {email: id}, organizations: {name: id}}``.
        """
        body = {"users": users or [], "organizations": organizations or [], "quiet": quiet}
        found: Json = self._call("POST", "/seed", body)
        return found

    def reset(self) -> None:
        self._call("POST", "/reset")

    # --- keys, tokens, sessions ---

    def rotate_keys(self, *, drop_old: bool = False) -> str:
        """Sign with a new key. Returns its id."""
        return str(self._call("POST", "/keys", {"drop_old": drop_old})["kid"])

    def mint(self, **wanted: Any) -> Json:
        """A token without a browser: user_id or session_id, organization_id, origin, flaw, version, lifetime, claims, header.

        Returns ``{jwt, claims, session_id}``; flaws are those of lab.clerk.tokens.FLAWS.
        """
        found: Json = self._call("POST", "/tokens", wanted)
        return found

    def revoke(self, **which: str) -> list[str]:
        """Revoke sessions: session_id, user_id, or all. Returns their ids."""
        found: list[str] = self._call("POST", "/sessions/revoke", dict(which))["revoked"]
        return found

    def change(self, user_id: str, **what: Any) -> None:
        """banned or locked (true, false), deleted=True, left=ORGANISATION: what an admin does to a person at Clerk."""
        self._call("PATCH", f"/users/{user_id}", dict(what))

    def forget_browsers(self) -> None:
        self._call("DELETE", "/browsers")

    # --- failures ---

    def fault(self, kind: str, part: str = "all", **more: Any) -> None:
        """Let something fail (lab.clerk.faults.Fault): status, hang, slow, cut, nonsense."""
        self._call("POST", "/faults", {"kind": kind, "part": part, **more})

    def heal(self) -> None:
        self._call("DELETE", "/faults")

    def requests(self) -> list[Json]:
        """What was asked since the last ``drop_requests``: ``{at, method, path, status, origin}``."""
        found: list[Json] = self._call("GET", "/requests")
        return found

    def drop_requests(self) -> None:
        self._call("DELETE", "/requests")

    # --- webhooks ---

    def endpoint(self, **changes: Any) -> Json:
        """Change where webhooks go and how (lab.clerk.webhooks.Endpoint)."""
        found: Json = self._call("PATCH", "/webhooks/endpoint", changes)
        return found

    def disturb(self, kind: str, **more: Any) -> None:
        """Disturb messages (lab.clerk.webhooks.Disturbance): delay, drop, repeat, reorder."""
        self._call("POST", "/webhooks/disturbances", {"kind": kind, **more})

    def calm(self) -> None:
        self._call("DELETE", "/webhooks/disturbances")

    def messages(self, event: str = "") -> list[Json]:
        """Messages with their state and attempts, oldest first."""
        found: list[Json] = self._call("GET", "/webhooks/messages", None, {"event": event} if event else {})
        return found

    def send_webhook(self, event: str, data: Json, *, flaw: str | None = None, message_id: str | None = None) -> Json:
        """One delivery by hand, without retries. Returns ``{id, status, error, ...}``."""
        found: Json = self._call(
            "POST", "/webhooks/messages", {"event": event, "data": data, "flaw": flaw, "message_id": message_id}
        )
        return found

    def resend(self, message_id: str) -> Json:
        found: Json = self._call("POST", f"/webhooks/messages/{message_id}/resend")
        return found

    def recover(self) -> list[str]:
        """Send again what failed or was dropped. Returns the messages' ids."""
        found: list[str] = self._call("POST", "/webhooks/recover")["messages"]
        return found

    def rotate_webhook_secret(self) -> str:
        return str(self._call("POST", "/webhooks/secret", {})["secret"])

    def wait_until_delivered(self, seconds: float = 30) -> None:
        """Wait until no message is on its way."""
        wait_until(lambda: self.overview()["webhooks_idle"], seconds, lambda: f"still on their way: {self._waiting()}")

    def _waiting(self) -> list[str]:
        return [f"{m['event']} {m['id']}" for m in self.messages() if m["state"] == "waiting"]
