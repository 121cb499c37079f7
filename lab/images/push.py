"""An image folder into a registry, by the registry HTTP API (python-dxf): only what is missing travels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import requests
from dxf import DXF, DXFBase
from dxf.exceptions import DXFError, DXFUnauthorizedError

from lab.images import oci

TIMEOUT = 120.0  # seconds for one request; a blob of 200 MB takes about 2


class Registry(Protocol):
    """A registry with TLS and login: ``address`` is ``host:port``, ``ca_file`` the certificate that signs it."""

    @property
    def address(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def password(self) -> str: ...
    @property
    def ca_file(self) -> str | Path: ...


class PushError(RuntimeError):
    """The registry refused or did not answer; the message says which one and why."""


def _open(registry: Registry, repository: str) -> DXF:
    if not Path(registry.ca_file).is_file():
        raise PushError(f"registry {registry.address}: its CA file {registry.ca_file} is missing; is the lab's registry up?")

    def log_in(client: DXFBase, answer: requests.Response) -> None:
        client.authenticate(registry.username, registry.password, response=answer)

    return DXF(registry.address, repository, auth=log_in, tlsverify=str(registry.ca_file), timeout=TIMEOUT)


def _explain(registry: Registry, failed: Exception) -> PushError:
    answer = getattr(failed, "response", None)
    status = getattr(answer, "status_code", None)
    if status in (401, 403) or isinstance(failed, DXFUnauthorizedError):
        return PushError(f"registry {registry.address} refused the login of {registry.username}; check its htpasswd file")
    if isinstance(failed, requests.exceptions.SSLError):
        return PushError(f"registry {registry.address}: its certificate is not signed by {registry.ca_file}: {failed}")
    if isinstance(failed, requests.exceptions.ConnectionError):
        return PushError(f"registry {registry.address} does not answer; start it first ({failed})")
    text = getattr(answer, "text", "")[:300]
    return PushError(f"registry {registry.address}: {failed} {text}")


def push(registry: Registry, image: Path, repository: str, tag: str) -> bool:
    """Make ``repository:tag`` the image in a folder of ``build.Builder.image``; True when something was uploaded."""
    manifest = (image / "manifest.json").read_bytes()
    client = _open(registry, repository)
    try:
        if _held(client, tag) == oci.sha256(manifest):
            return False
        document = json.loads(manifest)
        files = [Path(path) for path in json.loads((image / "layers.json").read_text())]
        for entry, path in zip(document["layers"], files, strict=True):
            with path.open("rb") as content:
                client.push_blob(data=content, digest=entry["digest"])
        config = (image / "config.json").read_bytes()
        client.push_blob(data=iter([config]), digest=document["config"]["digest"])
        client.set_manifest(tag, manifest.decode())
    except (requests.exceptions.RequestException, DXFError) as failed:
        raise _explain(registry, failed) from failed
    return True


def _held(client: DXF, tag: str) -> str:
    """Digest that a tag has in the registry; empty when there is none."""
    try:
        digest, _ = client.head_manifest_and_response(tag)
    except requests.exceptions.HTTPError as refused:
        if refused.response is not None and refused.response.status_code == 404:
            return ""
        raise
    return str(digest)
