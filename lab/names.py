"""Name service of a lab (dnsmasq on the gateway): knows the package registries and the lab's own names, and nothing else.

Every address that a registry's name resolves to is put into the lab's ipset before the answer goes out, so the wall
follows registries that move; a name outside of the list does not exist.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lab import process
from lab.command import run, wait_until
from lab.identity import PROJECT, Identity, LabError
from lab.network import Network

ROLE = "names"


@dataclass(frozen=True)
class Egress:
    """Package registries that the outer machine is configured for: host names, plain addresses, TCP ports."""

    names: tuple[str, ...]
    addresses: tuple[str, ...]
    ports: tuple[int, ...]


def egress_of(urls: Iterable[str]) -> Egress:
    """Sort registry URLs into names, addresses and ports; local paths and the loopback are left out."""
    names, addresses, ports = set(), set(), {80, 443}
    for url in urls:
        parts = urlsplit(url.strip() if "://" in url else f"https://{url.strip()}")
        host = parts.hostname
        if not host or parts.scheme == "file":
            continue
        if parts.port:
            ports.add(parts.port)
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            names.add(host)
            continue
        if isinstance(address, ipaddress.IPv4Address) and not address.is_loopback:
            addresses.add(host)
    return Egress(tuple(sorted(names)), tuple(sorted(addresses)), tuple(sorted(ports)))


def _lines(*argv: str) -> list[str]:
    if shutil.which(argv[0]) is None:
        return []
    done = run(*argv, check=False)
    return done.stdout.split() if done.returncode == 0 else []


def configured_urls() -> list[str]:
    """Registry addresses as the outer machine's apt, pip and npm are configured; LAB_EGRESS_HOSTS adds to them."""
    ask = (
        "import os, pip._internal.models.index as i\n"
        "from pip._internal.configuration import Configuration as C\n"
        "c = C(isolated=False); c.load()\n"
        "kept = [v for k, v in c.items() if k.rpartition('.')[2].replace('_', '-') in ('index-url', 'extra-index-url')]\n"
        "print(i.PyPI.simple_url, 'https://' + i.PyPI.file_storage_domain, *kept,\n"
        "      *(os.environ.get(n, '') for n in ('UV_INDEX_URL', 'UV_DEFAULT_INDEX', 'UV_EXTRA_INDEX_URL')))"
    )
    pythons = (sys.executable, str(PROJECT / ".venv-uv/bin/python"), "/usr/bin/python3", "python3")
    with ThreadPoolExecutor() as pool:
        asked = (
            pool.submit(_lines, "apt-get", "indextargets", "--format", "$(REPO_URI)"),
            pool.submit(_lines, "npm", "config", "get", "registry"),
            pool.submit(lambda: next((answer for python in pythons if (answer := _lines(python, "-c", ask))), [])),
        )
        added = [f"https://{host}" for host in os.environ.get("LAB_EGRESS_HOSTS", "").split()]
        return added + [url for answer in asked for url in answer.result()]


def upstreams(resolv_conf: Path = Path("/etc/resolv.conf")) -> list[str]:
    """Name servers of the outer machine; at least one, or an error that says what is missing."""
    words = [line.split() for line in resolv_conf.read_text().splitlines()]
    servers = [w[1] for w in words if len(w) > 1 and w[0] == "nameserver"]
    if not servers:
        raise LabError(f"{resolv_conf} names no nameserver: the machines of the lab could not resolve package registries")
    return servers


def config(network: Network, egress: Egress, servers: Iterable[str], hosts_dir: Path) -> str:
    """dnsmasq's configuration: registries are asked upstream, files in ``hosts_dir`` are ours, all else is NXDOMAIN."""
    lines = [
        "keep-in-foreground",
        "log-facility=-",
        "no-resolv",
        "no-hosts",
        "no-poll",
        "no-negcache",
        "filter-AAAA",
        "bind-interfaces",
        "except-interface=lo",
        f"listen-address={network.gateway}",
        f"hostsdir={hosts_dir}",
        "address=/#/",
        "user=root",
        "pid-file",
    ]
    lines += [f"server=/{name}/{server}" for name in egress.names for server in servers]
    if egress.names:
        lines.append(f"ipset=/{'/'.join(egress.names)}/{network.identity.ipset}")
    return "\n".join(lines) + "\n"


def start(network: Network, egress: Egress, directory: Path) -> None:
    """Run the name service until it answers; one that runs with the same configuration is left alone."""
    identity = network.identity
    hosts_dir, file = directory / "hosts", directory / "dnsmasq.conf"
    hosts_dir.mkdir(parents=True, exist_ok=True)
    wanted = config(network, egress, upstreams(), hosts_dir)
    if process.running(identity, ROLE, directory) and file.exists() and file.read_text() == wanted:
        return
    process.end(identity, ROLE, directory)
    file.write_text(wanted)
    argv = [shutil.which("dnsmasq") or "/usr/sbin/dnsmasq", f"--conf-file={file}"]
    process.spawn(identity, ROLE, argv, directory)
    wait_until(lambda: _answers(network, identity, directory), 10, lambda: f"name service: {process.tail(directory)}")


def _answers(network: Network, identity: Identity, directory: Path) -> bool:
    if process.running(identity, ROLE, directory) is None:
        raise LabError(f"name service ended at once:\n  {process.tail(directory)}")
    try:
        with socket.create_connection((network.gateway, 53), timeout=1):
            return True
    except OSError:
        return False


def publish(directory: Path, file: str, records: dict[str, str]) -> None:
    """Make ``{name: address}`` known in the lab under the label ``file``; dnsmasq sees the change by itself."""
    hosts_dir = directory / "hosts"
    hosts_dir.mkdir(parents=True, exist_ok=True)
    (hosts_dir / file).write_text("".join(f"{address} {name}\n" for name, address in sorted(records.items())))


def stop(identity: Identity, directory: Path) -> None:
    process.end(identity, ROLE, directory)
