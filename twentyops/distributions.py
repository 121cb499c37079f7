"""What differs between the supported distributions. Pure, so that the ones without a machine in the lab are covered by fixtures."""

from __future__ import annotations

from dataclasses import dataclass

BASE_PACKAGES = (
    "ca-certificates",
    "curl",
    "python3",
    "iproute2",
    "iptables",
    "procps",
    "unattended-upgrades",
)
TIMESYNCD = "systemd-timesyncd"
"""Keeps the clock where nothing else does: two services that keep it exclude each other, so a chrony of the operator's would go."""
BACKPORTED = ("docker.io", "docker-cli", "docker-compose", "docker-buildx")
"""Debian 12 has neither Compose v2 nor buildx; these four of Debian 13 install there without upgrading any other package."""
DOCKER_KEY = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"
"""Fingerprint of the key by which Docker signs its repository, as Docker publishes it (docs.docker.com/engine/install)."""
DOCKER_KEYRING = f"/etc/apt/keyrings/docker-{DOCKER_KEY.lower()}.asc"
"""Named after the key, so that a file of before, whose key nobody compared, is not taken for it."""
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


@dataclass(frozen=True)
class DockerRecipe:
    """How Docker Engine, Compose v2 and buildx come onto a host."""

    packages: tuple[str, ...]
    sources: dict[str, str]
    """``{path below /etc/apt: text}`` of files that must lie there first."""
    key_url: str = ""
    """Where the repository's signing key is, empty where the distribution has it already."""


def docker_recipe(
    system: str, version: str, codename: str, choice: str, docker_url: str, mirror: str, architecture: str
) -> DockerRecipe:
    """The recipe for one host.

    + choice: the setting DOCKER_PACKAGES: distribution or docker
    + docker_url: the setting DOCKER_APT_URL
    + mirror: address of the Debian mirror that the host uses already
    + architecture: Debian's name of it: amd64, arm64
    """
    if choice == "docker":
        line = f"deb [arch={architecture} signed-by={DOCKER_KEYRING}] {docker_url}/{system} {codename} stable\n"
        return DockerRecipe(
            ("docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin", "docker-buildx-plugin"),
            {"sources.list.d/docker.list": line},
            f"{docker_url}/{system}/gpg",
        )
    if system == "ubuntu":
        return DockerRecipe(("docker.io", "docker-compose-v2", "docker-buildx"), {})
    if (system, version) == ("debian", "12"):
        pins = f"Package: *\nPin: release n=trixie\nPin-Priority: -1\n\nPackage: {' '.join(BACKPORTED)}\nPin: release n=trixie\nPin-Priority: 990\n"
        return DockerRecipe(
            BACKPORTED,
            {
                "preferences.d/twentyops-docker.pref": pins,
                "sources.list.d/twentyops-docker.list": f"deb [signed-by={KEYRING}] {mirror} trixie main\n",
            },
        )
    return DockerRecipe(BACKPORTED, {})


def swap_mb(memory_mb: int) -> int:
    """Swap for a machine: twice its memory up to 2 GB, as much up to 8 GB, 8 GB beyond. MB."""
    if memory_mb <= 2048:
        return memory_mb * 2
    return min(memory_mb, 8192)
