"""The emulator in a lab: one process on the gateway address, which browsers, machines and tests reach."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from lab import packages, process, state
from lab.clerk import addresses, bundle, signing
from lab.command import wait_until
from lab.identity import PROJECT, Identity, LabError
from lab.network import Network

ROLE = "clerk"
PORT = 4400
SPEED = 60  # Svix's seconds per second: the retries of a day and a half are over in half an hour
RUN = f"import sys; sys.path.insert(0, {str(PROJECT)!r}); from lab.clerk.__main__ import program; sys.exit(program())"


class Clerk:
    """Addresses, secrets and life of the emulator. What it holds stays until the lab goes, also when it is started again."""

    def __init__(self, identity: Identity, network: Network) -> None:
        self.identity = identity
        self.directory = identity.runtime / "clerk"
        self.listen = f"{network.gateway}:{PORT}"
        self.address = f"http://{self.listen}"

    @property
    def secrets(self) -> dict[str, str]:
        """``secret_key``, ``webhook_secret`` and ``admin_token``: made at the first start, kept for the life of the lab."""
        file = self.directory / "secrets.json"
        if not file.exists():
            made = {
                "secret_key": f"sk_test_{secrets.token_urlsafe(32)}",
                "webhook_secret": signing.new_secret(),
                "admin_token": secrets.token_urlsafe(24),
            }
            state.write_private(file, json.dumps(made))
        found: dict[str, str] = json.loads(file.read_text())
        return found

    def settings(self, *, path: str = "") -> dict[str, str]:
        """What a page and a server need to use this lab's instance: see ``lab.clerk.settings``."""
        return addresses.settings(self.identity.name, self.address, path=path)

    def state(self) -> state.ClerkState:
        """What the lab tells about it."""
        found = self.settings()
        return state.ClerkState(
            frontend=self.address,
            backend=found["apiUrl"],
            admin=f"{self.address}{addresses.ADMIN}",
            issuer=found["issuer"],
            jwks=found["jwksUrl"],
            script=found["clerkJSUrl"],
            publishable_key=found["publishableKey"],
            **self.secrets,
        )

    def prepare(self, say: Callable[[str], None]) -> None:
        """Have clerk-js in the cache; npm, which brings it, is installed where it is missing."""
        if not bundle.directory().exists():
            if shutil.which("npm") is None:
                packages.install(["npm"], say)
            say(f"fetching {bundle.PACKAGE} {bundle.VERSION} from npm")
            bundle.ensure()

    def start(self, webhook_url: str, home_url: str) -> None:
        """Run the emulator until it answers; one that runs and answers is left alone."""
        if self.running() and self.answers():
            return
        self.stop()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        argv = [sys.executable, "-c", RUN, "--listen", self.listen, "--name", self.identity.name]
        argv += ["--state", str(self.directory / "instance.json"), "--secrets", str(self._secrets_file())]
        argv += ["--webhook-url", webhook_url, "--webhook-speed", str(SPEED), "--home-url", home_url]
        argv += ["--script", str(bundle.ensure())]
        process.spawn(self.identity, ROLE, argv, self.directory)
        wait_until(self._ready, 30, lambda: f"Clerk emulator at {self.address}:\n  {process.tail(self.directory)}")

    def _secrets_file(self) -> Path:
        assert self.secrets  # noqa: S101 - made now
        return self.directory / "secrets.json"

    def _ready(self) -> bool:
        if not self.running():
            raise LabError(f"Clerk emulator ended at once:\n  {process.tail(self.directory)}")
        return self.answers()

    def running(self) -> bool:
        return process.running(self.identity, ROLE, self.directory) is not None

    def answers(self) -> bool:
        """Whether it serves its key set."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.address}/.well-known/jwks.json", timeout=5) as answer:
                return answer.status == 200 and bool(json.load(answer)["keys"])
        except (OSError, urllib.error.URLError, ValueError, KeyError):
            return False

    def stop(self) -> None:
        """End the emulator; what it holds stays until the lab goes."""
        process.end(self.identity, ROLE, self.directory)
