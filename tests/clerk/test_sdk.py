"""The real @clerk/backend against the emulator, in node: what a server of ours or of Twenty's does with Clerk."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from lab.clerk import settings, signing
from lab.clerk.tokens import FLAWS
from tests.clerk import npm
from tests.clerk.conftest import ALICE, World

ORIGIN = "http://10.77.7.10"
# what @clerk/backend 2.x does not look at: our own verifiers have to (facts/clerk.md)
LETS_IN = {"missing-azp", "wrong-iss", "missing-iss", "wrong-audience", "pending", "oversized"}


def run(world: World, directory: Path, script: str, told: dict[str, Any]) -> Any:
    place = npm.workspace(directory)
    shutil.copy(npm.SOURCE / script, place)
    return json.loads(npm.run("node", script, json.dumps(told), cwd=place, timeout=60))


def told(world: World, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = dict(settings("tests", world.address))
    found |= {"secretKey": world.emulator.secrets.secret_key, "origin": ORIGIN, "alice": world.user(ALICE)}
    return found | more


def test_a_servers_day_with_clerk(world: World, tmp_path: Path) -> None:
    world.control.settings(rate_limit=None)
    world.control.seed([{"email": f"gen{n}@lab.test"} for n in range(24)], quiet=True)

    def minted(flaw: str | None) -> str:
        wanted = {"user_id": world.user(ALICE), "organization_id": world.ids["Acme"], "origin": ORIGIN, "flaw": flaw}
        return str(world.control.mint(**wanted)["jwt"])

    body = json.dumps(world.emulator.hooks.envelope("user.created", {"id": world.user(ALICE)}))
    secret = world.emulator.secrets.webhook_secret
    delivery = {"body": body, "headers": signing.headers([secret], "msg_1", int(time.time()), body.encode())}
    found = run(
        world, tmp_path, "backend.mjs",
        told(
            world, good=minted(None), flawed={flaw: minted(flaw) for flaw in FLAWS}, pem=world.control.overview()["public_key"],
            delivery=delivery, webhookSecret=secret,
        ),
    )  # fmt: skip
    assert found["paged"] == [27, 27]
    assert found["dave"] == ["dave@lab.test", "verified", "free"]
    assert found["renamed"] == "Dave D"
    assert (found["taken"]["status"], found["taken"]["code"]) == (422, "form_identifier_exists")
    assert (found["nobody"]["status"], found["nobody"]["code"]) == (404, "resource_not_found")
    assert found["bySlug"] is True
    assert found["membership"] == ["org:member", ALICE, "Initech"]
    assert (found["promoted"], found["members"]) == ("org:admin", 2)
    assert found["mine"] == ["acme", "globex", "initech"]
    assert found["invited"] == "pending"
    assert found["gone"]["status"] == 404
    assert found["deleted"] is True
    assert (found["wrongKey"]["status"], found["wrongKey"]["code"]) == (401, "clerk_key_invalid")
    assert (found["networkless"], found["byKeySet"]) == (world.user(ALICE), "acme")
    assert {flaw for flaw, outcome in found["refused"].items() if outcome == "let in"} == LETS_IN
    assert found["request"] == ["signed-in", True, "org:admin", "acme", True]
    assert found["session"] == ["active", "revoked"]
    assert found["ticket"] == ["pending", True]
    assert found["webhook"] == ["user.created", True]
    assert found["tampered"] is False


def test_too_many_requests_and_a_rotated_key(world: World, tmp_path: Path) -> None:
    world.control.settings(rate_limit=3, rate_window=30)
    before = world.control.mint(user_id=world.user(ALICE), origin=ORIGIN)["jwt"]
    world.control.rotate_keys()
    after = world.control.mint(user_id=world.user(ALICE), origin=ORIGIN)["jwt"]
    found = run(world, tmp_path, "limits.mjs", told(world, tokens=[before, after]))
    assert found["subjects"] == [world.user(ALICE)] * 2
    assert found["statuses"][-1] == 429
    assert 1 <= found["retryAfter"] <= 31
