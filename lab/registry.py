"""Container registry of a lab: Debian's docker-registry on the gateway address, TLS by the lab's CA, login by password."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import bcrypt

from lab import host, process, tls
from lab.command import wait_until
from lab.identity import Identity, LabError
from lab.network import Network

ROLE = "registry"
PORT = 5000
USERNAME = "rehearsal"


class Registry:
    """Address, login and life of the registry. Push images as ``{address}/NAME:TAG`` with ``ca_file`` trusted."""

    username = USERNAME

    def __init__(self, identity: Identity, network: Network) -> None:
        self.identity = identity
        self.directory = identity.runtime / "registry"
        self.tls_directory = identity.runtime / "tls"
        self.gateway = network.gateway
        self.address = f"{network.gateway}:{PORT}"
        self.url = f"https://{self.address}"
        self.ca_file = self.tls_directory / "ca.crt"

    @property
    def storage(self) -> Path:
        return self.directory / "storage"

    @property
    def password(self) -> str:
        """Made at the first start, kept for the life of the lab."""
        file = self.directory / "password"
        if not file.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(18))
        return file.read_text()

    def config(self, certificate: Path, key: Path, htpasswd: Path) -> str:
        """The registry's configuration (JSON is YAML)."""
        return json.dumps(
            {
                "version": 0.1,
                "log": {"level": "warn", "accesslog": {"disabled": True}},
                "storage": {"filesystem": {"rootdirectory": str(self.storage)}, "delete": {"enabled": True}},
                "http": {"addr": self.address, "tls": {"certificate": str(certificate), "key": str(key)}},
                "auth": {"htpasswd": {"realm": "lab registry", "path": str(htpasswd)}},
            },
            indent=1,
        )

    def start(self, say: Callable[[str], None]) -> None:
        """Run the registry until it answers a login; one that runs and answers is left alone."""
        if self.running() and self.answers():
            return
        self.stop()
        tls.ensure_ca(self.tls_directory, f"CA of lab {self.identity.name}")
        certificate, key = tls.ensure_certificate(self.tls_directory, "registry", [self.gateway])
        htpasswd = self.directory / "htpasswd"
        self.storage.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        hashed = bcrypt.hashpw(self.password.encode(), bcrypt.gensalt(rounds=4)).decode()
        htpasswd.write_text(f"{self.username}:{hashed}\n")
        file = self.directory / "config.yml"
        file.write_text(self.config(certificate, key, htpasswd))
        process.spawn(self.identity, ROLE, [host.registry_program(say), "serve", str(file)], self.directory)
        wait_until(self._ready, 20, lambda: f"registry at {self.address}:\n  {process.tail(self.directory)}")

    def _ready(self) -> bool:
        if not self.running():
            raise LabError(f"registry ended at once:\n  {process.tail(self.directory)}")
        return self.answers()

    def running(self) -> bool:
        return process.running(self.identity, ROLE, self.directory) is not None

    def answers(self) -> bool:
        """Whether it accepts our login."""
        try:
            return self.request("GET", "/v2/")[0] == 200
        except OSError:
            return False

    def stop(self) -> None:
        """End the registry; its images stay until the lab goes."""
        process.end(self.identity, ROLE, self.directory)

    def request(self, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        """One logged-in request: (status, headers with lower-case names, body). OSError when nobody answers."""
        login = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        request = urllib.request.Request(f"{self.url}{path}", method=method, headers=headers or {})  # noqa: S310
        request.add_header("Authorization", f"Basic {login}")
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(self.ca_file))),
        )
        try:
            with opener.open(request, timeout=10) as answer:
                return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()

    def repositories(self) -> list[str]:
        """Names of the repositories that hold images."""
        _, _, body = self.request("GET", "/v2/_catalog?n=1000")
        names: list[str] = json.loads(body)["repositories"]
        return names
