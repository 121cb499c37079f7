"""What is true on a host now. Each fact is one command; none of them carries a secret's value."""

from __future__ import annotations

import base64
import json
import re
import shlex
import time
from typing import Any

from pyinfra.api import FactBase, QuoteString, StringCommand

from twentyops.stack import HOME


class SudoRefusal(FactBase[str]):
    """Why the user that logs in may not use sudo without a password; empty where it may. Ask it with ``_sudo=False``."""

    def command(self) -> str:
        return "sudo -n true 2>&1 || true"

    def process(self, output: list[str]) -> str:
        return " ".join(output)


class HostState(FactBase[dict[str, Any]]):
    """What preflight asks of a host, in one round trip.

    Returns ``{os, os_version, codename, machine, architecture, container, mirror, memory_mb, disk_mb, clock_ahead_s, listeners:
    {port: process}, published: {port: (Compose project, container)}, time_service, docker, cpus, name_servers}``; MB are 1024^2
    bytes, ``disk_mb`` is what is free under /var/lib, ``clock_ahead_s`` how far its clock is ahead of this machine's (too small by the
    time that the answer took), ``container`` the kind of container that the host is (empty for a machine), ``mirror`` its
    distribution's, ``time_service`` the package that keeps the clock, ``name_servers`` whom Docker's own name service asks: those of
    resolv.conf, and where that is systemd-resolved the ones behind it.
    """

    def command(self) -> str:
        return (
            # a control machine that builds may be a Mac: what it has not is left empty
            '[ ! -r /etc/os-release ] || . /etc/os-release; echo "os=$ID"; echo "os_version=$VERSION_ID"; echo "codename=$VERSION_CODENAME"; '
            'echo "machine=$(uname -m)"; '
            "awk '/^MemTotal:/{print \"memory_mb=\" int($2/1024)}' /proc/meminfo 2>/dev/null; "
            "df -Pm /var/lib | awk 'NR==2{print \"disk_mb=\" $4}'; "
            'echo "epoch=$(date +%s.%N)"; '
            'echo "docker=$(command -v docker || true)"; '
            'echo "cpus=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)"; '
            "r=/etc/resolv.conf; if grep -qs '^nameserver 127\\.0\\.0\\.53' $r; then r=/run/systemd/resolve/resolv.conf; fi; "
            'awk \'$1=="nameserver"{print "name_server=" $2}\' $r 2>/dev/null; '
            'echo "container=$(systemd-detect-virt --container 2>/dev/null | grep -v none)"; '
            'echo "architecture=$(dpkg --print-architecture 2>/dev/null)"; '
            "dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Provides}\\n' 2>/dev/null "
            '| awk \'$1 == "ii" && /time-daemon/ {print "time_service=" $2}\'; '
            # works before any list was downloaded, and for every form of the sources
            "apt-get update --print-uris 2>/dev/null "
            "| sed -n \"s|^'\\(.*\\)/dists/$VERSION_CODENAME/InRelease'.*|mirror=\\1|p\" | head -n 1; "
            "docker ps --format 'published={{.Label \"com.docker.compose.project\"}} {{.Names}} {{.Ports}}' 2>/dev/null; "
            'ss -Hltnp 2>/dev/null | awk \'{n=split($4,a,":"); print "listener=" a[n] " " $6}\'; true'
        )

    def process(self, output: list[str]) -> dict[str, Any]:
        state: dict[str, Any] = {
            "listeners": {},
            "published": {},
            "mirror": "",
            "container": "",
            "time_service": "",
            "cpus": 1,
            "name_servers": [],
        }
        for line in output:
            name, _, value = line.partition("=")
            if name == "listener":
                port, _, process = value.partition(" ")
                state["listeners"][int(port)] = process.split('"')[1] if '"' in process else "unknown"
            elif name == "published":
                project, container, ports = value.split(" ", 2)
                for first, last in re.findall(r":(\d+)(?:-(\d+))?->", ports):
                    numbers = range(int(first), int(last or first) + 1)
                    state["published"] |= dict.fromkeys(numbers, (project, container))
            elif name == "name_server":
                state["name_servers"].append(value.partition("%")[0])
            elif name == "epoch":
                state["clock_ahead_s"] = float(value.removesuffix(".N")) - time.time()  # a Mac's date knows no %N
            else:
                state[name] = int(value) if value.isdigit() and name in {"memory_mb", "disk_mb", "cpus"} else value
        return state


class DockerRoom(FactBase[dict[str, int]]):
    """``{memory_mb, disk_mb}`` of where Docker's containers run and its images lie, which for Docker Desktop is its virtual machine.

    What it does not tell is left out: everything where no Docker answers, the disk where it lies in such a machine.
    """

    default = dict

    def command(self) -> str:
        return (
            "i=$(docker info --format '{{.MemTotal}} {{.DockerRootDir}}' 2>/dev/null) && echo \"memory_mb=$((${i%% *} / 1048576))\" && "
            'df -Pm "${i#* }" 2>/dev/null | awk \'NR==2{print "disk_mb=" $4}\'; true'
        )

    def process(self, output: list[str]) -> dict[str, int]:
        pairs = (line.partition("=") for line in output)
        return {name: int(value) for name, _, value in pairs if name in {"memory_mb", "disk_mb"} and int(value) > 0}


class ReleaseManifest(FactBase[str]):
    """Text of the manifest of the release that runs, empty where none does."""

    default = str

    def command(self) -> str:
        return f"cat {HOME}/current/release.json 2>/dev/null || true"


class FileDigests(FactBase[dict[str, str]]):
    """``{path: "sha256 mode owner"}`` of the regular files below a directory; empty where it does not exist."""

    default = dict

    def command(self, directory: str) -> StringCommand:
        return StringCommand(
            "if [ -d", QuoteString(directory), "]; then cd", QuoteString(directory),
            "&& find . -type f -exec sh -c",
            QuoteString('for f; do echo "$(sha256sum < "$f" | cut -d" " -f1) $(stat -c "%a %U" "$f") ${f#./}"; done'),
            "- {} +; fi",
        )  # fmt: skip

    def process(self, output: list[str]) -> dict[str, str]:
        digests = {}
        for line in output:
            digest, mode, owner, path = line.split(" ", 3)
            digests[path] = f"{digest} {mode} {owner}"
        return digests


class RegistryLogins(FactBase[dict[str, str]]):
    """``{registry: first 16 digits of the sha256 of its login}`` in root's Docker configuration."""

    default = dict

    def command(self) -> StringCommand:
        script = (
            "import hashlib,json,os\n"
            "p=os.path.expanduser('~/.docker/config.json')\n"
            "a=json.load(open(p)).get('auths',{}) if os.path.exists(p) else {}\n"
            "print(json.dumps({k:hashlib.sha256(v.get('auth','').encode()).hexdigest()[:16] for k,v in a.items()}))"
        )
        return StringCommand("python3 -c", QuoteString(script))

    def requires_command(self) -> str:
        return "python3"

    def process(self, output: list[str]) -> dict[str, str]:
        logins: dict[str, str] = json.loads("".join(output) or "{}")
        return logins


class LocalImages(FactBase[list[str]]):
    """Those of the given references (with digest) that the host's Docker holds."""

    default = list

    def requires_command(self, references: list[str]) -> str:
        return "docker"

    def command(self, references: list[str]) -> str:
        names = " ".join(shlex.quote(r) for r in references)
        return f'for i in {names}; do docker image inspect --format x "$i" > /dev/null 2>&1 && echo "$i"; done; true'

    def process(self, output: list[str]) -> list[str]:
        return output


class ComposeServices(FactBase[dict[str, dict[str, str]]]):
    """Containers of one Compose project.

    Returns ``{service: {id, image, config_hash, state, health}}``: ``image`` as the container names it, ``config_hash`` our
    label (stack.service_hashes), ``health`` one of healthy, unhealthy, starting or empty. Where a service has two containers
    (compose was killed while it replaced one), ``config_hash`` is empty, so that compose is asked to tidy up.
    Source: docker ps, one answer of the daemon: a container that comes or goes meanwhile cannot make it fail.
    """

    default = dict

    def requires_command(self, project: str) -> str:
        return "docker"

    def command(self, project: str) -> StringCommand:
        labels = ("com.docker.compose.service", "com.docker.compose.oneoff", "twentyops.config")
        fields = "\t".join(
            [*(f'{{{{.Label "{label}"}}}}' for label in labels), "{{.ID}}", "{{.Image}}", "{{.State}}", "{{.Status}}"]
        )
        return StringCommand(
            "docker ps --all --no-trunc --filter", QuoteString(f"label=com.docker.compose.project={project}"),
            "--format", QuoteString(fields),
        )  # fmt: skip

    def process(self, output: list[str]) -> dict[str, dict[str, str]]:
        services: dict[str, dict[str, str]] = {}
        for line in output:
            service, oneoff, config_hash, container, image, state, status = line.split("\t")
            if oneoff == "True":
                continue
            health = re.search(r"\((?:health: )?(healthy|unhealthy|starting)\)", status)
            services[service] = {
                "id": container,
                "image": image,
                "config_hash": "" if service in services else config_hash,
                "state": state,
                "health": health[1] if health else "",
            }
        return services


DATA_MODEL_OUTCOME = "/tmp/twentyops-data-model"  # noqa: S108 - in the server's container
"""What came of the run at the server's start, or of a later apply; a line that the container's health check shows."""


class DataModelState(FactBase[dict[str, Any]]):
    """Whether every workspace matches the data model of the image that runs.

    Returns ``{matched: bool, model: first 12 hex digits of the model's sha256, workspaces: [...]}`` as
    ``migrate-schema.ts verify --json`` prints it, and ``outcome``: the line that the run at the server's start left; empty where no
    server runs or it cannot tell.
    """

    default = dict

    def requires_command(self, container: str) -> str:
        return "docker"

    def command(self, container: str) -> StringCommand:
        return StringCommand(
            "docker exec",
            QuoteString(container),
            "node scripts/migrate-schema.ts verify --json 2> /dev/null; docker exec",
            QuoteString(container),
            f"cat {DATA_MODEL_OUTCOME} 2> /dev/null || true",
        )

    def process(self, output: list[str]) -> dict[str, Any]:
        printed = [line for line in output if line.startswith("{")]
        try:
            state: dict[str, Any] = json.loads(printed[-1])
        except (IndexError, ValueError):
            return {}
        return state | {"outcome": output[-1] if output[-1] not in printed else ""}


def mark_query(database: str) -> str:
    """SQL that tells the image which a database was last migrated with. Pure."""
    return f"select shobj_description(oid, 'pg_database') from pg_database where datname = '{database}'"


class DatabaseMark(FactBase[str]):
    """The image that Twenty's migrations last ran with: a comment on the database, so that it goes where the data goes."""

    default = str

    def requires_command(self, container: str, database: str) -> str:
        return "docker"

    def command(self, container: str, database: str) -> StringCommand:
        return StringCommand(
            "docker exec",
            QuoteString(container),
            "psql -U postgres -d postgres -tAc",
            QuoteString(mark_query(database)),
            "2> /dev/null || true",
        )


class OtherCollation(FactBase[dict[str, str]]):
    """``{database: "2.36 -> 2.41"}``: databases whose text was sorted by another version of the C library than the image now has, so that
    their indexes may be in a wrong order; empty where the container is not. Source: Postgres' documentation, Collation Support."""

    default = dict

    def requires_command(self, container: str) -> str:
        return "docker"

    def command(self, container: str) -> StringCommand:
        actual = "pg_database_collation_actual_version(oid)"
        query = (
            f"select datname || '=' || datcollversion || ' -> ' || {actual} from pg_database "
            f"where datallowconn and datcollversion <> {actual} order by datname"
        )
        psql = "psql -U postgres -d postgres -tAc"
        return StringCommand("docker exec", QuoteString(container), psql, QuoteString(query), "2> /dev/null || true")

    def process(self, output: list[str]) -> dict[str, str]:
        return dict(line.split("=", 1) for line in output if "=" in line)


class DatabaseRole(FactBase[str | None]):
    """What Postgres has stored for the password of the role that owns the database of its name (``SCRAM-SHA-256$...``, empty: none);
    None where role, database or container are not there."""

    @staticmethod
    def default() -> None:
        return None

    def requires_command(self, container: str, database: str) -> str:
        return "docker"

    def command(self, container: str, database: str) -> StringCommand:
        query = (
            f"select 'role=' || coalesce(r.rolpassword, '') from pg_database d join pg_authid r on r.oid = d.datdba "
            f"where d.datname = '{database}' and r.rolname = '{database}'"
        )
        return StringCommand(
            "docker exec",
            QuoteString(container),
            "psql -U postgres -d postgres -tAc",
            QuoteString(query),
            "2> /dev/null || true",
        )

    def process(self, output: list[str]) -> str | None:
        return next((line.removeprefix("role=") for line in output if line.startswith("role=")), None)


class InterruptedPackages(FactBase[bool]):
    """Whether dpkg was stopped in the middle of its work."""

    default = bool

    def command(self) -> str:
        return "{ ls -A /var/lib/dpkg/updates; dpkg --audit; } | head -c 1"

    def process(self, output: list[str]) -> bool:
        return bool("".join(output).strip())


class InstalledPackages(FactBase[list[str]]):
    """Those of the given packages that are installed and configured."""

    default = list

    def command(self, packages: list[str]) -> str:
        names = " ".join(shlex.quote(p) for p in packages)
        return f"dpkg-query -W -f '${{db:Status-Status}} ${{Package}}\\n' {names} 2> /dev/null || true"

    def process(self, output: list[str]) -> list[str]:
        return [line.split()[1] for line in output if line.startswith("installed ")]


class DockerDaemon(FactBase[dict[str, str]]):
    """``{file, started_with, active, text}``: sha256 of daemon.json, of the one dockerd was last started with by a deploy, systemd's word,
    and the file's text (empty: there is none)."""

    default = dict

    def command(self) -> str:
        return (
            'echo "file=$(sha256sum < /etc/docker/daemon.json 2> /dev/null | cut -d" " -f1)"; '
            'echo "started_with=$(cat /var/lib/twentyops/docker-started-with 2> /dev/null)"; '
            'echo "active=$(systemctl is-active docker 2> /dev/null)"; '
            'echo "text=$(base64 -w 0 < /etc/docker/daemon.json 2> /dev/null)"'
        )

    def process(self, output: list[str]) -> dict[str, str]:
        found = dict(line.split("=", 1) for line in output if "=" in line)
        return found | {"text": base64.b64decode(found.get("text", "")).decode("utf-8", "replace")}


class PacketFilter(FactBase[dict[str, Any]]):
    """Our packet filter: ``{files: {path: sha256}, loaded: sha256 over what was loaded since the boot, tables: [family name],
    active, enabled: systemd's words for the unit}``."""

    default = dict

    def command(self, paths: list[str], unit: str, loaded: str) -> StringCommand:
        names = " ".join(shlex.quote(path) for path in paths)
        script = (
            f'sha256sum {names} 2> /dev/null | sed "s/^/file=/"; echo "loaded=$(cut -d" " -f1 {loaded} 2> /dev/null)"; '
            f'nft list tables 2> /dev/null | sed "s/^table /table=/"; '
            f'echo "active=$(systemctl is-active {unit} 2> /dev/null)"; echo "enabled=$(systemctl is-enabled {unit} 2> /dev/null)"'
        )
        return StringCommand("sh -c", QuoteString(script))

    def process(self, output: list[str]) -> dict[str, Any]:
        state: dict[str, Any] = {"files": {}, "tables": []}
        for line in output:
            name, _, value = line.partition("=")
            if name == "file":
                digest, _, path = value.partition("  ")
                state["files"][path] = digest
            elif name == "table":
                state["tables"].append(value)
            else:
                state[name] = value
        return state


class VolumeOwner(FactBase[str]):
    """Number of the user who owns the top of a Docker volume; empty where the volume is not."""

    default = str

    def requires_command(self, volume: str) -> str:
        return "docker"

    def command(self, volume: str) -> StringCommand:
        script = 'path=$(docker volume inspect --format \'{{.Mountpoint}}\' "$1" 2> /dev/null) && stat -c %u "$path" || true'
        return StringCommand("sh -c", QuoteString(script), "sh", QuoteString(volume))

    def process(self, output: list[str]) -> str:
        return "".join(output)


class Swaps(FactBase[list[str]]):
    """Swap areas in use."""

    default = list

    def command(self) -> str:
        return "tail -n +2 /proc/swaps"

    def process(self, output: list[str]) -> list[str]:
        return [line.split()[0] for line in output]
