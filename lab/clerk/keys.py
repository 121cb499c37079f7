"""Signing keys of the instance: a key set that rotates on demand, and tokens signed with it."""

from __future__ import annotations

import secrets
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey
from joserfc.jws import JWSRegistry

ALGORITHM = "RS256"
# joserfc refuses header fields that it does not know, and Clerk's tokens carry one (`cat`)
REGISTRY = JWSRegistry(algorithms=[ALGORITHM], strict_check_header=False)
CATEGORY = "cl_B7d4PD111AAA"


def new_key(bits: int = 2048) -> RSAKey:
    return RSAKey.generate_key(bits, parameters={"use": "sig", "alg": ALGORITHM}, private=True)


class KeyRing:
    """Keys by id, the newest one signs; all of them are in the key set until they are dropped."""

    def __init__(self, kept: dict[str, dict[str, Any]] | None = None) -> None:
        self._keys: dict[str, RSAKey] = {kid: RSAKey.import_key(dict(key)) for kid, key in (kept or {}).items()}
        if not self._keys:
            self.rotate()

    @property
    def current(self) -> str:
        return next(reversed(self._keys))

    def private(self) -> dict[str, dict[str, Any]]:
        """Private keys as JSON web keys, to be kept in a file that only its owner reads."""
        return {kid: dict(key.as_dict(private=True)) for kid, key in self._keys.items()}

    def rotate(self, *, drop_old: bool = False) -> str:
        """Sign with a new key from now on; without ``drop_old``, what the old keys signed stays verifiable. Returns its id."""
        if drop_old:
            self._keys.clear()
        kid = f"ins_{secrets.token_urlsafe(20)}"
        self._keys[kid] = new_key()
        return kid

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public key set, as the frontend and the Backend API both answer it."""
        public = {kid: key.as_dict(private=False) for kid, key in self._keys.items()}
        return {
            "keys": [
                {"use": "sig", "kty": "RSA", "kid": kid, "alg": ALGORITHM, "n": str(key["n"]), "e": str(key["e"])}
                for kid, key in public.items()
            ]
        }

    def pem(self) -> str:
        """Public key that signs now, in PEM: what Clerk's dashboard shows as the JWT public key."""
        return self._keys[self.current].as_pem(private=False).decode()

    def sign(self, claims: dict[str, Any], header: dict[str, Any] | None = None, key: RSAKey | None = None) -> str:
        """A compact RS256 token with Clerk's header; ``header`` and ``key`` replace parts of it for tokens that must be refused."""
        found = {"alg": ALGORITHM, "cat": CATEGORY, "kid": self.current, "typ": "JWT"} | (header or {})
        return jwt.encode(found, claims, key or self._keys[self.current], registry=REGISTRY)
