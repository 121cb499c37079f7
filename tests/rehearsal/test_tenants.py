"""Clerk's organisations become workspaces by themselves: nobody but the deployed tenant manager does anything here.

Against Twenty's stand-in unless TWENTY_SOURCE says otherwise; tests/browser has the same through a browser.
"""

from __future__ import annotations

import json
import secrets
import shlex
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lab.clerk.control import Control
from lab.command import wait_until
from tests.contract.api import Api
from tests.rehearsal.conftest import Deployed
from twentyops import data_model

READY_WITHIN = 15.0
MANAGER = "docker exec twenty-tenant-manager-1 python -m tenant_manager"
Json = dict[str, Any]


class House:
    """The deployed stack, its Clerk, and one organisation's people: Alice (admin) and Bob."""

    def __init__(self, deployed: Deployed, clerk: Control) -> None:
        self.droplet, self.clerk = deployed.droplet, clerk
        self.url = f"http://{deployed.droplet.address}"
        settings = deployed.target.lab.clerk.settings()
        key = deployed.target.lab.clerk.secrets["secret_key"]
        self.backend = httpx.Client(
            base_url=f"{settings['apiUrl']}/v1", headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False
        )
        self.http = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def manager(self, *command: str) -> Any:
        return json.loads(self.droplet.ssh(f"{MANAGER} {shlex.join(command)}").stdout)

    def organization(self, name: str) -> tuple[str, str, str]:
        """(organisation, Alice, Bob), as ids; Clerk tells of them by webhook."""
        tag = secrets.token_hex(4)
        emails = [f"{who}-{tag}@lab.test" for who in ("alice", "bob")]
        people = [{"email": email, "first_name": email.split("-")[0].title(), "last_name": "Lab"} for email in emails]
        wanted = {"name": name, "slug": f"o-{tag}", "members": {emails[0]: "admin", emails[1]: "member"}}
        made = self.clerk.seed(people, [wanted])
        return made["organizations"][name], made["users"][emails[0]], made["users"][emails[1]]

    def ask(self, token: str) -> Json:
        """What the exchange says to a person with this token of Clerk's."""
        answer = self.http.post("/clerk/session", headers={"Authorization": f"Bearer {token}"}, json={})
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def token(self, user: str, organization: str) -> str:
        """As the page has it while this organisation is active; good for a minute."""
        return str(self.clerk.mint(user_id=user, organization_id=organization, origin=self.url)["jwt"])

    def until(self, token: str, status: str, seconds: float = 50) -> Json:
        """Ask again and again, no oftener than the waiting page, until this is the answer."""
        told: list[Json] = []

        def asked() -> bool:
            told.append(self.ask(token))
            return bool(told[-1]["status"] == status)

        wait_until(asked, seconds, lambda: f"{told[-1]['status']} instead of {status}", every=1.5)
        return told[-1]

    def api(self, session: Json) -> Api:
        return Api(self.http, session["tokens"]["accessOrWorkspaceAgnosticToken"]["token"])


@pytest.fixture(scope="module")
def house(deployed: Deployed) -> Iterator[House]:
    told = deployed.target.lab.state().clerk
    with Control(told.admin, told.admin_token) as clerk:
        yield House(deployed, clerk)
        clerk.heal()
        clerk.calm()


def test_an_organization_is_a_workspace_with_the_data_model_in_seconds(house: House) -> None:
    name = "شركة النور"
    began = time.monotonic()
    organization, alice, bob = house.organization(name)
    wait_until(
        lambda: any(row["organization_id"] == organization and row["data_model"] for row in house.manager("tenants", "list")),
        READY_WITHIN * 4, lambda: json.dumps(house.manager("tenants", "list"), ensure_ascii=False),
    )  # fmt: skip
    seconds = time.monotonic() - began
    print(f"organisation -> workspace with data model: {seconds:.1f} s (goal {READY_WITHIN:.0f} on a quiet machine)")
    session = house.until(house.token(alice, organization), "signed-in")
    api = house.api(session)
    asked = "{ objects(paging: { first: 200 }) { edges { node { nameSingular fieldsList { name } } } } }"
    objects = api.metadata(asked).ok()["objects"]["edges"]
    fields = {o["node"]["nameSingular"]: {f["name"] for f in o["node"]["fieldsList"]} for o in objects}
    for wanted in data_model.load().objects:
        assert {field.name for field in wanted.fields} <= fields[wanted.nameSingular]
    assert api.metadata("{ currentWorkspace { displayName } }").ok()["currentWorkspace"]["displayName"] == name
    assert house.until(house.token(bob, organization), "signed-in")["workspaceId"] == session["workspaceId"]


def test_members_names_and_the_end_of_an_organization_follow_clerk(house: House) -> None:
    organization, alice, bob = house.organization("Acme")
    other, stranger, _ = house.organization("Acme")
    tokens = {who: house.token(who, organization) for who in (alice, bob)}
    session = house.until(tokens[bob], "signed-in")
    assert house.until(house.token(stranger, other), "signed-in")["workspaceId"] != session["workspaceId"]
    house.backend.delete(f"/organizations/{organization}/memberships/{bob}").raise_for_status()
    tokens[alice] = house.token(alice, organization)
    house.until(tokens[bob], "not-a-member", 30)
    assert house.api(session).records("{ people { totalCount } }").errors, "the token of a removed member still reads"

    house.backend.patch(f"/organizations/{organization}", json={"name": "Acme & Söhne"}).raise_for_status()
    alices = house.api(house.until(tokens[alice], "signed-in"))
    wait_until(
        lambda: alices.metadata("{ currentWorkspace { displayName } }").ok()["currentWorkspace"]["displayName"] == "Acme & Söhne",
        30, lambda: "the workspace keeps its old name",
    )  # fmt: skip
    tokens[alice] = house.token(alice, organization)
    house.backend.delete(f"/organizations/{organization}").raise_for_status()
    house.until(tokens[alice], "suspended", 30)
    assert house.manager("tenants", "show", organization)["twenty"]["workspaceId"] == session["workspaceId"], "data are kept"


def test_what_clerk_could_not_deliver_is_reconciled(house: House) -> None:
    house.clerk.disturb("drop")
    organization, alice, _ = house.organization("Lost")
    house.clerk.calm()
    token = house.token(alice, organization)
    assert house.ask(token)["status"] == "workspace-provisioning"
    report = house.manager("reconcile")
    assert (report["stopped"], report["failed"]) == (False, {})
    assert organization in report["repaired"]
    assert house.until(house.token(alice, organization), "signed-in")["organizationId"] == organization
