"""What a Clerk instance tells about itself to everybody: whether its test mode is on. Asked from the control machine.

Source: the environment of the frontend API (``GET /v1/environment``), which every page with Clerk reads; no key is sent.
"""

from __future__ import annotations

import httpx

from twentyops.settings import Settings, publishable_key_host

TIMEOUT_S = 15.0
JWKS_PATH = "/.well-known/jwks.json"


class ClerkSilent(Exception):
    """The instance does not say it; the text says which address was asked and what came."""


def frontend(settings: Settings) -> str:
    """Address of the frontend API: the host in the publishable key, in a rehearsal the emulator's."""
    if settings.clerk_proxy_url.startswith(("http://", "https://")):
        return settings.clerk_proxy_url.rstrip("/")
    if settings.clerk_jwks_url.endswith(JWKS_PATH):  # the pages have a path only, this machine needs the address behind it
        return settings.clerk_jwks_url.removesuffix(JWKS_PATH)
    return f"https://{publishable_key_host(settings.next_public_clerk_publishable_key)}"


def is_test_mode_on(address: str, transport: httpx.BaseTransport | None = None) -> bool:
    """Whether the instance at a frontend API takes test addresses with a fixed code. ``ClerkSilent`` when it does not say so."""
    url = f"{address}/v1/environment"
    try:
        with httpx.Client(timeout=TIMEOUT_S, transport=transport) as client:
            answer = client.get(url)
    except httpx.HTTPError as error:
        raise ClerkSilent(f"{url}: {type(error).__name__}: {error}") from None
    if answer.status_code != 200:
        raise ClerkSilent(f"{url} answered {answer.status_code}")
    try:
        found = answer.json()["auth_config"]["test_mode"]
    except (ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, bool):
        raise ClerkSilent(f"{url} has no auth_config.test_mode")
    return found
