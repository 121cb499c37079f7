"""Whether a password is the one that Postgres has stored for a role. Source: RFC 5802 and 5803, Postgres' documentation of pg_authid."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

VERIFIER = re.compile(r"SCRAM-SHA-256\$([1-9]\d*):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")


def matches(password: str, verifier: str) -> bool:
    """``verifier``: ``rolpassword`` of pg_authid. Only for ASCII passwords, which need no SASLprep; another form of verifier is no match."""
    found = VERIFIER.fullmatch(verifier)
    if not found or not password.isascii():
        return False
    iterations, salt, stored = int(found[1]), base64.b64decode(found[2]), base64.b64decode(found[3])
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), stored)
