"""The emulator's answers are of the types in Clerk's public packages: recorded here, checked by TypeScript's own compiler."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.clerk import npm
from tests.clerk.conftest import ALICE, BOB, CAROL, World

HELD = npm.SOURCE / "held.ts"
OPTIONS = {
    "strict": True,
    "noEmit": True,
    "skipLibCheck": True,
    "module": "esnext",
    "moduleResolution": "bundler",
    "target": "es2022",
}


def frontend(world: World) -> Iterator[tuple[str, Any]]:
    yield "environment", world.browser.get("/v1/environment").json()
    page = world.page()
    yield "client of nobody", page.get("/v1/client")
    yield "error", page.ask("GET", "/v1/me").json()
    session = page.sign_in(ALICE)
    yield "client", page.get("/v1/client")
    yield "token", page.post(f"/v1/client/sessions/{session}/tokens")
    yield "touch", page.post(f"/v1/client/sessions/{session}/touch", active_organization_id=world.ids["Globex"])
    yield "me", page.get("/v1/me")
    yield "my memberships", page.get("/v1/me/organization_memberships")
    made = page.post("/v1/organizations", name="Initech")
    yield "organization made", made
    path = f"/v1/organizations/{made['response']['id']}"
    yield "member added", page.post(f"{path}/memberships", user_id=world.user(BOB), role="org:member")
    yield "invitation sent", page.post(f"{path}/invitations", email_address=CAROL, role="org:member")
    yield "roles", page.get(f"{path}/roles")
    carol = world.page()
    carol.sign_in(CAROL)
    yield "my invitations", carol.get("/v1/me/organization_invitations")
    yield "organization deleted", page.ask("DELETE", path).json()
    yield "end", page.post(f"/v1/client/sessions/{session}/remove")
    ticket = world.backend.post("/sign_in_tokens", json={"user_id": world.user(BOB)}).json()
    yield "sign-in token", ticket
    yield "sign in", page.post("/v1/client/sign_ins", strategy="ticket", ticket=ticket["token"])


def backend(world: World) -> Iterator[tuple[str, Any]]:
    yield "jwks", world.backend.get("/jwks").json()
    yield "users", world.backend.get("/users").json()
    yield "user count", world.backend.get("/users/count").json()
    yield "error", world.backend.get("/users/user_none").json()
    fields = {"email_address": ["dave@lab.test"], "external_id": "d-1", "public_metadata": {"a": [1, None]}}
    user = world.backend.post("/users", json=fields).json()
    yield "user", user
    yield "user", world.backend.patch(f"/users/{user['id']}", json={"first_name": "Dave"}).json()
    yield (
        "email address",
        world.backend.post("/email_addresses", json={"user_id": user["id"], "email_address": "d@lab.test"}).json(),
    )
    organization = world.backend.post("/organizations", json={"name": "Umbrella", "created_by": user["id"]}).json()
    yield "organization", organization
    yield "organization", world.backend.patch(f"/organizations/{organization['id']}", json={"name": "U"}).json()
    yield "organizations", world.backend.get("/organizations").json()
    path = f"/organizations/{organization['id']}"
    yield "membership", world.backend.post(f"{path}/memberships", json={"user_id": world.user(BOB), "role": "org:member"}).json()
    yield "membership", world.backend.patch(f"{path}/memberships/{world.user(BOB)}", json={"role": "org:admin"}).json()
    yield "memberships", world.backend.get(f"{path}/memberships").json()
    yield "memberships", world.backend.get(f"/users/{user['id']}/organization_memberships").json()
    yield (
        "invitation",
        world.backend.post(f"{path}/invitations", json={"email_address": "x@lab.test", "role": "org:member"}).json(),
    )
    yield "membership", world.backend.delete(f"{path}/memberships/{world.user(BOB)}").json()
    yield "session", world.backend.post("/sessions", json={"user_id": world.user(ALICE)}).json()
    yield "user deleted", world.backend.delete(path).json()
    yield "user deleted", world.backend.delete(f"/users/{user['id']}").json()


def webhooks(world: World) -> Iterator[tuple[str, Any]]:
    """Every event that the calls above caused, as its body was written."""
    for message in world.control.messages():
        yield message["event"], json.loads(message["body"])


def program(recorded: list[tuple[str, Any]]) -> str:
    lines = ["import type { Answers } from './held';"]
    lines += [f"export const a{n}: Answers[{json.dumps(name)}] = {json.dumps(body)};" for n, (name, body) in enumerate(recorded)]
    return "\n".join(lines)


def compiled(directory: Path, **files: list[tuple[str, Any]]) -> str:
    """What TypeScript's compiler says of recorded answers, one file for each list; nothing when they are of their types."""
    place = npm.workspace(directory)
    shutil.copy(HELD, place)
    for name, recorded in files.items():
        (place / f"{name}.ts").write_text(program(recorded))
    (place / "tsconfig.json").write_text(json.dumps({"compilerOptions": OPTIONS, "files": [f"{name}.ts" for name in files]}))
    try:
        return npm.run(npm.packages() / "node_modules" / ".bin" / "tsc", "--pretty", "false", cwd=place)
    except npm.NpmError as error:
        return str(error)


def test_answers_are_of_clerks_types(world: World, tmp_path: Path) -> None:
    world.control.settings(rate_limit=None)
    recorded = [*frontend(world), *backend(world), *webhooks(world)]
    known = set(re.findall(r"^  '?([^':]+)'?: ", HELD.read_text().partition("interface Answers")[2], re.MULTILINE))
    assert known - {name for name, _ in recorded} == set(), "a type that no answer was recorded for"
    recorded = [(name, body) for name, body in recorded if name in known]
    # the compiler has to see it when a field is gone, or one too many is there: else it proves nothing
    broken = [(name, {**body, "no_such_field": 1}) for name, body in recorded if name in ("user", "environment", "user.created")]
    broken += [
        (name, {k: v for k, v in body.items() if k != "id"}) for name, body in recorded if name in ("organization", "session")
    ]
    words = compiled(tmp_path, recorded=recorded, broken=broken)
    assert [line for line in words.splitlines() if re.match(r"(recorded|held)\.ts", line)] == []
    unseen = [
        name for number, (name, _) in enumerate(broken) if not re.search(rf"^broken\.ts\({number + 2},", words, re.MULTILINE)
    ]
    assert unseen == []
