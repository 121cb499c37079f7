"""Every setting of a deployment: one typed class, one list.

``.env.example`` is written from it (``python -m twentyops.settings``) and a test keeps the two equal. Values come from the
environment, else from the file that ``TWENTYOPS_ENV_FILE`` names (default ``.env``) and from what ``SECRETS_COMMAND`` prints.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import difflib
import functools
import io
import ipaddress
import json
import os
import re
import subprocess
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from dotenv.main import DotEnv
from dotenv.parser import parse_stream
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from twentyops.errors import Problem, Refused

ENV_FILE_VARIABLE = "TWENTYOPS_ENV_FILE"
LAB_VARIABLE = "TWENTYOPS_LAB"
TWENTY_ENV = "TWENTY_ENV_"
"""Prefix of settings that give Twenty a variable of its own (twentyops/twenty_env.py)."""
LAB_ONLY = "For rehearsals, refused elsewhere:"
PRODUCTION_HOST = "167.99.20.94"
WEBHOOK_PATH = "/webhooks/clerk"
INNER_PORTS = {
    5432: "Postgres",
    6379: "Redis",
    3000: "Twenty's server",
    2019: "Caddy's admin",
    2020: "the tenant manager",
    2375: "Docker",
}
"""What is never open to the outside; the smoke suite looks at each."""
HEAP_SHARE = 0.75
"""Node's heap, of what its container may take."""
SERVER_SEMI_SPACE_MB = 32
"""Of Node's young objects in the server, beside the heap and up to three times: making a workspace throws so much away that with Node's own
16 MB the collector took 44 % of the time (docs/bursts.md)."""
HEAP_AT_START_MB, HEAP_OF_A_TENANT_MB = 320, 31
"""What the server's heap holds before anybody comes, and for each workspace that is used (measured, docs/bursts.md)."""
PLACEHOLDER = re.compile(
    r"^(x{3,}|\.{3}|<.*>|\$\(.*\)|\$\{.*\}|change[-_ ]?me.*|replace[-_ ]?me.*|your[-_ ].*|todo|placeholder|example|secret|password|"
    r".*(_xxx+|_\.\.\.|_your_.*|_placeholder|_replace_me.*))$",
    re.IGNORECASE,
)


def publishable_key_host(key: str) -> str:
    """Clerk's frontend API host that a publishable key names. ``ValueError`` where it is malformed. Source: Clerk's docs."""
    match = re.fullmatch(r"pk_(test|live)_([A-Za-z0-9+/_=-]+)", key)
    if not match:
        raise ValueError("a publishable key starts with pk_test_ or pk_live_; copy it from Clerk's dashboard, API keys")
    encoded = match[2].rstrip("=")
    try:
        host = base64.urlsafe_b64decode((encoded + "=" * (-len(encoded) % 4)).translate(str.maketrans("+/", "-_"))).decode(
            "ascii"
        )
    except (binascii.Error, UnicodeDecodeError):
        host = ""
    if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+\$", host):
        raise ValueError("the part after the prefix does not decode to a host name; copy the key again from Clerk's dashboard")
    return host[:-1]


def _publishable_key(value: str) -> str:
    publishable_key_host(value)
    return value


def _prefixed(prefix: str, source: str, pattern: str) -> AfterValidator:
    def check(value: SecretStr) -> SecretStr:
        if not re.fullmatch(pattern, value.get_secret_value()):
            raise ValueError(f"starts with {prefix} and comes from Clerk's dashboard, {source}")
        return value

    return AfterValidator(check)


def _webhook_secrets(value: SecretStr) -> SecretStr:
    """One of Svix's signing secrets, or several with commas; as the tenant manager reads them at its start."""
    for secret in value.get_secret_value().split(","):
        try:
            key = base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not secret.strip().startswith("whsec_") or len(key) < 16:
            raise ValueError(
                "is whsec_ and base64 of 16 bytes or more; copy it from Clerk's dashboard: Webhooks, the endpoint, Signing Secret"
            )
    return value


def _public_pem(value: str) -> str:
    """A PEM public key on one line, as Compose's env files need it. ``ValueError`` where it is none of RSA's."""
    if not value:
        return ""
    text = value.replace("\\n", "\n").strip()
    try:
        key = load_pem_public_key(text.encode())
    except ValueError as error:
        raise ValueError("no PEM public key: copy all of it, from -----BEGIN PUBLIC KEY----- on, line breaks as \\n") from error
    if not isinstance(key, RSAPublicKey) or key.key_size < 2048:
        raise ValueError("Clerk signs with RSA keys of 2048 bits or more; this is another kind of key")
    return text.replace("\n", "\\n")


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an address, a port that is none
        whole = False
    if not whole:
        raise ValueError("give a full address such as http://203.0.113.7 or https://crm.example.com")
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise ValueError("give the origin only: scheme, host and perhaps port, no path")
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else str(parts.hostname)
    usual = parts.port in (None, 80 if parts.scheme == "http" else 443)
    return f"{parts.scheme}://{host}" + ("" if usual else f":{parts.port}")


def _host(value: str) -> str:
    """An address or a name; an IPv6 address without the brackets that addresses of pages need."""
    value = value.strip()
    if value.startswith("[") and value.endswith("]"):
        value = value[1:-1]
    if not re.fullmatch(r"@local|[A-Za-z0-9._:-]+", value):
        raise ValueError("give an address or a name, without user, port and scheme")
    return value


def _public_origin(value: str) -> str:
    """As a browser writes an origin: no final slash, lower case, no port that goes without saying."""
    return _url(value.strip()) if value.strip() else ""


def _webhook_address(value: str) -> str:
    """The same for the address that Clerk calls; another path is left for the comparison to refuse."""
    value = value.strip().rstrip("/")
    origin = value.removesuffix(WEBHOOK_PATH)
    try:
        return value if origin == value else _url(origin) + WEBHOOK_PATH
    except ValueError:
        return value


def _public_key(value: str) -> str:
    if value and not re.fullmatch(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+) [A-Za-z0-9+/=]+( .*)?", value):
        raise ValueError("give one public host key line, as `ssh-keyscan HOST` prints it after the address: ssh-ed25519 AAAA...")
    return " ".join(value.split()[:2])


def _key_file(value: Path | None) -> Path | None:
    if value is None:
        return None
    value = value.expanduser()
    if not value.is_file():
        raise ValueError(f"no file at {value}; give the private key that opens the host, or make one with ssh-keygen")
    return value


def _image_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+([._/-]+[a-z0-9]+)*", value):
        raise ValueError("lower-case path without registry and tag, such as wosool-ai/twenty-crm")
    return value


def _version(value: str) -> str:
    if not re.fullmatch(r"\d+\.\d+(\.\d+)?", value):
        raise ValueError(
            "give Twenty's released version as major.minor.patch (1.10.0): without it `upgrade` runs no migration and says success"
        )
    return value


NOT_FOR_TENANTS = {
    "local": "it runs a tenant's code as the server's user, with every secret of the server",
    "lambda": "its driver installs a tenant's packages inside our server",
}


def _serverless_type(value: str) -> str:
    """How tenants' own code runs: not at all. The server refuses the others as well (src/tenancy/code)."""
    if value.lower() != "disabled":
        why = NOT_FOR_TENANTS.get(value.lower(), "Twenty knows no such type")
        raise ValueError(f"{value} is refused: {why}; leave it out, or give disabled")
    return "disabled"


def _blank_is_none(value: Any) -> Any:
    return None if value == "" else value


@dataclass(frozen=True)
class EgressTarget:
    """Addresses that containers may reach although they are private; ``port`` of TCP, 0: any."""

    network: ipaddress.IPv4Network
    port: int

    def __str__(self) -> str:
        return f"{self.network}:{self.port}" if self.port else str(self.network)


NO_IPV6 = "containers have no IPv6 but on the proxy's network, so server, worker and tenant manager cannot reach it"
NEVER_ALLOWED = [ipaddress.IPv4Network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")]
"""The machine itself, link-local addresses (a cloud's metadata service) and multicast: no relay lives there."""


def egress_target(text: str) -> EgressTarget:
    """``10.0.0.5:587``, ``10.0.0.0/24``. ``ValueError`` where it is none, or too much."""
    if text.count(":") > 1:
        raise ValueError(f"{text}: {NO_IPV6}; give the IPv4 address")
    address, _, port = text.partition(":")
    try:
        network = ipaddress.IPv4Network(address)
        if ":" in text and not re.fullmatch(r"[0-9]+", port):
            raise ValueError("the port is missing")
    except ValueError as error:
        raise ValueError(f"{text}: {error}; write 10.0.0.5:587 or 10.0.0.0/24, with commas between") from error
    if port and not 1 <= int(port) <= 65535:
        raise ValueError(f"{text}: ports are 1 to 65535")
    if network.prefixlen < 8:
        raise ValueError(f"{text} is no named address: give the relay's own, or at most a network of /8")
    if any(network.overlaps(never) for never in NEVER_ALLOWED):
        raise ValueError(f"{text} takes in the machine itself, link-local addresses or multicast, which stay closed")
    return EgressTarget(network, int(port or 0))


def _targets(value: str) -> tuple[EgressTarget, ...]:
    found = {egress_target(text) for text in value.replace(",", " ").split()}
    return tuple(sorted(found, key=lambda t: (str(t.network), t.port)))


def _egress_targets(value: str) -> str:
    _targets(value)
    return value


def _webhook(value: SecretStr | None) -> SecretStr | None:
    """Where a chat takes ``{"text": ...}``; no message shows any of it."""
    if value is None:
        return None
    text = value.get_secret_value()
    try:
        parts = urlsplit(text)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole or not re.fullmatch(r"[!-~]+", text) or parts.fragment:
        raise ValueError("give the full address that the chat shows for its incoming webhook, from https:// on")
    if parts.username is not None:
        raise ValueError("holds a user or a password before the host, which are not sent; give the address without them")
    if str(parts.hostname).endswith(("discord.com", "discordapp.com")) and not parts.path.endswith("/slack"):
        raise ValueError("Discord takes Slack's form at the same address with /slack at its end; add that")
    return value


def _mailboxes(value: str) -> str:
    """Addresses with commas, one blank after each."""
    found = [address.strip() for address in value.split(",")] if value else []
    for address in found:
        if not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", address):
            raise ValueError(f"{address or 'an empty entry'} is no e-mail address: give ops@example.com, several with commas")
    return ", ".join(found)


Megabytes = Annotated[int, Field(ge=32, le=1_048_576)]
SshPort = Annotated[int, Field(ge=1, le=65535)]
KeyFile = Annotated[Path | None, BeforeValidator(_blank_is_none), AfterValidator(_key_file)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_blank_is_none)]


class Settings(BaseSettings):
    """All settings. Field names in lower case are the variables' names; ``json_schema_extra.section`` groups them."""

    model_config = SettingsConfigDict(extra="forbid", hide_input_in_errors=True, case_sensitive=False)

    # -- where ---------------------------------------------------------------------------------------------------------
    droplet_host: Annotated[str, AfterValidator(_host)] = Field(
        PRODUCTION_HOST,
        description="Address of the server that runs the CRM, or its name in your ~/.ssh/config (ProxyJump and all).",
    )
    droplet_ssh_user: str = Field(
        "root",
        description="Who to log in as; left out: what ~/.ssh/config says, else root. Another user than root needs sudo without a password.",
    )
    droplet_ssh_port: SshPort = Field(22, description="Port of its sshd; left out: what ~/.ssh/config says, else 22.")
    droplet_ssh_key: KeyFile = Field(
        None,
        description="Private key file, one with a passphrase as your SSH agent holds it; empty: your agent and default keys.",
    )
    droplet_host_key: Annotated[str, AfterValidator(_public_key)] = Field(
        description="Its public host key, pinned: run `ssh-keyscan -t ed25519 HOST`, compare with the provider's console, paste from ssh-ed25519 on."
    )
    builder_host: Annotated[str, AfterValidator(_host)] = Field(
        "@local",
        description="Where the image is built: @local, or the address of a machine with 8 GB of memory to spare.",
    )
    builder_ssh_user: str = Field(
        "root", description="As for the droplet; another user than root must also be in the group docker."
    )
    builder_ssh_port: SshPort = Field(22, description="As for the droplet.")
    builder_ssh_key: KeyFile = Field(None, description="As for the droplet.")
    builder_host_key: Annotated[str, AfterValidator(_public_key)] = Field(
        "", description="As for the droplet; needed unless @local."
    )
    build_on_droplet: bool = Field(False, description="Allow BUILDER_HOST to be the droplet itself: the front build takes 8 GB.")
    docker_packages: Literal["distribution", "docker"] = Field(
        "distribution",
        description="Docker Engine from the distribution (Debian 13, Ubuntu) or from Docker's own repository (needed on Debian 12).",
    )
    docker_apt_url: str = Field("https://download.docker.com/linux", description="Docker's own repository or a mirror of it.")

    # -- Twenty --------------------------------------------------------------------------------------------------------
    twenty_source: str = Field(
        "https://github.com/twentyhq/twenty.git",
        description="Git address of Twenty, or a directory with a clean checkout (never modified).",
    )
    twenty_ref: str = Field("v1.10.0", description="Tag, branch or commit; ignored for a directory that is no git checkout.")
    twenty_version: Annotated[str, AfterValidator(_version)] = Field(
        "1.10.0",
        description="Released version of that ref (major.minor.patch); Twenty's upgrade decides by it what to migrate.",
    )
    source_offer_url: str = Field(
        "",
        description="Where visitors get the source of what runs (AGPL-3.0); empty: TWENTY_SOURCE if that is an address.",
    )
    serverless_type: Annotated[str, AfterValidator(_serverless_type)] = Field(
        "disabled",
        description="Tenants' own code (functions, applications, Code steps of workflows): disabled is the only value. local runs it with every secret of the server, lambda installs its packages inside the server.",
    )
    build_contexts: dict[str, str] = Field(
        default_factory=dict,
        description='Base images taken from elsewhere, JSON: {"node:24-alpine": "mirror.example.com/node:24-alpine"}.',
    )

    # -- secrets -------------------------------------------------------------------------------------------------------
    secrets_command: str = Field(
        "",
        description="Command that prints further settings as NAME=value, for secrets that do not lie in a file (1Password, Bitwarden, pass, sops: docs/secrets.md).",
    )

    # -- image ---------------------------------------------------------------------------------------------------------
    registry: str = Field("docker.io", description="Registry of the built image, host[:port].")
    image_name: Annotated[str, AfterValidator(_image_name)] = Field(
        "wosool-ai/twenty-crm", description="Namespace and name there."
    )
    registry_username: str = Field(description="Who pushes and pulls.")
    registry_password: SecretStr = Field(description="Password or access token (for Docker Hub: a token with read and write).")
    registry_ca_file: KeyFile = Field(
        None, description="CA certificate of a registry with a private one; installed for Docker on both machines."
    )
    postgres_image: str = Field(
        "docker.io/library/postgres:16", description="Database; its digest is pinned at the first deploy."
    )
    redis_image: str = Field("docker.io/library/redis:7", description="Queue and cache, two containers; pinned likewise.")
    caddy_image: str = Field("docker.io/library/caddy:2", description="Proxy; pinned likewise.")
    update_base_images: bool = Field(False, description="Look the three tags up again and pin what they name now.")
    python_image: str = Field(
        "docker.io/library/python:3.13-slim", description="What the tenant manager's image starts from; pinned when it is built."
    )

    # -- address -------------------------------------------------------------------------------------------------------
    server_url: Annotated[str, AfterValidator(_public_origin)] = Field(
        "",
        description="Public origin that people open; empty: http://<DROPLET_HOST>. With a domain and https Caddy gets the certificate; https has no port but 443.",
    )

    # -- Clerk ---------------------------------------------------------------------------------------------------------
    next_public_clerk_publishable_key: Annotated[str, AfterValidator(_publishable_key)] = Field(
        description="pk_test_... (development; the only kind that works on a bare address) or pk_live_... (needs https and a domain)."
    )
    clerk_secret_key: Annotated[SecretStr, _prefixed("sk_test_ or sk_live_", "API keys", r"sk_(test|live)_[A-Za-z0-9_-]{8,}")] = (
        Field(description="For the server and the tenant manager; browsers never get it.")
    )
    clerk_webhook_secret: Annotated[SecretStr, AfterValidator(_webhook_secrets)] = Field(
        description="Signing secret of the webhook endpoint; while one replaces another: both, with a comma."
    )
    clerk_webhook_url: Annotated[str, AfterValidator(_webhook_address)] = Field(
        "", description=f"Address that Clerk calls; empty: <SERVER_URL>{WEBHOOK_PATH}. Anything else is refused."
    )

    clerk_jwt_key: Annotated[str, AfterValidator(_public_pem)] = Field(
        "",
        description="PEM public key of the instance (API keys, JWT public key), line breaks as \\n: tokens are then checked without asking Clerk for its key set; empty: the key set.",
    )
    clerk_test_mode: Literal["refused", "allowed"] = Field(
        "refused",
        description="In the instance's test mode anybody verifies any address that contains +clerk_test, with a code that everybody knows. Development instances (pk_test_) have it on: switch it off there (dashboard: Configure, Settings, Enable test mode), or allow it here while nobody's real data are in the CRM. A deploy asks the instance, unless it is allowed.",
    )
    clerk_proxy_url: str = Field("", description=f"{LAB_ONLY} where pages find the frontend API.")
    clerk_js_url: str = Field("", description=f"{LAB_ONLY} where pages find clerk-js.")
    clerk_api_url: str = Field("", description=f"{LAB_ONLY} the Backend API.")
    clerk_jwks_url: str = Field("", description=f"{LAB_ONLY} the key set.")
    clerk_issuer: str = Field("", description=f"{LAB_ONLY} who signs tokens.")

    # -- storage and e-mail --------------------------------------------------------------------------------------------
    storage_type: Literal["local", "s3"] = Field("local", description="Where uploads live: a volume on the droplet, or S3.")
    storage_s3_region: str = Field("", description="For s3.")
    storage_s3_name: str = Field("", description="For s3: the bucket.")
    storage_s3_endpoint: str = Field("", description="For s3 that is not Amazon's.")
    storage_s3_access_key_id: str = Field("", description="For s3.")
    storage_s3_secret_access_key: OptionalSecret = Field(None, description="For s3.")
    email_driver: Literal["logger", "smtp"] = Field("logger", description="logger writes mails to the log; smtp sends them.")
    email_from_address: str = Field("", description="For smtp.")
    email_from_name: str = Field("", description="For smtp.")
    email_smtp_host: str = Field("", description="For smtp.")
    email_smtp_port: SshPort = Field(587, description="For smtp.")
    email_smtp_user: str = Field("", description="For smtp.")
    email_smtp_password: OptionalSecret = Field(None, description="For smtp.")

    egress_allow: Annotated[str, AfterValidator(_egress_targets)] = Field(
        "",
        description="Private addresses that server, worker and tenant manager may reach, with commas: an SMTP relay 10.0.0.5:587, S3 in a VPC 10.0.8.0/24:443. IPv4 only: containers have no IPv6. All other private addresses stay closed to them.",
    )
    tenant_egress_allow: Annotated[str, AfterValidator(_egress_targets)] = Field(
        "",
        description="As EGRESS_ALLOW, but for addresses that tenants choose: webhooks, HTTP steps of workflows, mail servers. Every tenant can then reach these addresses. An entry with a port must not overlap an entry of EGRESS_ALLOW with another port: the server does not compare ports.",
    )

    # -- notifications -------------------------------------------------------------------------------------------------
    notify_webhook_url: Annotated[OptionalSecret, AfterValidator(_webhook)] = Field(
        None,
        description="Incoming webhook of Slack, Mattermost or Discord (docs/notifications.md): told what was deployed, what failed and why. Whoever knows the address can write there, so it is a secret.",
    )
    notify_email: Annotated[str, AfterValidator(_mailboxes)] = Field(
        "",
        description="Who gets the same by e-mail, with commas; this machine sends it by the mail server of EMAIL_SMTP_HOST, so EMAIL_DRIVER=smtp is needed.",
    )

    # -- size ----------------------------------------------------------------------------------------------------------
    postgres_memory_mb: Megabytes = Field(512, description="Limit of the container, MB.")
    redis_memory_mb: Megabytes = Field(128, description="Limit of the queue's container, MB; entries are never evicted.")
    redis_cache_memory_mb: Megabytes = Field(
        256,
        description="Limit of the cache's container, MB: metadata of 15 to 20 workspaces in use; the least recently used entries are evicted.",
    )
    server_memory_mb: Megabytes = Field(1280, description="Limit of the container, MB (800 MB are used after boot).")
    worker_memory_mb: Megabytes = Field(
        832, description="Limit of the container, MB (450 MB are used after boot, 550 MB while workspaces are made)."
    )
    tenant_manager_memory_mb: Megabytes = Field(
        176, description="Limit of the container, MB (80 MB are used at work, 115 MB under a flood of webhooks)."
    )
    caddy_memory_mb: Megabytes = Field(
        192,
        description="Limit of the container, MB: the most that was measured with 1100 slow connections is 157 (docs/outside.md); the kernel admits 1300.",
    )
    reserved_memory_mb: Megabytes = Field(
        512, description="Memory for the system and Docker, MB; this and all limits together must fit into the droplet's memory."
    )
    max_tenants: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Workspaces in use at once; further organisations wait until one is free. 0: as many as fit into SERVER_MEMORY_MB (20 with the default).",
    )
    max_organizations_per_person: int = Field(
        5,
        ge=1,
        le=10_000,
        description="How many organisations that one person created at Clerk get a workspace; further ones wait.",
    )
    provisioning_concurrency: int = Field(
        1, ge=1, le=16, description="Workspaces that are made at once; others wait in line. 1 suits two processors."
    )
    minimum_disk_mb: Megabytes = Field(10_000, description="Free space under /var/lib that a deploy requires, MB.")
    migration_timeout_s: int = Field(900, ge=30, le=86_400, description="Time that Twenty's migrations may take, seconds.")
    health_timeout_s: int = Field(180, ge=5, le=3600, description="Time that a service may take to become healthy, seconds.")
    release_retention: int = Field(
        5, ge=2, le=100, description="How many releases are kept on the droplet, the running one included."
    )
    lock_minutes: int = Field(120, ge=1, le=1440, description="Minutes after which the lock of a deploy counts as abandoned.")

    # -- filled by load() ----------------------------------------------------------------------------------------------
    twenty_env: dict[str, SecretStr] = Field(
        default_factory=dict, description="Variables of Twenty's own, without their prefix; each may be a secret."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)  # load() reads the environment and the file, so that it can name every problem at once

    # -- derived -------------------------------------------------------------------------------------------------------
    @property
    def public_url(self) -> str:
        host = f"[{self.droplet_host}]" if ":" in self.droplet_host else self.droplet_host
        return self.server_url or f"http://{host}"

    @property
    def webhook_url(self) -> str:
        return self.clerk_webhook_url or self.public_url + WEBHOOK_PATH

    @property
    def repository(self) -> str:
        """Full name of our images without tag: ``registry/namespace/name``; their tags tell them apart."""
        return f"{self.registry}/{self.image_name}"

    @property
    def egress_allowed(self) -> tuple[EgressTarget, ...]:
        """What the packet filter opens: EGRESS_ALLOW and TENANT_EGRESS_ALLOW, sorted."""
        return _targets(f"{self.egress_allow} {self.tenant_egress_allow}")

    @property
    def tenant_egress_allowed(self) -> tuple[EgressTarget, ...]:
        """What the CRM connects to for a tenant, although it is private; sorted."""
        return _targets(self.tenant_egress_allow)

    @property
    def builder_is_local(self) -> bool:
        return self.builder_host == "@local"

    @property
    def source_is_directory(self) -> bool:
        return not re.match(r"^(https?|ssh|git|file)://|^[\w.-]+@[\w.-]+:", self.twenty_source)

    @property
    def source_offer(self) -> str:
        """Where visitors get the source, without a login that TWENTY_SOURCE may hold; empty where no address is known."""
        if self.source_offer_url or self.source_is_directory:
            return self.source_offer_url
        return re.sub(r"(?<=://)[^/@]*@", "", self.twenty_source)

    @property
    def most_tenants(self) -> int:
        """Workspaces that may be in use: MAX_TENANTS, or what the server's heap has room for (docs/bursts.md has the figures)."""
        return self.max_tenants or max(1, int((self.server_memory_mb * HEAP_SHARE - HEAP_AT_START_MB) / HEAP_OF_A_TENANT_MB))

    @property
    def memory_limits(self) -> dict[str, int]:
        """MB that each container may take."""
        names = ("postgres", "redis", "redis-cache", "server", "worker", "tenant-manager", "caddy")
        return {name: getattr(self, f"{name.replace('-', '_')}_memory_mb") for name in names}


NAMES = {name.upper(): field for name, field in Settings.model_fields.items() if name != "twenty_env"}
SECTIONS = {
    "DROPLET_HOST": "Where",
    "TWENTY_SOURCE": "Twenty",
    "SECRETS_COMMAND": "Secrets from elsewhere",
    "REGISTRY": "Image and registry",
    "SERVER_URL": "Address",
    "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY": "Clerk (dashboard.clerk.com)",
    "STORAGE_TYPE": "Storage, e-mail, private addresses",
    "NOTIFY_WEBHOOK_URL": "Notifications of deploys",
    "POSTGRES_MEMORY_MB": "Sizes, times, retention",
}


def is_setting(name: str) -> bool:
    """Whether ``load`` takes this variable from the environment."""
    return name in NAMES or name.startswith(TWENTY_ENV)


def is_secret(name: str) -> bool:
    """Whether a setting of ``NAMES`` is one."""
    return "SecretStr" in str(NAMES[name].annotation)


TWENTY_ENV_TITLE = "Anything else of Twenty's"
TWENTY_ENV_TEXT = f"{TWENTY_ENV}NAME=value gives server, worker and migrations Twenty's variable NAME. Names that the tree does not have are refused, and so are those that this project sets or that open a hole: docs/twenty-env.md. All values are treated as secrets."
SECRETS_SECONDS = 120
"""A person may have to unlock a password manager first."""
MAY_HAVE_LINES = {"CLERK_JWT_KEY", "BUILD_CONTEXTS"}
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
NEUTRAL = {
    "DROPLET_HOST_KEY": "ssh-ed25519 AAAA",
    "REGISTRY_USERNAME": "-",
    "REGISTRY_PASSWORD": "-",
    "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY": "pk_test_" + base64.b64encode(b"clerk.invalid$").decode(),
    "CLERK_SECRET_KEY": "sk_test_" + "0" * 8,
    "CLERK_WEBHOOK_SECRET": "whsec_" + "0" * 32,
}
"""Stand in for refused required values while the rest is checked; never leave ``load``, but for messages."""
NOTIFYING = {
    "DROPLET_HOST",
    "NOTIFY_WEBHOOK_URL",
    "NOTIFY_EMAIL",
    *(name for name in NAMES if name.startswith("EMAIL_")),
}
"""What a notification is made of and sent by."""


def _inconsistencies(s: Settings, refused: set[str]) -> list[Problem]:
    """What single values cannot show: settings that contradict each other, but for those refused already."""
    found = []
    try:
        url = urlsplit(_url(s.public_url))
        bare_address = _is_address(url.hostname or "")
        if not s.server_url and not _is_address(s.droplet_host) and "." not in s.droplet_host:
            found.append(
                Problem(
                    "SERVER_URL",
                    f"needed: browsers do not know {s.droplet_host}, a name of your SSH configuration; give http://ADDRESS or https://DOMAIN",
                )
            )
        if url.port in INNER_PORTS:
            found.append(
                Problem(
                    "SERVER_URL",
                    f"port {url.port} is kept for {INNER_PORTS[url.port]}, which stays closed to the outside: leave the port out, or take another",
                )
            )
        if url.hostname in {"localhost", "127.0.0.1", "::1"}:
            found.append(
                Problem("SERVER_URL", f"{s.public_url} is not reachable for visitors; give the droplet's public address")
            )
        elif bare_address and _is_address(s.droplet_host) and not _same_address(str(url.hostname), s.droplet_host):
            found.append(
                Problem("SERVER_URL", f"{url.hostname} is not the droplet ({s.droplet_host}); visitors would land elsewhere")
            )
        if bare_address and url.scheme == "https":
            found.append(Problem("SERVER_URL", "https needs a domain name; use http on a bare address"))
        elif url.scheme == "https" and url.port not in (None, 443):
            found.append(
                Problem("SERVER_URL", f"port {url.port} is not published: with https only 80 and 443 are; leave the port out")
            )
        if s.next_public_clerk_publishable_key.startswith("pk_live_") and (url.scheme != "https" or bare_address):
            found.append(
                Problem(
                    "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY",
                    "pk_live_ needs an https SERVER_URL with a domain; use a pk_test_ key on a bare address",
                )
            )
    except ValueError as error:
        found.append(Problem("SERVER_URL", str(error)))
    kinds = {s.next_public_clerk_publishable_key[3:7], s.clerk_secret_key.get_secret_value()[3:7]}
    if len(kinds) > 1 and not refused & {"NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY", "CLERK_SECRET_KEY"}:
        found.append(
            Problem(
                "CLERK_SECRET_KEY",
                "belongs to another Clerk instance than the publishable key (one is test, the other live)",
            )
        )
    if s.webhook_url != s.public_url + WEBHOOK_PATH:
        found.append(
            Problem(
                "CLERK_WEBHOOK_URL",
                f"must be {s.public_url + WEBHOOK_PATH}: the proxy serves no other path; leave it empty or mend it",
            )
        )
    if not s.droplet_host_key:
        found.append(
            Problem("DROPLET_HOST_KEY", "empty; run `ssh-keyscan -t ed25519 HOST` and compare with the provider's console")
        )
    if not s.builder_is_local and not s.builder_host_key:
        found.append(Problem("BUILDER_HOST_KEY", f"needed, since BUILDER_HOST is {s.builder_host}"))
    if s.builder_host == s.droplet_host and not s.build_on_droplet:
        found.append(
            Problem(
                "BUILDER_HOST",
                "is the droplet; the build takes 8 GB there: name another machine, or set BUILD_ON_DROPLET=true",
            )
        )
    if not s.source_is_directory and not s.twenty_ref:
        found.append(Problem("TWENTY_REF", "needed for a git address; give a tag or a commit"))
    if s.storage_type == "s3":
        found += [
            Problem(f"STORAGE_S3_{n.upper()}", "needed, since STORAGE_TYPE is s3")
            for n in ("region", "name")
            if not getattr(s, f"storage_s3_{n}")
        ]
    if s.email_driver == "smtp":
        found += [
            Problem(f"EMAIL_{n.upper()}", "needed, since EMAIL_DRIVER is smtp")
            for n in ("from_address", "smtp_host")
            if not getattr(s, f"email_{n}")
        ]
    if s.notify_email and s.email_driver != "smtp":
        text = "needs a mail server: give EMAIL_DRIVER=smtp, EMAIL_SMTP_HOST and EMAIL_FROM_ADDRESS, or leave it out"
        found.append(Problem("NOTIFY_EMAIL", text))
    for name, host, port in (
        ("EMAIL_SMTP_HOST", s.email_smtp_host if s.email_driver == "smtp" else "", s.email_smtp_port),
        ("STORAGE_S3_ENDPOINT", *_endpoint(s.storage_s3_endpoint if s.storage_type == "s3" else "")),
    ):
        if ":" in host:
            found.append(Problem(name, f"{host}: {NO_IPV6}; give a name or an IPv4 address"))
        elif host and _is_private(host) and not _reached(s, host, port) and "EGRESS_ALLOW" not in refused:
            found.append(
                Problem(name, f"{host} is a private address, which containers may not reach: add {host}:{port} to EGRESS_ALLOW")
            )
    found += _widened(s)
    values = [v for v in (s.registry_password, s.clerk_secret_key, s.clerk_webhook_secret) if v]
    if len({v.get_secret_value() for v in values}) < len(values):
        found.append(Problem("CLERK_SECRET_KEY", "two secrets have the same value; each must be its own"))
    return found


def _widened(s: Settings) -> list[Problem]:
    """Entries of TENANT_EGRESS_ALLOW whose port does not bind: the server compares addresses only, and the packet filter also opens the
    ports that EGRESS_ALLOW names."""
    tenants = s.tenant_egress_allowed
    for entry in tenants:
        for other in _targets(s.egress_allow):
            if not entry.network.overlaps(other.network):
                continue
            both = max(entry.network, other.network, key=lambda network: network.prefixlen)
            if not any(both.subnet_of(target.network) and target.port in (0, other.port) for target in tenants):
                port = f"port {other.port}" if other.port else "every port"
                text = f"{entry} overlaps {other} of EGRESS_ALLOW, so tenants could reach {port} of {both} too: give addresses that do not overlap, or leave the port of {entry} out to allow that"
                return [Problem("TENANT_EGRESS_ALLOW", text)]
    return []


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _same_address(one: str, other: str) -> bool:
    return ipaddress.ip_address(one) == ipaddress.ip_address(other)


def _is_private(host: str) -> bool:
    return _is_address(host) and not ipaddress.ip_address(host).is_global


def _endpoint(url: str) -> tuple[str, int]:
    """Host and port of an address; an empty host where it has none."""
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
    except ValueError:
        return "", 0


def _reached(s: Settings, host: str, port: int) -> bool:
    """Whether EGRESS_ALLOW names this address and port."""
    address = ipaddress.ip_address(host)
    return any(address in target.network and target.port in (0, port) for target in s.egress_allowed)


def _read_file(path: Path) -> tuple[dict[str, str], list[Problem]]:
    """Values of one settings file, and what is wrong with its lines."""
    try:
        return _parse(_text(path.read_bytes()), path.name)
    except ValueError as error:
        return {}, [Problem(str(path), str(error))]


def _output(command: str) -> str:
    """What a shell command prints, asked once in a process: some ask a person each time. ``ValueError``: it gave nothing to use."""
    answer = _answer(command)
    if isinstance(answer, ValueError):
        raise answer
    return answer


@functools.lru_cache
def _answer(command: str) -> str | ValueError:
    """The same, with the failure as a value: a failed command is not asked again either.

    Its questions and errors go to the terminal, since they may hold secrets.
    """
    try:
        return _run(command)
    except ValueError as error:
        return error


def _run(command: str) -> str:
    try:
        done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, timeout=SECRETS_SECONDS, check=False)  # noqa: S602 - a shell command is what the operator sets
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"no end after {SECRETS_SECONDS} s; run the command by itself: does it wait for an answer?") from error
    if done.returncode != 0:
        raise ValueError(f"ended with exit code {done.returncode}; what it said stands above")
    text = _text(done.stdout)
    if not text.strip():
        raise ValueError("printed nothing; it must print NAME=value, a line for each secret")
    return text


def _from_command(command: str) -> tuple[dict[str, str], list[Problem]]:
    """Values that the command prints, and what is wrong with it."""
    try:
        values, problems = _parse(_output(command), "output of SECRETS_COMMAND")
    except ValueError as error:
        return {}, [Problem("SECRETS_COMMAND", str(error))]
    if values.pop("SECRETS_COMMAND", None) is not None:
        problems.append(Problem("SECRETS_COMMAND", "its output sets SECRETS_COMMAND itself; take that out"))
    return values, problems


def _parse(text: str, name_of_text: str) -> tuple[dict[str, str], list[Problem]]:
    """Values of NAME=value lines, and what is wrong with them; no message shows a value."""
    values: dict[str, str] = {}
    problems = []
    resolved = DotEnv(None, io.StringIO(text), interpolate=False).dict()
    for binding in parse_stream(io.StringIO(text)):
        where = f"{name_of_text} line {binding.original.line}"
        if binding.error:
            problems.append(Problem(where, "cannot be read; write NAME=value"))
        elif binding.key is not None:
            name = binding.key.upper()
            if not is_setting(name):
                near = difflib.get_close_matches(name, NAMES, n=1)
                problems.append(
                    Problem(
                        f"{binding.key} ({where})",
                        "unknown" + (f"; did you mean {near[0]}?" if near else "; see .env.example"),
                    )
                )
            elif name in values:
                problems.append(Problem(f"{name} ({where})", "set twice; keep one"))
            else:
                values[name] = resolved.get(binding.key) or ""
    return values, problems


def _text(data: bytes) -> str:
    """A settings file's text: UTF-8, with or without the mark that Windows writes. ``ValueError`` says what else it is."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("is UTF-16, as some Windows programs write; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"is not UTF-8: line {line} has a byte that is none (Latin-1?); save it as UTF-8") from None
    if "\0" in text:
        raise ValueError("holds a NUL character; save it as UTF-8 text")
    return text


def _may_be_empty(name: str) -> bool:
    """Whether empty says something: nothing chosen, or (TWENTY_REF) what a directory has checked out."""
    return name == "TWENTY_REF" or NAMES[name].get_default(call_default_factory=True) in ("", None, {})


def _twenty_env_problem(name: str, value: str) -> str:
    """What can be said without Twenty's list of variables; empty: nothing."""
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name.removeprefix(TWENTY_ENV)):
        return f"names no variable: write {TWENTY_ENV}NAME=value, in capitals"
    if not value:
        return "empty, which Twenty takes for a value; give one, or take the line out"
    return "still a placeholder; give its value, or take the line out" if PLACEHOLDER.match(value) else ""


def _required(name: str) -> bool:
    return NAMES[name].is_required()


def _given(environ: dict[str, str]) -> tuple[dict[str, str], list[Problem]]:
    """Every value that environment, settings file and SECRETS_COMMAND give, and what is wrong with those."""
    path = Path(environ.get(ENV_FILE_VARIABLE, ".env"))
    values, problems = _read_file(path) if path.is_file() else ({}, [])
    if ENV_FILE_VARIABLE in environ and not path.is_file():
        problems.append(Problem(ENV_FILE_VARIABLE, f"no file at {path}"))
    given = {name: value for name, value in environ.items() if is_setting(name)}
    if command := given.get("SECRETS_COMMAND", values.get("SECRETS_COMMAND", "")).strip():
        fetched, wrong = _from_command(command)
        wrong += [
            Problem(name, f"set in {path.name} and by SECRETS_COMMAND; keep one")
            for name in sorted(values.keys() & fetched.keys())
        ]
        values, problems = {**values, **fetched}, problems + wrong
    values |= given
    return {name: value.strip() for name, value in values.items()}, problems


def load_for_notifications(environ: dict[str, str] | None = None) -> Settings:
    """The settings by which a deploy can still tell somebody that ``load`` refuses the settings: whatever else is given is left out,
    refused values too, and neutral ones stand in their place. For nothing but messages."""
    values, _ = _given(dict(os.environ if environ is None else environ))
    kept = {name: value for name, value in values.items() if name in NOTIFYING and value and not CONTROL.search(value)}
    try:
        return _build(NEUTRAL | kept)
    except ValidationError as error:
        refused = {str(detail["loc"][0]).upper() for detail in error.errors(include_input=False, include_url=False)}
        return _build(NEUTRAL | {name: value for name, value in kept.items() if name not in refused})


def load(environ: dict[str, str] | None = None) -> Settings:
    """The settings, or ``Refused`` with every problem found, none of them showing a secret's value."""
    environ = dict(os.environ if environ is None else environ)
    values, problems = _given(environ)
    for name, value in list(values.items()):
        if name not in MAY_HAVE_LINES and CONTROL.search(value):
            problems.append(Problem(name, "holds a line break, a tab or another control character; give it as one line"))
            del values[name]
    for name, value in list(values.items()):
        if name.startswith(TWENTY_ENV):
            if wrong_here := _twenty_env_problem(name, value):
                problems.append(Problem(name, wrong_here))
                del values[name]
        elif _required(name) and not value.strip():
            problems.append(Problem(name, "empty; " + (NAMES[name].description or "")))
            del values[name]
        elif not value.strip() and not _may_be_empty(name):
            problems.append(Problem(name, f"empty; give a value, or leave it out for {NAMES[name].default}"))
            del values[name]
        elif PLACEHOLDER.match(value.strip()):
            problems.append(Problem(name, "still a placeholder; " + (NAMES[name].description or "")))
            del values[name]
    named = {p.setting.split(" ")[0] for p in problems}
    if environ.get(LAB_VARIABLE) and values.get("DROPLET_HOST", PRODUCTION_HOST) == PRODUCTION_HOST:
        problems.append(
            Problem("DROPLET_HOST", f"{LAB_VARIABLE} is set: a test or rehearsal never runs against the production address")
        )
    if not environ.get(LAB_VARIABLE):
        for name in sorted(n for n, field in NAMES.items() if (field.description or "").startswith(LAB_ONLY) and values.get(n)):
            problems.append(Problem(name, "a rehearsal's setting: people would sign in at an emulator; take it out"))
            del values[name]
    settings = None
    try:
        settings = _build(values)
    except ValidationError as error:
        for detail in error.errors(include_input=False, include_url=False):
            name = str(detail["loc"][0]).upper()
            values.pop(name, None)
            if name not in named:
                missing = detail["type"] == "missing"
                text = "missing; " + (NAMES[name].description or "") if missing else detail["msg"].removeprefix("Value error, ")
                problems.append(Problem(name, text))
                named.add(name)
        # what single values hide is looked for all the same, with neutral values in place of the refused ones
        settings = _build({name: value for name, value in NEUTRAL.items() if name in named} | values)
    problems += [p for p in _inconsistencies(settings, named) if p.setting not in named]
    if problems:
        raise Refused("Settings refused, nothing was changed:", problems)
    return settings


def _build(values: dict[str, str]) -> Settings:
    parsed: dict[str, Any] = {"twenty_env": {}}
    for name, value in values.items():
        if name.startswith(TWENTY_ENV):
            parsed["twenty_env"][name.removeprefix(TWENTY_ENV)] = SecretStr(value)
        elif name == "BUILD_CONTEXTS":
            try:
                parsed[name.lower()] = json.loads(value or "{}")
            except json.JSONDecodeError:
                parsed[name.lower()] = value
        else:
            parsed[name.lower()] = value

    return Settings(**parsed)


def render_env_example() -> str:
    """Text of ``.env.example``: every setting with its comment and default, secrets and required ones empty."""
    lines = [
        "# Copy to .env and fill in what has no default. Written by `python -m twentyops.settings`; a test keeps it true.",
        "# Unknown names, empty required values and placeholders are refused before anything changes.",
    ]
    for name, field in NAMES.items():
        if name in SECTIONS:
            lines += ["", f"# ---- {SECTIONS[name]} " + "-" * (100 - len(SECTIONS[name]))]
        lines += textwrap.wrap(field.description or "", 116, initial_indent="# ", subsequent_indent="#   ")
        if field.is_required():
            lines += [f"{name}="]
        else:
            default = field.get_default(call_default_factory=True)
            text = "" if default is None or default == {} else str(default).lower() if isinstance(default, bool) else str(default)
            lines += [f"# {name}={text}"]
    lines += ["", f"# ---- {TWENTY_ENV_TITLE} " + "-" * (100 - len(TWENTY_ENV_TITLE))]
    lines += textwrap.wrap(TWENTY_ENV_TEXT, 116, initial_indent="# ", subsequent_indent="#   ")
    lines += [f"# {TWENTY_ENV}LOG_LEVELS=error,warn"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render_env_example(), end="")
