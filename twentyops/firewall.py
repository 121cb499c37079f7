"""The packet filter of the droplet: nftables tables of our own beside Docker's rules, never a flush of somebody else's. Pure.

Each file is one table, replaced as a whole; /etc/twentyops/firewall.nft loads all of them in one transaction, at boot before Docker.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from twentyops import inbound, networks
from twentyops.settings import Settings
from twentyops.stack import published_ports, templates

DIRECTORY = "/etc/twentyops/nftables"
ENTRY = "/etc/twentyops/firewall.nft"
UNIT = "twentyops-firewall.service"
LOADED = "/run/twentyops-firewall"
"""What was loaded last since the boot: sha256 over the files in the order of their names."""
PACKAGES = ("nftables",)
DOCKERS_NAME_SERVERS = ("8.8.8.8", "8.8.4.4")
"""Whom Docker asks on a host whose resolv.conf names nobody but the host itself."""
PRIVATE_V4 = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
    "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
)  # fmt: skip
"""Everything that is no address of the internet. Source: IANA's registry of special-purpose addresses."""
PUBLIC_V6 = "2000::/3"
PRIVATE_V6 = ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
"""Within PUBLIC_V6: special purposes, and the tunnels that carry an IPv4 address in an IPv6 one."""


def files(settings: Settings, name_servers: Sequence[str]) -> dict[str, str]:
    """Every table, ``{file name below DIRECTORY: text}``. ``name_servers``: whom the droplet's Docker asks (facts.HostState)."""
    return {"egress.nft": egress(settings, name_servers), "inbound.nft": inbound.rules(settings)}


def egress(settings: Settings, name_servers: Sequence[str]) -> str:
    """What containers may reach: the internet, name servers, and what EGRESS_ALLOW names; nothing private, nothing of the droplet."""
    servers = [address for address in name_servers if not address.startswith("127.") and address != "::1"]
    return templates.get_template("nftables-egress.nft.j2").render(
        bridges=networks.BRIDGES,
        every_bridge=[network.bridge for network in networks.NETWORKS],
        out={service: networks.outside(service).bridge for service in networks.OUTSIDE},
        # the tenant manager asks Clerk, Caddy asks certificate authorities; the CRM sends mail and calls tenants' webhooks
        ports={"caddy": [80, 443], "tenant-manager": [443]},
        named=[service for service in networks.OUTSIDE if service != "caddy"],
        allowed=settings.egress_allowed,
        name_servers=[a for a in servers if ":" not in a] or list(DOCKERS_NAME_SERVERS),
        name_servers_v6=[a for a in servers if ":" in a],
        published=published_ports(settings),
        private_v4=PRIVATE_V4,
        public_v6=PUBLIC_V6,
        private_v6=PRIVATE_V6,
    )


def tables(texts: Mapping[str, str]) -> list[str]:
    """Family and name of each table that the files make, sorted: ``["inet twentyops_egress"]``."""
    return sorted({name for text in texts.values() for name in re.findall(r"^table (\w+ \w+) \{", text, re.MULTILINE)})


def entry(texts: Mapping[str, str]) -> str:
    """The file that nft is given: all tables or none."""
    lines = [f'include "{DIRECTORY}/{name}"\n' for name in sorted(texts)]
    return "# Loads every table of ours in one transaction. Written by twentyops.\n" + "".join(lines)


def unit(texts: Mapping[str, str]) -> str:
    """The systemd unit: loads the tables before any network comes up and before Docker; to load them anew it is reloaded."""
    mark = f"/bin/sh -c 'cat {' '.join(f'{DIRECTORY}/{name}' for name in sorted(texts))} | sha256sum > {LOADED}'"
    return f"""# Written by twentyops. Stopping it removes no rule; `nft delete table inet NAME` does.
[Unit]
Description=Packet filter of Twenty's containers
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target docker.service shutdown.target
After=local-fs.target nftables.service systemd-modules-load.service
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {ENTRY}
ExecStart={mark}
ExecReload=/usr/sbin/nft -f {ENTRY}
ExecReload={mark}

[Install]
WantedBy=sysinit.target
"""


DOCKER_DROP_IN = f"""# Written by twentyops: without its packet filter no container starts.
[Unit]
Requires={UNIT}
After={UNIT}
"""
