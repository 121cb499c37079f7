"""What a deploy leaves on a host, in lines that two hosts with the same settings must share: secrets, times, digests and addresses
struck out."""

from __future__ import annotations

import re

from lab.machine import Machine
from tests.rehearsal import driver

FILES = """
find /opt /etc /root /usr/local /var/lib/twentyops /var/spool/cron -printf '%p %y %m %U:%G %l\\n'
find /tmp /var/tmp -mindepth 1 -not -path '*/systemd-private-*' -not -name 'runc-process*' -printf '%p %y %m\\n'
"""
OWN_TO_A_MACHINE = (
    "hostname hosts machine-id ssh_host_* 10-host0.network ld.so.cache resolv.conf audit.log migrate.log tenant-manager-migrate.log lock.json "
    "Caddyfile"
)
CADDY_DIRECTORY = re.compile(r"(?<=/opt/twenty/caddy/)[0-9a-f]{12}\b")
"""Named after the Caddyfile in it, which names the address: in the hash of the page's configuration (twentyops/csp.py)."""
DIGESTS = (
    "find /etc /root /usr/local /opt/twenty/caddy /var/lib/twentyops -type f "
    + " ".join(f"-not -name '{name}'" for name in OWN_TO_A_MACHINE.split())
    + " -exec sha256sum {} +"
)
COMMANDS = {
    "files": FILES,
    "digests": DIGESTS,
    "Caddyfile": 'sed -E "s/sha256-[A-Za-z0-9+\\/=]+/HASH/" /opt/twenty/caddy/*/Caddyfile',
    "packages": "dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\\n'; dpkg --audit; ls -A /var/lib/dpkg/updates",
    "enabled units": "systemctl list-unit-files --no-legend --state=enabled | awk '{print $1}'",
    "running services": "systemctl list-units --no-legend --plain --type=service --state=running | awk '{print $1}' | grep -v ^user@",
    "failed units": "systemctl list-units --no-legend --plain --state=failed | awk '{print $1}'",
    "volumes": "docker volume ls --format '{{.Name}} {{.Driver}}'",
    "networks": "docker network ls --format '{{.Name}} {{.Driver}}'",
    "images": "docker images --digests --format '{{.Repository}} {{.Tag}}'",
    "databases": (
        "docker exec twenty-postgres-1 psql -U postgres -tAc "
        "\"select datname, rolname, datacl, shobj_description(d.oid, 'pg_database') from pg_database d join pg_roles r on r.oid = datdba\""
    ),
    "tables": "docker exec twenty-postgres-1 psql -U postgres -d twenty -tAc '\\dt *.*' | grep -v -e pg_catalog -e information_schema "
    # object ids differ after a rolled-back migration, so they are struck out; how many there are must agree
    "| sed -E 's/pg_toast_[0-9]+/pg_toast/' | sort | uniq -c",
    "jobs": "docker exec twenty-redis-1 redis-cli --scan --pattern '*:repeat' | sort",
}


def of(machine: Machine) -> dict[str, list[str]]:
    """``{kind: sorted lines}``. The stack has to run on it."""
    manifest = driver.manifest(machine)
    replaced = {manifest["id"]: "RELEASE", machine.address: "ADDRESS", manifest["content_hash"]: "CONTENT"}
    replaced |= {image.partition("@")[2]: "DIGEST" for image in manifest["images"].values()}

    def neutral(line: str) -> str:
        for text, name in replaced.items():
            line = line.replace(text, name)
        return CADDY_DIRECTORY.sub("CADDYFILE", line).rstrip()

    found = {
        kind: sorted({neutral(line) for line in machine.ssh(command, check=False).stdout.splitlines() if line.strip()})
        for kind, command in COMMANDS.items()
    }
    found["manifest"] = sorted(
        neutral(f"{name} = {value}")
        for name, value in manifest.items()
        if name not in {"deployed_at", "deployed_by", "config_hash", "twenty_source", "twenty_commit", "image_tags"}
    )
    found["containers"] = []
    for name, container in driver.inspect(machine).items():
        config, state = container["Config"], container["State"]
        found["containers"] += [
            neutral(line)
            for line in (
                f"{name}: {state['Status']} {state.get('Health', {}).get('Status')}, {config['Image']}, {config['Cmd']}",
                f"{name}: labels {sorted(set(config['Labels']) - {'com.docker.compose.replace'})}",
                f"{name}: release {config['Labels'].get('com.docker.compose.project.config_files')}",
                f"{name}: variables {sorted(v.partition('=')[0] for v in config['Env'])}",
                f"{name}: networks {sorted(container['NetworkSettings']['Networks'])}",
                f"{name}: mounts {sorted((m['Type'], m.get('Name', m['Source']), m['Destination']) for m in container['Mounts'])}",
            )
        ]
    found["containers"].sort()
    return found


def differences(one: dict[str, list[str]], other: dict[str, list[str]]) -> list[str]:
    """Lines that only one of two hosts has: ``- kind: line`` of the first, ``+ kind: line`` of the second."""
    lines = []
    for kind in sorted(set(one) | set(other)):
        a, b = set(one.get(kind, [])), set(other.get(kind, []))
        lines += [f"- {kind}: {line}" for line in sorted(a - b)] + [f"+ {kind}: {line}" for line in sorted(b - a)]
    return lines


def half_done(state: dict[str, list[str]]) -> list[str]:
    """Paths that only a run which was stopped leaves."""
    pattern = re.compile(r"\.(new|candidate|taken|part|tmp)( |$)|/lock\.json|/\.[a-z_]+\.\d+ |pyinfra")
    return [line for line in state["files"] if pattern.search(line)]
