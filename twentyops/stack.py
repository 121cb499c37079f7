"""The stack on the droplet as text: compose file, Caddyfile, one env file per container.

Pure: settings, image digests and secrets in, ``{path below the release's directory: text}`` out.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from twentyops import csp, data_model, networks
from twentyops.settings import HEAP_SHARE, SERVER_SEMI_SPACE_MB, WEBHOOK_PATH, Settings

ROOT = Path(__file__).parent.parent
PROJECT = "twenty"
HOME = "/opt/twenty"
SERVICES = ("postgres", "redis", "redis-cache", "server", "worker", "tenant-manager", "caddy")
BASE_SERVICES = ("postgres", "redis", "caddy")
ORDER = (("postgres", "redis", "redis-cache"), ("server",), ("worker",), ("tenant-manager",), ("caddy",))
"""Who starts after whom; each step is healthy before the next. Migrations run between the first and the second."""
SECRETS = (
    "app_secret", "internal_secret", "postgres_password", "tenants_database_password", "twenty_database_password",
    "redis_queue_password", "redis_cache_password",
)  # fmt: skip
"""Made once on the droplet, kept through every redeploy. ``app_secret`` lost means every token and encrypted value lost."""
MIGRATE_MEMORY_MB = 2048
CADDY_USER = 1000
"""Whom the proxy runs as; ports below 1024 are open to everybody in a container's network of its own."""
TWENTY_USER = 1000
"""Whom Twenty's image runs as: files in memory (tmpfs) are given to this user."""


@dataclass(frozen=True)
class Share:
    """What a container may take of the machine: processes and threads, the part of all its processors, and its weight where several
    want more than there is (Docker's default is 1024)."""

    pids: int
    cpus: float
    weight: int


SHARES = {
    "postgres": Share(256, 0.75, 2048),
    "redis": Share(64, 0.5, 2048),
    "redis-cache": Share(64, 0.5, 1024),
    "server": Share(512, 0.75, 1024),
    "worker": Share(512, 0.6, 512),
    "tenant-manager": Share(128, 0.5, 512),
    "caddy": Share(256, 0.5, 1024),
    "migrate": Share(512, 0.75, 1024),
    "tenant-manager-migrate": Share(128, 0.5, 512),
    "caddy-volume": Share(64, 0.5, 512),
}
"""None may take the whole machine, so that sshd, Docker and the others always get their turn."""
CPU_PERIOD_US = 100_000
DEFAULT_CPUS = 2
SCRATCH = "/app/scratch"
"""Where server and worker put uploads while they come in: a volume, since files in memory count as the container's memory. The image
has the directory, with its owner (docker-twenty-Dockerfile.yaml)."""
ADMIN_SOCKET = "/run/admin.sock"
"""Caddy's, in its own container."""


@dataclass(frozen=True)
class Database:
    """A database with a role of the same name, which owns it and has no right on another; the one-off service ``migrated_by``
    brings it to what ``serves`` needs."""

    name: str
    secret: str
    migrated_by: str
    serves: str


TWENTY = Database("twenty", "twenty_database_password", "migrate", "server")
TENANTS = Database("tenants", "tenants_database_password", "tenant-manager-migrate", "tenant-manager")
DATABASES = (TWENTY, TENANTS)

templates = Environment(
    loader=FileSystemLoader(ROOT / "templates"),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    trim_blocks=True,
    autoescape=False,  # noqa: S701 - plain text, no HTML
)


def env_line(name: str, value: str) -> str:
    """One line of a Compose env file that yields ``value`` to the byte. In single quotes Compose takes a backslash before the quote
    for an escape, so double ones are used, with all that means something in them escaped."""
    if "\n" in value or "\r" in value or "\0" in value:
        raise ValueError(f"{name} contains a line break or NUL, which an env file cannot carry")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'{name}="{escaped}"\n'


def env_files(settings: Settings, secrets: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """``{service: {variable: value}}``: each container gets what it reads and nothing else."""
    s = settings
    twenty = {
        "NODE_ENV": "production",
        "PG_DATABASE_URL": _database_url("postgres", TWENTY, secrets),
        # for psql in health checks and migrations: an address with a password in it would show in every process list
        "PGHOST": "postgres",
        "PGUSER": TWENTY.name,
        "PGDATABASE": TWENTY.name,
        "PGPASSWORD": secrets[TWENTY.secret],
        "REDIS_URL": _redis_url("redis-cache", "redis_cache_password", secrets),
        "REDIS_QUEUE_URL": _redis_url("redis", "redis_queue_password", secrets),
        "APP_SECRET": secrets["app_secret"],
        "SERVER_URL": s.public_url,
        "IS_CONFIG_VARIABLES_IN_DB_ENABLED": "false",
        "DISABLE_DB_MIGRATIONS": "true",
        "DISABLE_CRON_JOBS_REGISTRATION": "true",
        "TELEMETRY_ENABLED": "false",
        "SERVERLESS_TYPE": s.serverless_type.upper(),
        "STORAGE_TYPE": {"local": "LOCAL", "s3": "S_3"}[s.storage_type],
        "EMAIL_DRIVER": s.email_driver.upper(),
    }
    if s.storage_type == "s3":
        twenty |= {
            "STORAGE_S3_REGION": s.storage_s3_region,
            "STORAGE_S3_NAME": s.storage_s3_name,
            "STORAGE_S3_ENDPOINT": s.storage_s3_endpoint,
            "STORAGE_S3_ACCESS_KEY_ID": s.storage_s3_access_key_id,
            "STORAGE_S3_SECRET_ACCESS_KEY": s.storage_s3_secret_access_key.get_secret_value()
            if s.storage_s3_secret_access_key
            else "",
        }
    if s.email_driver == "smtp":
        twenty |= {
            "EMAIL_FROM_ADDRESS": s.email_from_address,
            "EMAIL_FROM_NAME": s.email_from_name,
            "EMAIL_SMTP_HOST": s.email_smtp_host,
            "EMAIL_SMTP_PORT": str(s.email_smtp_port),
            "EMAIL_SMTP_USER": s.email_smtp_user,
            "EMAIL_SMTP_PASSWORD": s.email_smtp_password.get_secret_value() if s.email_smtp_password else "",
        }
    told = {name: secret.get_secret_value() for name, secret in s.twenty_env.items()}
    # what is set here wins, should a name ever pass the checks of twenty_env.py
    twenty = told | {name: value for name, value in twenty.items() if value != ""}
    serving = {"TMPDIR": SCRATCH}
    if s.tenant_egress_allowed:
        serving["TWENTYOPS_TENANTS_MAY_REACH"] = ",".join(sorted({str(target.network) for target in s.tenant_egress_allowed}))
    return {
        "postgres": {"POSTGRES_USER": "postgres", "POSTGRES_PASSWORD": secrets["postgres_password"]},
        # redis-cli takes its password from this variable, and so does the server's start
        "redis": {"REDISCLI_AUTH": secrets["redis_queue_password"]},
        "redis-cache": {"REDISCLI_AUTH": secrets["redis_cache_password"]},
        "server": twenty
        | serving
        | _sign_in(s, secrets)
        | {"NODE_PORT": "3000", "NODE_OPTIONS": f"{_heap(s.server_memory_mb)} --max-semi-space-size={SERVER_SEMI_SPACE_MB}"},
        "worker": twenty | serving | {"NODE_OPTIONS": _heap(s.worker_memory_mb)},
        # npx, yarn and tsx write below their home
        "migrate": twenty | {"HOME": "/tmp", "NODE_OPTIONS": _heap(MIGRATE_MEMORY_MB)},  # noqa: S108 - the container's own
        "tenant-manager": _tenant_manager(s, secrets),
        # garbage is collected harder before the limit is near: a crowd's connections leave much of it behind
        "caddy": {"GOMEMLIMIT": f"{int(s.caddy_memory_mb * 0.85)}MiB"},
    }


def _redis_url(host: str, secret: str, secrets: Mapping[str, str]) -> str:
    return f"redis://:{quote(secrets[secret], safe='')}@{host}:6379"


def _database_url(scheme: str, database: Database, secrets: Mapping[str, str]) -> str:
    return f"{scheme}://{database.name}:{quote(secrets[database.secret], safe='')}@postgres:5432/{database.name}"


def _tenant_manager(settings: Settings, secrets: Mapping[str, str]) -> dict[str, str]:
    """What the tenant manager reads (files/tenant_manager/tenant_manager/settings.py)."""
    found = {
        "DATABASE_URL": _database_url("postgresql", TENANTS, secrets),
        "CLERK_WEBHOOK_SECRET": settings.clerk_webhook_secret.get_secret_value(),
        "CLERK_SECRET_KEY": settings.clerk_secret_key.get_secret_value(),
        "CLERK_API_URL": settings.clerk_api_url,
        "TWENTYOPS_INTERNAL_SECRET": secrets["internal_secret"],
        "DATA_MODEL_REVISION": data_model.fingerprint(data_model.load()),
        "MAX_TENANTS": str(settings.most_tenants),
        "MAX_ORGANIZATIONS_PER_PERSON": str(settings.max_organizations_per_person),
        "PROVISIONING": str(settings.provisioning_concurrency),
    }
    return {name: value for name, value in found.items() if value}


def _sign_in(settings: Settings, secrets: Mapping[str, str]) -> dict[str, str]:
    """What the server reads to let people in by Clerk; the addresses of a rehearsal are empty in production, and left out."""
    s = settings
    found = {
        "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY": s.next_public_clerk_publishable_key,
        "CLERK_SECRET_KEY": s.clerk_secret_key.get_secret_value(),
        "CLERK_JWT_KEY": s.clerk_jwt_key,
        "CLERK_PROXY_URL": s.clerk_proxy_url,
        "CLERK_JS_URL": s.clerk_js_url,
        "CLERK_API_URL": s.clerk_api_url,
        "CLERK_JWKS_URL": s.clerk_jwks_url,
        "CLERK_ISSUER": s.clerk_issuer,
        "TWENTYOPS_INTERNAL_SECRET": secrets["internal_secret"],
        "SOURCE_CODE_URL": s.source_offer,
        "TWENTYOPS_PROVISIONING_CONCURRENCY": str(s.provisioning_concurrency),
    }
    return {name: value for name, value in found.items() if value}


def _heap(limit_mb: int) -> str:
    return f"--max-old-space-size={int(limit_mb * HEAP_SHARE)}"


def published_ports(settings: Settings) -> list[int]:
    """TCP ports that visitors use: 80, with https 443 too."""
    url = urlsplit(settings.public_url)
    return [80, 443] if url.scheme == "https" else [url.port or 80]


def caddyfile(settings: Settings) -> str:
    """Text of the Caddyfile; a bare address is served over plain http, a domain gets its certificate."""
    url = urlsplit(settings.public_url)
    site = url.netloc if url.scheme == "https" else f":{url.port or 80}"
    return templates.get_template("Caddyfile.j2").render(
        site=site,
        admin_socket=ADMIN_SOCKET,
        webhook_path=WEBHOOK_PATH,
        page_policy=csp.page_policy(settings),
        file_policy=csp.FILE_POLICY,
        file_types="|".join(re.escape(name) for name in csp.FILE_TYPES),
    )


def caddyfile_path(text: str) -> str:
    """Where a Caddyfile lies on the droplet: in a directory named after its content, so that only a change recreates the proxy. The
    directory is what Caddy has mounted: a file that is replaced in it is seen by ``caddy reload``."""
    return f"{HOME}/caddy/{hashlib.sha256(text.encode()).hexdigest()[:12]}/Caddyfile"


def _limits(service: str, cpus: int) -> str:
    """Lines of a service's definition. A quota, not Compose's ``cpus``: that is an error where the kernel cannot limit processors, and
    where the machine has fewer."""
    share = SHARES[service]
    quota = int(share.cpus * cpus * CPU_PERIOD_US)
    return f"pids_limit: {share.pids}\n    cpu_period: {CPU_PERIOD_US}\n    cpu_quota: {quota}\n    cpu_shares: {share.weight}"


def _compose(settings: Settings, images: Mapping[str, str], hashes: Mapping[str, str], cpus: int) -> str:
    return templates.get_template("compose.yaml.j2").render(
        project=PROJECT,
        images=images,
        hashes=hashes,
        memory={**settings.memory_limits, "migrate": MIGRATE_MEMORY_MB},
        limits={name: _limits(name, cpus) for name in SHARES},
        networks=networks.NETWORKS,
        on=networks.of,
        scratch=SCRATCH,
        twenty_user=TWENTY_USER,
        caddy_user=CADDY_USER,
        public_url=settings.public_url,
        ports=published_ports(settings),
        caddy_directory=caddyfile_path(caddyfile(settings)).rpartition("/")[0],
        health_timeout_s=settings.health_timeout_s,
    )


def service_hashes(
    settings: Settings, images: Mapping[str, str], secrets: Mapping[str, str], cpus: int = DEFAULT_CPUS
) -> dict[str, str]:
    """``{service: 32 hex digits}`` over a service's definition and its variables: what decides whether it is made anew.

    A label of ours, because ``docker compose config --hash`` (2.26) leaves out what an env file says.
    """
    services = yaml.safe_load(_compose(settings, images, dict.fromkeys(SERVICES, ""), cpus))["services"]
    variables = env_files(settings, secrets)
    return {
        name: hashlib.sha256(json.dumps([services[name], variables.get(name, {})], sort_keys=True).encode()).hexdigest()[:32]
        for name in SERVICES
    }


def compose_file(settings: Settings, images: Mapping[str, str], secrets: Mapping[str, str], cpus: int = DEFAULT_CPUS) -> str:
    """Text of compose.yaml. ``images`` holds full references with digests for postgres, redis, caddy, server and
    tenant-manager; ``cpus`` is the number of the droplet's processors."""
    missing = [f"{name} ({images[name]})" for name in images if "@sha256:" not in images[name]]
    if missing:
        raise ValueError("not pinned by digest: " + ", ".join(missing))
    return _compose(settings, images, service_hashes(settings, images, secrets, cpus), cpus)


def render(settings: Settings, images: Mapping[str, str], secrets: Mapping[str, str], cpus: int = DEFAULT_CPUS) -> dict[str, str]:
    """Every file of a release, ``{path below its directory: text}``."""
    files = {"compose.yaml": compose_file(settings, images, secrets, cpus), "Caddyfile": caddyfile(settings)}
    for service, values in env_files(settings, secrets).items():
        files[f"env/{service}.env"] = "".join(env_line(name, value) for name, value in sorted(values.items()))
    return files


def occupied(told: str) -> list[str]:
    """Lines about places and who waits for one. ``told``: what ``tenant-manager tenants count`` prints. Pure."""
    count = json.loads(told)
    found = [f"tenants        {count['used']} in use of {count['most']}, {count['suspended']} suspended"]
    remedies = {
        "no-room": "raise MAX_TENANTS and SERVER_MEMORY_MB",
        "too-many-organizations": "raise MAX_ORGANIZATIONS_PER_PERSON",
    }
    for reason, number in sorted(count["waiting"].items()):
        found.append(f"tenants        {number} wait ({reason}): {remedies.get(reason, 'see')}, or see docs/bursts.md")
    return found


def crowded(stats: str) -> list[str]:
    """Containers that use nine tenths of their memory or more, and the setting to raise. ``stats``: Docker's name, per cent and usage, a line each.
    Pure."""
    found = []
    for name, share, usage in (line.split(maxsplit=2) for line in stats.splitlines() if line.startswith(f"{PROJECT}-")):
        if float(share.rstrip("%")) >= 90:
            service = name.removeprefix(f"{PROJECT}-").rpartition("-")[0]
            setting = f"{service.replace('-', '_').upper()}_MEMORY_MB"
            found.append(f"{service:<14} uses {usage}: raise {setting} (docs/runbook/service-unhealthy.md)")
    return found
