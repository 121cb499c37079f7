"""Limits on visitors' connections, as rules of the droplet's kernel: stock Caddy limits none. Pure."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from twentyops.settings import Settings
from twentyops.stack import published_ports

TABLE = "twentyops_inbound"

# Connections. A browser opens up to six for HTTP/1.1, so OWN are reserved for each address. An office behind one address needs more: these
# come out of SHARED, up to PER_ADDRESS. (TOTAL - SHARED) / OWN = 133 addresses together can fill TOTAL; fewer cannot lock others out.
# TOTAL bounds Caddy's memory: with 1100 slow connections 138 MB were measured, of CADDY_MEMORY_MB (figures: docs/outside.md).
OWN, PER_ADDRESS, SHARED, TOTAL = 6, 100, 500, 1300
NEW_PER_SECOND, NEW_BURST = 50, 200
MOST_ADDRESSES = 65_536

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent.parent / "templates"),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701 - plain text, no HTML
)


def rules(settings: Settings) -> str:
    """Limits on connections to the published ports, for each address and in all: a file for ``nft -f``."""
    return _templates.get_template("nftables-inbound.nft.j2").render(
        table=TABLE,
        ports=published_ports(settings),
        per_address=PER_ADDRESS,
        own=OWN,
        shared=SHARED,
        total=TOTAL,
        new_per_second=NEW_PER_SECOND,
        new_burst=NEW_BURST,
        most_addresses=MOST_ADDRESSES,
    )
