"""The tenant manager's part, played by tests: its calls of Twenty's internal API, direct or through the droplet's SSH."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

# runs in the server's container: the secret stays there
CALL = """
const asked = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
fetch(`http://127.0.0.1:${process.env.NODE_PORT || 3000}/internal/${asked.path}`, {
  method: asked.method,
  headers: { Authorization: `Bearer ${process.env.TWENTYOPS_INTERNAL_SECRET}`, 'Content-Type': 'application/json' },
  body: asked.body === null ? undefined : JSON.stringify(asked.body),
}).then(async (answer) => console.log(JSON.stringify({ status: answer.status, text: await answer.text() })));
"""


class Caller(Protocol):
    """Answers one call below ``/internal/`` with its status and body."""

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]: ...


@dataclass(frozen=True)
class Direct:
    """Over HTTP, where the server's own port can be reached. ``url``: without a path."""

    url: str
    secret: str

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.secret}"}
        answer = httpx.request(method, f"{self.url}/internal/{path}", json=body, headers=headers, timeout=300, trust_env=False)
        return answer.status_code, answer.json() if answer.content else None


@dataclass(frozen=True)
class ThroughSsh:
    """From inside the server's container on the droplet. ``ssh``: the command up to the host's name."""

    ssh: tuple[str, ...]

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        find = "docker ps -q --filter label=com.docker.compose.project=twenty --filter label=com.docker.compose.service=server"
        command = f'docker exec -i "$({find})" node -e {shlex.quote(CALL)}'
        asked = json.dumps({"method": method, "path": path, "body": body})
        done = subprocess.run([*self.ssh, command], input=asked, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise RuntimeError(f"internal API through SSH: exit {done.returncode}: {done.stderr[-800:]}")
        told = json.loads(done.stdout)
        return int(told["status"]), json.loads(told["text"]) if told["text"] else None


@dataclass(frozen=True)
class Tenants:
    """What the tenant manager asks of Twenty (docs/sign-in.md). Anything but success raises."""

    call: Caller

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        status, told = self.call(method, path, body)
        if status >= 300:
            raise RuntimeError(f"{method} /internal/{path}: {status} {str(told)[:500]}")
        return told

    def put(self, organization: str, name: str, owner: dict[str, Any]) -> dict[str, Any]:
        """Create or find the workspace of an organisation."""
        return dict(self._ask("PUT", f"tenants/{organization}", {"name": name, "owner": owner}))

    def get(self, organization: str) -> dict[str, Any] | None:
        status, told = self.call("GET", f"tenants/{organization}")
        return dict(told) if status == 200 else None

    def suspend(self, organization: str) -> None:
        self._ask("POST", f"tenants/{organization}/suspend")

    def resume(self, organization: str) -> None:
        self._ask("POST", f"tenants/{organization}/resume")

    def add(self, organization: str, person: dict[str, Any], role: str = "member") -> dict[str, Any]:
        return dict(self._ask("PUT", f"tenants/{organization}/members/{person['clerkUserId']}", {"person": person, "role": role}))

    def remove(self, organization: str, clerk_user: str) -> dict[str, Any]:
        return dict(self._ask("DELETE", f"tenants/{organization}/members/{clerk_user}"))

    def token(self, organization: str) -> str:
        """Access token of an administrator of the workspace."""
        return str(self._ask("POST", f"tenants/{organization}/token", {"ttlSeconds": 600})["token"])

    def data_model(self, organization: str, mode: str) -> dict[str, Any]:
        """The report of the data model on the workspace; ``mode``: plan, apply or verify."""
        return dict(self._ask("POST", f"tenants/{organization}/data-model", {"mode": mode}))

    def change_person(self, clerk_user: str, person: dict[str, Any]) -> dict[str, Any]:
        return dict(self._ask("PATCH", f"users/{clerk_user}", person))
