"""A second Twenty on the droplet for the tests that sign up by password: the same image and the same compose file, without Clerk, with
databases of its own that go when it goes. Nothing of it is published; it is asked through a door."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import yaml

from lab.identity import LabError
from twentyops import stack

PROJECT = "bare"
HOME = f"/opt/twenty-{PROJECT}"
URL = "http://127.0.0.1:3000"
"""SERVER_URL of the bare server: its own calls to itself work, and no browser looks at it."""
LEFT_OUT = ("tenant-manager", "caddy")
CLERKS = r"^(NEXT_PUBLIC_CLERK|CLERK_|TWENTYOPS_INTERNAL_SECRET)"
Run = Callable[..., str]
"""Runs a shell script on the droplet and gives what it said; a failure is a LabError."""


def compose(release: dict[str, Any]) -> dict[str, Any]:
    """The release's compose file (parsed) without the tenant manager, the proxy, ports, labels and all that has a name of its own in
    Docker or in the kernel. Pure."""
    services = {}
    for name, service in release["services"].items():
        if name.startswith(LEFT_OUT):
            continue
        kept = {key: value for key, value in service.items() if key not in {"ports", "labels", "container_name"}}
        if isinstance(kept.get("env_file"), str):
            kept["env_file"] = f"{HOME}/{kept['env_file']}"
        depends = kept.get("depends_on")
        if isinstance(depends, dict):
            kept["depends_on"] = {key: value for key, value in depends.items() if not key.startswith(LEFT_OUT)}
        elif isinstance(depends, list):
            kept["depends_on"] = [key for key in depends if not key.startswith(LEFT_OUT)]
        services[name] = kept
    return {
        "name": PROJECT,
        "services": services,
        "networks": {
            name: {"internal": True} if (found or {}).get("internal") else {}
            for name, found in (release.get("networks") or {}).items()
        },
        "volumes": {name: {} for name in release.get("volumes") or {}},
    }


def start(run: Run, directory: str) -> dict[str, str]:
    """Start it from a release's directory and wait until server and worker are healthy. Gives ``{redis, redis_port, app_secret,
    redis_url}``: the service that holds the queue, and its address as the server has it."""
    stop(run)
    text = run(f"cat {directory}/compose.yaml")
    made = compose(yaml.safe_load(text))
    run(f"umask 077 && mkdir -p {HOME}/env && cat > {HOME}/compose.yaml", input=yaml.safe_dump(made, sort_keys=False))
    # secrets stay on the droplet
    run(
        f"umask 077 && for file in {directory}/env/*.env; do grep -vE {shlex.quote(CLERKS)} $file "
        f"| sed -E 's#^SERVER_URL=.*#SERVER_URL=\"{URL}\"#' > {HOME}/env/$(basename $file); done"
    )
    up = f"docker compose --file {HOME}/compose.yaml up --detach --wait --quiet-pull"
    data = [name for name in made["services"] if name not in {"server", "worker"} and "profiles" not in made["services"][name]]
    run(f"{up} {shlex.join(data)}", timeout=300)
    database = stack.TWENTY
    sql = (
        f"create role {database.name} login password '$password';\ncreate database {database.name} owner {database.name};\n"
        f"revoke all on database {database.name} from public;\n"
    )
    run(
        f"password=$(cat {stack.HOME}/secrets/{database.secret}) && docker exec --interactive {PROJECT}-postgres-1 "
        f"psql -U postgres -d postgres -q -v ON_ERROR_STOP=1 <<SQL\n{sql}SQL"
    )
    run(f"docker compose --file {HOME}/compose.yaml run --rm --no-deps -T {database.migrated_by} </dev/null", timeout=900)
    for service in ("server", "worker"):
        run(f"{up} {service}", timeout=400)
    variables = dict(re.findall(r'^(\w+)="(.*)"$', run(f"cat {HOME}/env/server.env"), re.MULTILINE))
    queue = variables.get("REDIS_QUEUE_URL") or variables.get("REDIS_URL", "")
    if not queue or not variables.get("APP_SECRET"):
        raise LabError(
            f"{HOME}/env/server.env on the droplet names no Redis or no APP_SECRET: the release's variables have other names now"
        )
    parts = urlsplit(queue)
    return {
        "redis": str(parts.hostname),
        "redis_port": str(parts.port or 6379),
        "redis_url": queue,
        "app_secret": variables["APP_SECRET"],
    }


def stop(run: Run) -> None:
    """Remove it with its volumes; nothing happens where it is not there."""
    run(
        f"if [ -f {HOME}/compose.yaml ]; then docker compose --file {HOME}/compose.yaml --profile '*' down --volumes --remove-orphans --timeout 10; "
        f"rm -rf {HOME}; fi",
        timeout=180,
    )


def through(url: str, door: str) -> str:
    """An address of Redis with another host and port, its login kept. Pure."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@{door}" if login else door))
