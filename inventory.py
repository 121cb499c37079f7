"""Hosts and groups, from the settings. Refuses to be empty: a deploy to nobody must not look like success."""

from twentyops import ssh
from twentyops.errors import Refused
from twentyops.settings import load
from twentyops.source import cache_directory

ssh.explain_connection_errors()
try:
    _settings = load()
    _config = ssh.write_config(_settings, cache_directory() / "ssh")
    _hosts = {login.prefix: [(login.host, ssh.host_data(login, _config))] for login in ssh.logins(_settings)}
except Refused as refusal:
    raise SystemExit(str(refusal)) from None

droplet = _hosts["DROPLET"]
builder = _hosts.get("BUILDER", ["@local"])

if not droplet[0][0]:
    raise SystemExit("The inventory is empty: set DROPLET_HOST. Nothing was changed.")
