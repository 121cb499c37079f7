"""Tokens: the good one is let in by a strict verifier, each flawed one is refused, and rotation keeps what was signed before."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from lab.clerk.tokens import FLAWS
from tests.clerk.conftest import ALICE, BOB, CAROL, World
from tests.clerk.verifier import Refused, verified

ORIGIN = "http://127.0.0.1:9"
ISSUER = "https://tests-1.clerk.accounts.dev"


def check(world: World, token: str) -> dict[str, Any]:
    jwks = world.browser.get("/.well-known/jwks.json").json()
    return verified(token, jwks, issuer=ISSUER, parties=[ORIGIN])


def test_a_session_token_has_clerks_claims(world: World) -> None:
    minted = world.control.mint(user_id=world.user(ALICE), organization_id=world.ids["Acme"], origin=ORIGIN)
    claims = check(world, minted["jwt"])
    assert claims == minted["claims"]
    assert set(claims) == {"azp", "exp", "fva", "iat", "iss", "jti", "nbf", "o", "sid", "sts", "sub", "v"}
    assert claims["exp"] - claims["iat"] == 60
    assert claims["o"] == {"id": world.ids["Acme"], "rol": "admin", "slg": "acme"}
    head = json.loads(base64.urlsafe_b64decode(minted["jwt"].partition(".")[0] + "=="))
    assert (head["alg"], head["typ"], head["kid"]) == ("RS256", "JWT", world.emulator.keys.current)


def test_version_one_puts_the_organization_at_the_top(world: World) -> None:
    minted = world.control.mint(user_id=world.user(BOB), organization_id=world.ids["Acme"], origin=ORIGIN, version=1)
    claims = check(world, minted["jwt"])
    assert (claims["org_id"], claims["org_role"], claims["org_slug"]) == (world.ids["Acme"], "org:member", "acme")
    assert "o" not in claims
    assert "v" not in claims


@pytest.mark.parametrize("flaw", FLAWS)
def test_every_flaw_is_refused(world: World, flaw: str) -> None:
    assert check(world, world.control.mint(user_id=world.user(ALICE), origin=ORIGIN)["jwt"])
    with pytest.raises(Refused):
        check(world, world.control.mint(user_id=world.user(ALICE), origin=ORIGIN, flaw=flaw)["jwt"])


def test_a_flaw_can_hit_every_browser(world: World) -> None:
    page = world.page(ORIGIN)
    session = page.sign_in(ALICE)
    world.control.settings(token_flaw="expired")
    with pytest.raises(Refused, match="exp"):
        check(world, page.post(f"/v1/client/sessions/{session}/tokens")["jwt"])
    world.control.settings(token_flaw=None)
    assert check(world, page.post(f"/v1/client/sessions/{session}/tokens")["jwt"])


def test_claims_and_header_can_be_replaced(world: World) -> None:
    minted = world.control.mint(user_id=world.user(CAROL), origin=ORIGIN, claims={"jti": "same", "sid": None}, lifetime=5)
    claims = check(world, minted["jwt"])
    assert claims["jti"] == "same"
    assert "sid" not in claims
    assert claims["exp"] - claims["iat"] == 5


def test_a_clock_that_is_ahead_signs_for_later(world: World) -> None:
    world.control.settings(clock_skew=3600)
    with pytest.raises(Refused, match="nbf"):
        check(world, world.control.mint(user_id=world.user(ALICE), origin=ORIGIN)["jwt"])


def test_rotation_keeps_what_was_signed_until_the_old_key_is_dropped(world: World) -> None:
    before = world.control.mint(user_id=world.user(ALICE), origin=ORIGIN)["jwt"]
    kid = world.control.rotate_keys()
    after = world.control.mint(user_id=world.user(ALICE), origin=ORIGIN)["jwt"]
    assert check(world, before)["sub"] == check(world, after)["sub"]
    assert [key["kid"] for key in world.browser.get("/.well-known/jwks.json").json()["keys"]][-1] == kid
    world.control.rotate_keys(drop_old=True)
    for old in (before, after):
        with pytest.raises(Refused):
            check(world, old)


def test_the_key_set_tells_nothing_private(world: World) -> None:
    for keys in (world.browser.get("/.well-known/jwks.json"), world.backend.get("/jwks")):
        assert all(set(key) == {"use", "kty", "kid", "alg", "n", "e"} for key in keys.json()["keys"])
    assert world.control.overview()["public_key"].startswith("-----BEGIN PUBLIC KEY-----")
