"""Where a secret's value could show: output, process lists, files, images. Values are searched for, never printed."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from lab.machine import Machine
from lab.world import Lab
from tests.rehearsal.driver import Target

SAMPLE_SECONDS = 0.25
CHUNK = 1 << 20


def control_machine_secrets(target: Target) -> dict[str, str]:
    """``{what it is: value}`` of what the control machine knows before a deploy."""
    s = target.settings()
    key = target.lab.ssh_key.read_text().splitlines()[1:-1]
    login = f"{s['REGISTRY_USERNAME']}:{s['REGISTRY_PASSWORD']}".encode()
    found = {name: s[name] for name in ("REGISTRY_PASSWORD", "CLERK_SECRET_KEY", "CLERK_WEBHOOK_SECRET")}
    found["registry login in base64"] = base64.b64encode(login).decode()
    return found | {f"SSH private key, line {n}": line for n, line in enumerate(key[1:], 2) if len(line) > 30}


def droplet_secrets(droplet: Machine) -> dict[str, str]:
    """``{name: value}`` of what the droplet made for itself."""
    text = droplet.ssh('for f in /opt/twenty/secrets/*; do echo "${f##*/} $(cat "$f")"; done').stdout
    found = {f"generated {name}": value for name, value in (line.split(" ") for line in text.splitlines())}
    assert len(found) >= 3
    assert all(len(value) >= 32 for value in found.values())
    return found


def shown(secrets: Mapping[str, str], texts: Iterable[str]) -> dict[str, str]:
    """``{secret's name: where, its value struck out}`` for those that appear in a text."""
    found = {}
    for text in texts:
        for name, value in secrets.items():
            at = text.find(value)
            if at >= 0:
                found[name] = text[max(0, at - 160) : at + len(value) + 40].replace(value, "<HERE>")
    return found


class Processes:
    """Every command line of this machine and of all lab machines in it (they share the kernel), sampled until left."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.samples = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self.samples += 1
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    try:
                        line = (entry / "cmdline").read_bytes()
                    except OSError:
                        continue
                    self.seen.add(line.replace(b"\0", b" ").decode(errors="replace"))

    def __enter__(self) -> Processes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def files_with(machine: Machine, secrets: Mapping[str, str]) -> dict[str, str]:
    """``{path: mode and owner}`` of the files of a machine that hold one of the secrets.

    Left out: Docker's own directories, which only root may enter, and what runc passes to itself while a health check starts.
    """
    places = (
        "/etc /opt /root /home /srv /tmp /var/tmp /run /usr/local /var/log /var/cache /var/spool /var/lib/twentyops /var/backups"
    )
    grep = f"grep -rlIasF -f /dev/stdin -D skip --exclude-dir=archives --exclude-dir=io.containerd.runtime.v2.task --exclude='runc-process*' {places}"
    stat = "while read -r path; do stat -c '%a %U %n' \"$path\"; done"
    lines = machine.ssh(f"{grep} | {stat}", input="\n".join(secrets.values())).stdout.splitlines()
    return {path: f"{mode} {owner}" for mode, owner, path in (line.split(" ", 2) for line in lines)}


def in_docker(machine: Machine, secrets: Mapping[str, str]) -> dict[str, str]:
    """What Docker tells of images and of containers, the environment of containers left out: that is where secrets belong."""
    commands = [
        "docker images --quiet --no-trunc | sort -u | xargs --no-run-if-empty docker image inspect",
        "for i in $(docker images --quiet --no-trunc | sort -u); do docker history --no-trunc $i; done",
        "docker ps --all --no-trunc",
    ]
    texts = [machine.ssh(command).stdout for command in commands]
    for container in json.loads(machine.ssh("docker ps --all --quiet | xargs --no-run-if-empty docker inspect").stdout or "[]"):
        del container["Config"]["Env"]
        texts.append(json.dumps(container))
    return shown(secrets, texts)


def in_layers(lab: Lab, image_name: str, secrets: Mapping[str, str]) -> tuple[int, dict[str, str]]:
    """(bytes looked at, ``{secret: blob}``) over every blob of an image in the registry, layers unpacked, base images left out."""
    repositories = lab.registry.storage / "docker/registry/v2/repositories"

    def blobs(name: str) -> set[str]:
        return {path.parent.name for path in (repositories / name).rglob("link") if path.parent.name != "current"}

    bases = set().union(*(blobs(f"library/{base.name}") for base in (repositories / "library").iterdir()))
    size, found = 0, dict[str, str]()
    values = {name: value.encode() for name, value in secrets.items()}
    overlap = max(map(len, values.values()))
    for digest in sorted(blobs(image_name) - bases):
        blob = lab.registry.storage / "docker/registry/v2/blobs/sha256" / digest[:2] / digest / "data"
        if not blob.exists():
            continue
        with blob.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        before = b""
        with gzip.open(blob) if packed else blob.open("rb") as data:
            while chunk := data.read(CHUNK):
                size += len(chunk)
                window = before + chunk
                found |= {name: digest for name, value in values.items() if value in window}
                before = chunk[-overlap:]
    return size, found
