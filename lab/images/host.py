"""What the outer machine is configured for: mirrors, registries and certificates. None of them is named in a file."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from lab import packages
from lab.identity import LabError

CA_DIRECTORY = Path("/usr/local/share/ca-certificates")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PROGRAMS = {"mmdebstrap": "mmdebstrap", "unshare": "util-linux", "mount": "mount", "npm": "npm"}


class HostError(LabError):
    """The outer machine lacks what image building needs; the message names it and the remedy."""


@dataclass(frozen=True)
class Host:
    """Facts of the outer machine that end up in an image, and so belong to its key.

    ``sources``: one-line apt sources by suite. ``apt_options``: apt.conf lines. ``python_index``: empty where pip is not told of
    one. ``ca_digest``: hash over the extra CA certificates. Source: apt's, npm's, pip's and the CA store's configuration.
    """

    architecture: str
    sources: dict[str, tuple[str, ...]]
    apt_options: tuple[str, ...]
    npm_registry: str
    python_index: str
    ca_digest: str


def _output(*command: str) -> str:
    """Standard output of a program on this machine, stripped; ``HostError`` when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HostError(f"`{' '.join(command)}` failed ({done.returncode}): {done.stderr.strip()[-400:]}")
    return done.stdout.strip()


def ca_certificates() -> list[Path]:
    """Extra CA certificates of this machine (a proxy that re-signs TLS), sorted."""
    return sorted(CA_DIRECTORY.rglob("*.crt"))


def _ca_digest() -> str:
    digest = hashlib.sha256()
    for path in ca_certificates():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _answers(url: str) -> bool:
    """True when the address exists; a refusal (4xx) is False, a network failure is an error."""
    try:
        with urlopen(Request(url, method="HEAD"), timeout=20):  # noqa: S310 - http(s) taken from apt's own sources
            return True
    except HTTPError as refused:
        if 400 <= refused.code < 500:
            return False
        raise HostError(f"{url} answered {refused.code}; the Debian mirror of this machine is not usable") from refused
    except URLError as failed:
        raise HostError(f"{url} is not reachable ({failed.reason}); check apt's sources on this machine") from failed


def _mirrors() -> list[str]:
    """Debian mirrors in apt's sources, the main archive first, each without a trailing slash."""
    listed = _output("apt-get", "indextargets", "--format", "$(REPO_URI)").split()
    seen = dict.fromkeys(uri.rstrip("/") for uri in listed)
    mirrors = sorted((u for u in seen if u.startswith(("http://", "https://"))), key=lambda uri: "security" in uri)
    if not mirrors:
        raise HostError("apt has no http(s) source on this machine; run `apt-get update` with a Debian mirror in its sources")
    return mirrors


def _sources(mirrors: list[str], suite: str) -> tuple[str, ...]:
    """Apt lines for a suite: archive, updates, security; each looked for on the mirrors that this machine uses."""
    siblings = [f"{uri.rsplit('/debian', 1)[0]}/debian-security" for uri in mirrors if uri.endswith("/debian")]
    candidates = list(dict.fromkeys([*mirrors, *siblings]))

    def line(name: str) -> str | None:
        found = next((uri for uri in candidates if _answers(f"{uri}/dists/{name}/InRelease")), None)
        return f"deb {found} {name} main" if found else None

    with ThreadPoolExecutor() as pool:
        lines = list(pool.map(line, (suite, f"{suite}-updates", f"{suite}-security")))
    if lines[0] is None:
        raise HostError(f"none of this machine's Debian mirrors holds {suite}: {', '.join(candidates)}")
    return tuple(found for found in lines if found)


def inspect(suites: tuple[str, ...]) -> Host:
    """Facts of this machine; ``HostError`` when it is no root on Debian with the programs that are needed."""
    if os.geteuid() != 0:
        raise HostError("building the lab's images needs root (overlay mounts, chroot); run it as root")
    if not shutil.which("apt-get"):
        raise HostError("building the lab's images needs a Debian machine (no apt-get here)")
    packages.install_programs(PROGRAMS)
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise HostError(f"no base images for {machine}; known: {', '.join(ARCHITECTURES)}")
    mirrors = _mirrors()
    with ThreadPoolExecutor() as pool:
        registry = pool.submit(_output, "npm", "config", "get", "registry")
        sources = dict(zip(suites, pool.map(lambda suite: _sources(mirrors, suite), suites), strict=True))
    options = [line for line in _output("apt-config", "dump").splitlines() if line.startswith("Acquire::Check-")]
    return Host(
        architecture=ARCHITECTURES[machine],
        sources=sources,
        apt_options=tuple(sorted(options)),
        npm_registry=registry.result().rstrip("/"),
        python_index=_python_index(),
        ca_digest=_ca_digest(),
    )


def _python_index() -> str:
    """Package index that pip on this machine is set up for; empty: its own."""
    found = subprocess.run([*pip(), "config", "list"], capture_output=True, text=True, check=False).stdout
    told = dict(line.split("=", 1) for line in found.splitlines() if "=" in line)
    return next((told[key].strip("'\"") for key in (":env:.index-url", "global.index-url") if key in told), "")


def pip() -> list[str]:
    """A pip that works here, as the start of a command; a venv made by uv has none, a bare Debian neither."""
    for python in (sys.executable, "python3"):
        if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
            return [python, "-m", "pip"]
    packages.install_programs({"pip3": "python3-pip"})
    return ["/usr/bin/python3", "-m", "pip"]
