"""Svix's signature scheme (the one of standard webhooks): ``v1,`` and the HMAC-SHA256 of id, timestamp and the raw body."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

PREFIX = "whsec_"


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature of a message; ``timestamp`` in seconds."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(keys: Iterable[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Headers of a delivery; with several secrets (while one replaces another) there is a signature of each."""
    return {
        "svix-id": message_id,
        "svix-timestamp": str(timestamp),
        "svix-signature": " ".join(signature(secret, message_id, timestamp, body) for secret in keys),
    }
