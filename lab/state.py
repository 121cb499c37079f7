"""What a running lab tells about itself, so that other tools can drive it: ``.lab/state.json`` (``.lab/NAME/`` for others)."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab.identity import Identity, LabError


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkState(_Part):
    """Bridge of the lab; the gateway address is this machine's end of it."""

    bridge: str
    cidr: str
    gateway: str


class MachineState(_Part):
    """How to reach a machine by SSH; ``host_key`` as in known_hosts, without the host; ``os`` is a Debian code name."""

    host: str
    user: str
    port: int
    host_key: str
    os: str


class SshState(_Part):
    """Absolute paths: private key, known hosts, and a configuration for ``ssh -F`` with a host entry per machine."""

    key: str
    known_hosts: str
    config: str


class RegistryState(_Part):
    """Login of the registry; ``address`` is host:port, ``ca_file`` an absolute path."""

    address: str
    username: str
    password: str
    ca_file: str


class ClerkState(_Part):
    """The lab's Clerk instance: addresses (no slash at the end), and what only its operator knows."""

    frontend: str
    backend: str
    admin: str
    issuer: str
    jwks: str
    script: str
    publishable_key: str
    secret_key: str
    webhook_secret: str
    admin_token: str


class State(_Part):
    """Everything about one lab. The file holds secrets: mode 0600."""

    name: str
    id: str
    network: NetworkState
    machines: dict[str, MachineState]
    ssh: SshState
    public_url: str
    registry: RegistryState
    clerk: ClerkState
    images: dict[str, str] = Field(default_factory=dict)
    emulators: dict[str, str] = Field(default_factory=dict)
    settings_file: str
    runtime: str
    started_at: str


def path(identity: Identity) -> Path:
    return identity.state_dir / "state.json"


def write_private(file: Path, text: str) -> None:
    """Replace a file as a whole, readable by its owner only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.rename(file)


def save(identity: Identity, state: State) -> None:
    write_private(path(identity), state.model_dump_json(indent=2) + "\n")


def load(identity: Identity) -> State:
    """The state that the lab wrote; LabError when there is none or it cannot be read."""
    file = path(identity)
    if not file.exists():
        raise LabError(f"lab {identity.name} is not up ({file} is not there): python -m lab up --name {identity.name}")
    try:
        return State.model_validate_json(file.read_text())
    except ValidationError as error:
        raise LabError(
            f"{file} is damaged: {error.error_count()} fields; python -m lab up --name {identity.name} writes it anew"
        ) from error
