"""Hosts and groups, from the settings. Refuses to be empty: a deploy to nobody must not look like success."""

from twentyops import ssh
from twentyops.errors import Refused
from twentyops.settings import load
from twentyops.source import cache_directory

try:
    _settings = load()
except Refused as refusal:
    raise SystemExit(str(refusal)) from None

ssh.explain_connection_errors()
_known_hosts = cache_directory() / "known_hosts" / _settings.droplet_host
_known_hosts.parent.mkdir(parents=True, exist_ok=True)
_lines = [ssh.known_hosts_line(_settings.droplet_host, _settings.droplet_ssh_port, _settings.droplet_host_key)]
if not _settings.builder_is_local:
    _lines.append(ssh.known_hosts_line(_settings.builder_host, _settings.builder_ssh_port, _settings.builder_host_key))
_known_hosts.write_text("".join(_lines))


def _host(prefix: str) -> tuple[str, dict]:
    values = [getattr(_settings, f"{prefix}_{name}") for name in ("ssh_user", "ssh_port", "ssh_key")]
    return getattr(_settings, f"{prefix}_host"), ssh.host_data(prefix.upper(), *values, _known_hosts)


try:
    droplet = [_host("droplet")]
    builder = ["@local"] if _settings.builder_is_local else [_host("builder")]
except Refused as refusal:
    raise SystemExit(str(refusal)) from None

if not droplet or not droplet[0][0]:
    raise SystemExit("The inventory is empty: set DROPLET_HOST. Nothing was changed.")
