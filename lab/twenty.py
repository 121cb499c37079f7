"""A Twenty that runs, reached in two ways: over HTTP as anybody, and by a shell where its server runs, for what only it may do."""

from __future__ import annotations

import json
import secrets
import shlex
import string
import subprocess
from dataclasses import dataclass, field
from typing import Any

from lab.identity import LabError

# runs beside the server: the secret stays there
CALL = """
const [method, path, body] = JSON.parse(process.argv[1]);
fetch(`http://127.0.0.1:${process.env.NODE_PORT || 3000}/internal/${path}`, {
  method,
  headers: { Authorization: `Bearer ${process.env.TWENTYOPS_INTERNAL_SECRET}`, 'Content-Type': 'application/json' },
  body: body === null ? undefined : JSON.stringify(body),
}).then(async (answer) => console.log(JSON.stringify({ status: answer.status, text: await answer.text() })));
"""
# the most memory that a command of node's ever held, on the last line of its standard error
PEAK = "process.on('exit', () => process.stderr.write(`peak ${process.resourceUsage().maxRSS} KiB\\n`));"
MODEL = "scripts/migrate-schema.ts"
OF_THE_DROPLET = "docker exec -i twenty-server-1 sh"
WITHOUT_A_SERVER = (
    "docker compose --file /opt/twenty/current/compose.yaml --profile once run --rm -T --no-deps --entrypoint sh migrate"
)


@dataclass(frozen=True)
class Tenant:
    """A workspace made for one measurement or test; ``organization`` is what the internal API calls it by."""

    organization: str
    workspace: str


def _fresh(prefix: str) -> str:
    return f"{prefix}_" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(27))


@dataclass(frozen=True)
class Twenty:
    """One running server.

    ``shell``: a command that starts ``sh`` in the server's directory with the server's variables and reads a script from its
    standard input, as ``docker exec -i twenty-server-1 sh``. ``process_shell``: the same where a second process of the server's
    size has room; empty: the same place.
    """

    shell: tuple[str, ...]
    process_shell: tuple[str, ...] = field(default=())

    @classmethod
    def behind(cls, ssh: tuple[str, ...]) -> Twenty:
        """The one on a droplet; ``ssh`` is the command up to the host's name."""
        return cls((*ssh, OF_THE_DROPLET), (*ssh, WITHOUT_A_SERVER))

    def run(self, script: str, timeout: float = 900, *, through: str = "") -> subprocess.CompletedProcess[str]:
        """Run a shell script beside the server to its end, whatever its exit code."""
        shell = self.process_shell if through == "process" and self.process_shell else self.shell
        return subprocess.run(shell, input=script, capture_output=True, text=True, timeout=timeout)

    def internal(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the internal API (docs/sign-in.md); anything but success is a LabError."""
        asked = json.dumps([method, path, body])
        done = self.run(f"exec node -e {shlex.quote(CALL)} {shlex.quote(asked)}", 120)
        if done.returncode != 0:
            raise LabError(f"internal API: exit {done.returncode}: {done.stderr[-800:]}")
        told = json.loads(done.stdout)
        if told["status"] >= 300:
            raise LabError(f"{method} /internal/{path}: {told['status']} {told['text'][:500]}")
        try:
            return json.loads(told["text"]) if told["text"] else None
        except ValueError:
            raise LabError(f"{method} /internal/{path}: {told['status']} and a page: that server has no such address") from None

    def tenant(self, name: str) -> Tenant:
        """A new workspace with an owner of its own."""
        organization = _fresh("org")
        owner = {
            "clerkUserId": _fresh("user"), "email": f"p{secrets.token_hex(8)}@people.test", "emailVerified": True,
            "firstName": "Noura", "lastName": "Salem",
        }  # fmt: skip
        made = self.internal("PUT", f"tenants/{organization}", {"name": name, "owner": owner})
        return Tenant(organization, str(made["workspaceId"]))

    def token(self, tenant: Tenant) -> str:
        """Access token of an administrator of the workspace, good for ten minutes."""
        return str(self.internal("POST", f"tenants/{tenant.organization}/token", {"ttlSeconds": 600})["token"])

    @staticmethod
    def command(*arguments: str) -> str:
        """migrate-schema.ts as a script for the shell, telling its peak of memory."""
        return (
            f"printf %s {shlex.quote(PEAK)} >/tmp/twentyops-peak.cjs && "
            f"exec node --require /tmp/twentyops-peak.cjs {MODEL} {shlex.join(arguments)} </dev/null"
        )

    def server_memory_kib(self) -> dict[str, int]:
        """Resident memory of the server's process in KiB: ``{"VmHWM": the most since its start, "VmRSS": now}``."""
        script = """for found in /proc/[0-9]*; do
          [ "$(tr '\\0' ' ' <$found/cmdline 2>/dev/null)" = "node dist/src/main " ] || continue
          tr '\\0' '\\n' <$found/environ 2>/dev/null | grep -qx "NODE_PORT=$NODE_PORT" || continue
          grep -E 'VmHWM|VmRSS' $found/status; done"""
        lines = [line.split() for line in self.run(script, 60).stdout.splitlines()]
        if len(lines) != 2:
            raise LabError(f"{len(lines) // 2} servers found by their process, one was looked for")
        return {name.rstrip(":"): int(number) for name, number, _ in lines}
