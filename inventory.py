"""Hosts and groups, from the settings. Refuses to be empty: a deploy to nobody must not look like success."""

from twentyops import access
from twentyops.errors import Refused
from twentyops.settings import load

try:
    _hosts = access.hosts(load())
except Refused as refusal:
    raise SystemExit(str(refusal)) from None

droplet = _hosts["DROPLET"]
builder = _hosts.get("BUILDER", ["@local"])

if not droplet[0][0]:
    raise SystemExit("The inventory is empty: set DROPLET_HOST. Nothing was changed.")
