"""Who talks to whom: the one table that the compose file's networks and the packet filter are made from. Pure.

Two services that talk share a network of their own, without a way out. A service that needs the internet has one more network,
alone. A bridge has a fixed name, so that packet filter rules name it before Docker has made it, and after it made it again.
"""

from __future__ import annotations

from dataclasses import dataclass

BRIDGES = "tw-"
"""What the name of every bridge of ours begins with."""
SHORT = {
    "caddy": "cd", "server": "sv", "worker": "wk", "tenant-manager": "tm", "postgres": "pg", "redis": "rq", "redis-cache": "rc",
}  # fmt: skip
"""Services in a bridge's name, which the kernel limits to 15 characters."""
PAIRS = (
    ("caddy", "server"),
    ("caddy", "tenant-manager"),
    ("tenant-manager", "server"),
    ("tenant-manager", "postgres"),
    ("server", "postgres"),
    ("server", "redis"),
    ("server", "redis-cache"),
    ("worker", "postgres"),
    ("worker", "redis"),
    ("worker", "redis-cache"),
)
"""(who asks, who answers)"""
OUTSIDE = ("caddy", "server", "worker", "tenant-manager")
"""Services with a way to the internet; visitors come in over the first one's."""
ONE_OFFS = {
    "migrate": ("server", ("postgres", "redis", "redis-cache")),
    "tenant-manager-migrate": ("tenant-manager", ("postgres",)),
}
"""``{one-off: (the service whose image it is, whom it asks)}``: it uses that service's networks while it runs."""
EDGE_SUBNET_V6 = "fd5e:c1a2:9b37:1::/64"
"""Caddy's own network has IPv6, so that visitors over IPv6 keep their address. A private prefix: before Docker 27 one must be given."""


@dataclass(frozen=True)
class Network:
    """One Docker network; ``subnet_v6`` empty means IPv4 only."""

    name: str
    bridge: str
    internal: bool
    subnet_v6: str = ""


def pair(asks: str, answers: str) -> Network:
    """The network of two services that talk."""
    return Network(f"{asks}-{answers}", f"{BRIDGES}{SHORT[asks]}-{SHORT[answers]}", internal=True)


def outside(service: str) -> Network:
    """A service's way to the internet."""
    subnet = EDGE_SUBNET_V6 if service == OUTSIDE[0] else ""
    return Network(f"{service}-out", f"{BRIDGES}{SHORT[service]}-out", internal=False, subnet_v6=subnet)


NETWORKS = (*(pair(*both) for both in PAIRS), *(outside(service) for service in OUTSIDE))


def of(service: str) -> list[str]:
    """Names of the networks that a service or one-off is on, sorted."""
    if service in ONE_OFFS:
        owner, asked = ONE_OFFS[service]
        return sorted(pair(owner, other).name for other in asked)
    found = [pair(*both).name for both in PAIRS if service in both]
    return sorted(found + ([outside(service).name] if service in OUTSIDE else []))
