"""Session tokens, the good ones and those that every verifier has to refuse."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from lab.clerk.errors import ClerkError, invalid
from lab.clerk.instance import Instance
from lab.clerk.keys import KeyRing, new_key
from lab.clerk.model import Session

Claims = dict[str, Any]
ELSEWHERE = "https://elsewhere.test"
ACTIVE = "active"


def encoded(part: bytes | dict[str, Any]) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Minter:
    """Signs tokens for sessions of an instance. ``issuer`` is ``https://`` and the host in the publishable key."""

    def __init__(self, instance: Instance, keys: KeyRing, issuer: str) -> None:
        self.instance, self.keys, self.issuer = instance, keys, issuer

    def claims(self, session: Session, organization_id: str | None, origin: str | None) -> Claims:
        """Claims of a version 2 session token; ClerkError 403 when the person is no member of the organisation."""
        settings = self.instance.settings
        now = int(time.time() + settings.clock_skew)
        found: Claims = {
            "azp": origin or session.origin,
            "exp": int(now + settings.token_lifetime),
            "fva": [0, -1],
            "iat": now,
            "iss": self.issuer,
            "jti": secrets.token_hex(10),
            "nbf": now - 10,
            "sid": session.id,
            "sts": session.status,
            "sub": session.user_id,
            "v": 2,
        }
        if found["azp"] is None:
            del found["azp"]
        if organization_id:
            organization = self.instance.organization(organization_id)
            members = self.instance.memberships(user_id=session.user_id, organization_id=organization.id)
            if not members:
                raise ClerkError(403, "not_a_member_in_organization", "You are not a member of this organization.")
            found["o"] = {"id": organization.id, "rol": members[0].role.removeprefix("org:"), "slg": organization.slug}
        return found

    def token(self, session: Session, origin: str | None = None, organization_id: str | None = ACTIVE) -> str:
        """A token for a browser: of the session's active organisation, of another one, or of none (None)."""
        wanted = session.organization_id if organization_id == ACTIVE else organization_id
        return self.flawed(self.instance.settings.token_flaw, self.claims(session, wanted, origin))

    def flawed(self, flaw: str | None, claims: Claims, header: dict[str, Any] | None = None) -> str:
        """Sign claims; with a flaw (a name in FLAWS) the result is what a verifier must refuse."""
        if flaw is None:
            return self.keys.sign(claims, header)
        if flaw not in FLAWS:
            raise invalid("flaw", f"one of {', '.join(FLAWS)}")
        return FLAWS[flaw](self, dict(claims))


def _claim(**changes: Any) -> Callable[[Minter, Claims], str]:
    """A token that is signed well and says something else; None takes the claim away."""

    def make(minter: Minter, claims: Claims) -> str:
        return minter.keys.sign({k: v for k, v in (claims | changes).items() if v is not None})

    return make


def _shifted(seconds: int) -> Callable[[Minter, Claims], str]:
    def make(minter: Minter, claims: Claims) -> str:
        return minter.keys.sign(claims | {name: claims[name] + seconds for name in ("iat", "nbf", "exp")})

    return make


def _unsigned(minter: Minter, claims: Claims) -> str:
    return f"{encoded({'alg': 'none', 'typ': 'JWT', 'kid': minter.keys.current})}.{encoded(claims)}."


def _hmac_with_public_key(minter: Minter, claims: Claims) -> str:
    body = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': minter.keys.current})}.{encoded(claims)}"
    return f"{body}.{encoded(hmac.digest(minter.keys.pem().encode(), body.encode(), hashlib.sha256))}"


def _tampered(minter: Minter, claims: Claims) -> str:
    head, _, signature = minter.keys.sign(claims).split(".")
    return f"{head}.{encoded(claims | {'sub': 'user_2somebodyelse'})}.{signature}"


def _broken_signature(minter: Minter, claims: Claims) -> str:
    head, body, signature = minter.keys.sign(claims).split(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[7] ^= 1
    return f"{head}.{body}.{encoded(bytes(raw))}"


def _oversized(minter: Minter, claims: Claims) -> str:
    return minter.keys.sign(claims | {"filler": "x" * 64_000})


def _other_shape(_minter: Minter, claims: Claims) -> str:
    """A token of somebody else's application (Twenty's own look like this): HS256, and not Clerk's claims."""
    now = claims["iat"]
    body = f"{encoded({'alg': 'HS256', 'typ': 'JWT'})}.{encoded({'sub': claims['sub'], 'type': 'ACCESS', 'iat': now, 'exp': now + 60})}"
    return f"{body}.{encoded(hmac.digest(secrets.token_bytes(32), body.encode(), hashlib.sha256))}"


FLAWS: dict[str, Callable[[Minter, Claims], str]] = {
    "expired": _shifted(-3600),
    "not-yet-valid": _shifted(3600),
    "no-expiry": _claim(exp=None),
    "wrong-azp": _claim(azp=ELSEWHERE),
    "missing-azp": _claim(azp=None),
    "wrong-iss": _claim(iss="https://other-1.clerk.accounts.dev"),
    "missing-iss": _claim(iss=None),
    "wrong-audience": _claim(aud=ELSEWHERE),
    "pending": _claim(sts="pending"),
    "missing-sub": _claim(sub=None),
    "unsigned": _unsigned,
    "hmac-with-public-key": _hmac_with_public_key,
    "tampered": _tampered,
    "broken-signature": _broken_signature,
    "unknown-kid": lambda minter, claims: minter.keys.sign(claims, {"kid": "ins_unknown"}, new_key()),
    "foreign-key": lambda minter, claims: minter.keys.sign(claims, key=new_key()),
    "other-application": _other_shape,
    "oversized": _oversized,
    "empty": lambda _minter, _claims: "",
    "no-token": lambda _minter, _claims: "not.a.token",
}


def version_one(claims: Claims) -> Claims:
    """The same session in the claims of version 1 (deprecated, still accepted): organisation in ``org_id``, ``org_role``, ``org_slug``."""
    found = {name: value for name, value in claims.items() if name not in ("o", "v", "sts", "fva")}
    if "o" in claims:
        found |= {"org_id": claims["o"]["id"], "org_role": f"org:{claims['o']['rol']}", "org_slug": claims["o"]["slg"]}
    return found
