"""SSH keys and agents for tests: made here, gone with the test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def make_key(directory: Path, passphrase: str = "", kind: str = "ed25519") -> Path:
    """A new private key, its public half beside it; blanks in its name, as people have them."""
    file = directory / f"a {kind} key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "x", "-f", str(file)], check=True)
    return file


def public(key: Path) -> str:
    """The line for authorized_keys."""
    return key.with_name(f"{key.name}.pub").read_text().strip()


@contextmanager
def agent(directory: Path) -> Iterator[str]:
    """An SSH agent of its own; gives SSH_AUTH_SOCK."""
    socket = directory / "agent.sock"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            process.stdout.readline()  # it says its socket when it listens
            yield str(socket)
        finally:
            process.terminate()


def add(socket: str, key: Path, passphrase: str) -> None:
    """Give a key with a passphrase to an agent."""
    ask = key.parent / "ask"
    ask.write_text(f"#!/bin/sh\necho '{passphrase}'\n")
    ask.chmod(0o700)
    environ = {**os.environ, "SSH_AUTH_SOCK": socket, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(["ssh-add", "-q", str(key)], env=environ, check=True, stdin=subprocess.DEVNULL)
