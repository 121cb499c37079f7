"""The settings file of a rehearsal: what a person would write into ``.env``, with the lab's addresses and made-up secrets."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from lab import state
from lab.identity import PROJECT, LabError
from lab.world import BUILDER, DROPLET, Lab
from twentyops.settings import NAMES, PRODUCTION_HOST

STANDIN = PROJECT / "lab" / "standin"
VERSION = "1.11.0"
LIMITS = ("MAX_TENANTS", "MAX_ORGANIZATIONS_PER_PERSON", "PROVISIONING_CONCURRENCY")


def source() -> str:
    """Twenty's source for the rehearsal: TWENTY_SOURCE of the environment, else the stand-in."""
    given = os.environ.get("TWENTY_SOURCE")
    if not given:
        return str(STANDIN)
    return str(Path(given).resolve()) if Path(given).is_dir() else given


def build_contexts(images: dict[str, str]) -> dict[str, str]:
    """Images that a Dockerfile names -> where the lab holds them: ``{"node:24-alpine": "10.77.0.1:5000/library/node:24-alpine"}``."""
    return {images["node"].rpartition("/")[2]: images["node"]} if "node" in images else {}


def sizes(environ: dict[str, str]) -> dict[str, str]:
    """The limits that the caller's environment names: a lab that shall hold many workspaces needs more than a small droplet."""
    wanted = [name for name in NAMES if name.endswith("_MEMORY_MB") or name in LIMITS]
    return {name: environ[name] for name in wanted if environ.get(name)}


def values(lab: Lab) -> dict[str, str]:
    """Every setting that the lab gives. LabError when base images are missing from its registry."""
    if missing := [name for name in ("postgres", "redis", "caddy", "python") if name not in lab.images]:
        raise LabError(
            f"lab {lab.name} has no base images for {', '.join(missing)}: python -m lab up --name {lab.name} pushes them"
        )
    registry, clerk = lab.registry, lab.clerk.settings()
    found: dict[str, str] = {}
    for prefix, name in (("DROPLET", DROPLET), ("BUILDER", BUILDER)):
        if name not in lab.machines:  # a lab without a builder builds on this machine, which is the default
            continue
        machine = lab.machine(name)
        found |= {
            f"{prefix}_HOST": machine.address,
            f"{prefix}_SSH_USER": machine.user,
            f"{prefix}_SSH_PORT": str(machine.port),
            f"{prefix}_SSH_KEY": str(lab.ssh_key),
            f"{prefix}_HOST_KEY": machine.host_key(),
        }
    found |= {
        "TWENTY_SOURCE": source(),
        "TWENTY_REF": os.environ.get("TWENTY_REF", "") if os.environ.get("TWENTY_SOURCE") else "",
        "TWENTY_VERSION": os.environ.get("TWENTY_VERSION") or VERSION,
        "SOURCE_OFFER_URL": "https://example.org/source",
        "REGISTRY": registry.address,
        "IMAGE_NAME": "wosool-ai/twenty-crm",
        "REGISTRY_USERNAME": registry.username,
        "REGISTRY_PASSWORD": registry.password,
        "REGISTRY_CA_FILE": str(registry.ca_file),
        "POSTGRES_IMAGE": lab.images["postgres"],
        "REDIS_IMAGE": lab.images["redis"],
        "CADDY_IMAGE": lab.images["caddy"],
        "PYTHON_IMAGE": lab.images["python"],
        "BUILD_CONTEXTS": json.dumps(build_contexts(lab.images)),
        "SERVER_URL": lab.public_url,
        "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY": clerk["publishableKey"],
        "CLERK_PROXY_URL": clerk["proxyUrl"],
        "CLERK_JS_URL": clerk["clerkJSUrl"],
        "CLERK_API_URL": clerk["apiUrl"],
        "CLERK_JWKS_URL": clerk["jwksUrl"],
        "CLERK_ISSUER": clerk["issuer"],
        "CLERK_SECRET_KEY": lab.clerk.secrets["secret_key"],
        "CLERK_WEBHOOK_SECRET": lab.clerk.secrets["webhook_secret"],
        "CLERK_WEBHOOK_URL": lab.webhook_url,
        # the lab's Clerk has a private address, to which containers otherwise have no way
        "EGRESS_ALLOW": urlsplit(clerk["apiUrl"]).netloc,
    }
    found |= sizes(dict(os.environ))
    if found["DROPLET_HOST"] == PRODUCTION_HOST or PRODUCTION_HOST in found["SERVER_URL"]:
        raise LabError("the lab would deploy to the production address: refused")
    return found


def text(found: dict[str, str]) -> str:
    """The settings in the form of an env file; single quotes keep JSON and spaces as they are."""
    lines = ["# Written by the lab for one rehearsal; secrets are made up. Do not edit: the next rehearsal writes it anew."]
    for name, value in found.items():
        if "'" in value or "\n" in value:
            raise LabError(f"{name} holds a quote or a line break, which the settings file cannot carry: {value!r}")
        lines.append(f"{name}='{value}'")
    return "\n".join(lines) + "\n"


def write(lab: Lab, **changes: str) -> Path:
    """Write the lab's settings file, with changes to single settings, and return its path."""
    state.write_private(lab.settings_file, text(values(lab) | changes))
    return lab.settings_file
