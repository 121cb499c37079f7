"""What an image registry says: is the login good, which digest has a tag. Source: OCI distribution specification 1.1.

Asked from the control machine, so that a wrong password or a missing image is known before any host changes.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

import httpx

MANIFESTS = ", ".join(
    [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ]
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
HUB = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}


class RegistryError(Exception):
    """The registry did not do what was asked; the text says which registry and what to do."""


@dataclass(frozen=True)
class ImageRef:
    """``registry/repository:tag`` or ``registry/repository@digest`` in its parts."""

    registry: str
    repository: str
    tag: str
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> ImageRef:
        """Split a full reference; names without a registry are Docker Hub's. ``ValueError`` where it is none."""
        name, _, digest = text.partition("@")
        head, slash, rest = name.partition("/")
        if not slash or not ("." in head or ":" in head or head == "localhost"):
            head, rest = "docker.io", name if slash else f"library/{name}"
        repository, _, tag = rest.partition(":")
        if not re.fullmatch(r"[a-z0-9]+([._/-]+[a-z0-9]+)*", repository) or ("@" in text and not DIGEST.fullmatch(digest)):
            raise ValueError(f"{text} is no image reference; write registry/name:tag or registry/name@sha256:(64 hex digits)")
        return cls(head, repository, tag or "latest", digest)

    @property
    def name(self) -> str:
        """Without tag and digest."""
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


class Registry:
    """One registry with its login (Basic, or Bearer tokens as Docker Hub gives them)."""

    def __init__(self, address: str, username: str = "", password: str = "", ca_file: Path | None = None) -> None:
        self.address = address
        self._auth = (username, password) if username else None
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        self._client = httpx.Client(base_url=f"https://{HUB.get(address, address)}", verify=context, timeout=20.0)

    def check_login(self) -> None:
        """Ask for ``/v2/`` with the login; ``RegistryError`` where the registry is away or refuses it."""
        answer = self._request("GET", "/v2/", scope=None)
        if answer.status_code in (401, 403):
            raise RegistryError(f"{self.address} refuses this user name and password")
        if answer.status_code != 200:
            raise RegistryError(f"{self.address} answered {answer.status_code} to /v2/: not a registry?")

    def digest(self, repository: str, tag: str, *, ours: bool = False) -> str | None:
        """Digest (``sha256:...``) that a tag names now, ``None`` where there is no such tag.

        ``ours``: we push there, so a repository that may not be read, but may be pushed to, is one that the first push will make: Docker
        Hub answers 401 for a repository that is not there (distribution/distribution issue 1291).
        """
        answer = self._request(
            "HEAD", f"/v2/{repository}/manifests/{tag}", scope=f"repository:{repository}:pull", accept=MANIFESTS
        )
        if answer.status_code == 404:
            return None
        if answer.status_code in (401, 403):
            if ours and self.may_push(repository):
                return None
            verb = "read or push" if ours else "read"
            raise RegistryError(f"{self.address} does not let this user {verb} {repository}")
        if answer.status_code != 200 or "docker-content-digest" not in answer.headers:
            raise RegistryError(f"{self.address} answered {answer.status_code} when asked for {repository}:{tag}")
        digest = str(answer.headers["docker-content-digest"])
        # it goes into commands and SQL, and names what is run
        if not DIGEST.fullmatch(digest):
            raise RegistryError(f"{self.address} answered no digest for {repository}:{tag}: {digest[:80]!r}")
        return digest

    def may_push(self, repository: str) -> bool:
        """Whether this login may push there, by beginning an upload and giving it up, as go-containerregistry does."""
        scope = f"repository:{repository}:pull,push"
        answer = self._request("POST", f"/v2/{repository}/blobs/uploads/", scope)
        if answer.status_code != 202:
            return False
        if place := answer.headers.get("location"):
            url = self._client.base_url.join(place)
            if url.host == self._client.base_url.host:  # the login goes nowhere else; an upload that is left ends by itself
                self._request("DELETE", str(url), scope)
        return True

    def _request(self, method: str, path: str, scope: str | None, accept: str = "*/*") -> httpx.Response:
        headers = {"accept": accept}
        try:
            answer = self._client.request(method, path, headers=headers)
            if answer.status_code == 401 and (challenge := answer.headers.get("www-authenticate")):
                kind, _, rest = challenge.partition(" ")
                if kind.lower() == "bearer":
                    headers["authorization"] = f"Bearer {self._token(rest, scope)}"
                    answer = self._client.request(method, path, headers=headers)
                elif self._auth:
                    answer = self._client.request(method, path, headers=headers, auth=self._auth)
        except httpx.HTTPError as error:
            raise RegistryError(f"{self.address} cannot be reached ({error or type(error).__name__})") from error
        self._refuse_limit(answer)
        return answer

    def _refuse_limit(self, answer: httpx.Response) -> None:
        if answer.status_code == 429:
            after = answer.headers.get("retry-after", "")
            when = f"in {after} s" if after.isdigit() else "in some hours"
            raise RegistryError(f"{self.address} answers 429, too many requests of this user or address: try again {when}")

    def _token(self, challenge: str, scope: str | None) -> str:
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        query = {"service": fields.get("service", "")} | ({"scope": scope} if scope else {})
        answer = self._client.get(fields["realm"], params=query, auth=self._auth)
        self._refuse_limit(answer)
        if answer.status_code != 200:
            raise RegistryError(f"{self.address} refuses this user name and password")
        body = answer.json()
        return str(body.get("token") or body.get("access_token"))
