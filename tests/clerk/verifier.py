"""A strict verifier of session tokens, as facts/clerk.md asks of every one: what it takes is good, what it refuses raises."""

from __future__ import annotations

import time
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

REGISTRY = JWSRegistry(algorithms=["RS256"], strict_check_header=False)
LARGEST = 8192


class Refused(Exception):
    """The token is not let in; the message says why, to the test only."""


def verified(token: str, jwks: dict[str, Any], *, issuer: str, parties: list[str], leeway: int = 5) -> dict[str, Any]:
    """Claims of a good token."""
    if not 0 < len(token) <= LARGEST:
        raise Refused("size")
    keys: Any = KeySet.import_key_set({"keys": jwks["keys"]})
    try:
        found = jwt.decode(token, keys, algorithms=["RS256"], registry=REGISTRY)
    except (JoseError, ValueError) as error:
        raise Refused(f"{type(error).__name__}: {error}") from error
    claims, now = dict(found.claims), time.time()
    for name, good in (
        ("iss", lambda v: v == issuer),
        ("azp", lambda v: v in parties),
        ("exp", lambda v: v > now - leeway),
        ("nbf", lambda v: v < now + leeway),
        ("sub", lambda v: isinstance(v, str) and v.startswith("user_")),
    ):
        if name not in claims or not good(claims[name]):
            raise Refused(name)
    if claims.get("sts", "active") != "active":
        raise Refused("sts")
    if "aud" in claims:
        raise Refused("aud")
    return claims
