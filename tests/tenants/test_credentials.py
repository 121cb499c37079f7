"""API keys and webhooks end with whoever made them; nothing comes back with a person who is taken back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.api import Api
from tests.tenants.conftest import Person, Server, Tenant
from tests.tenants.test_sessions import PEOPLE

Json = dict[str, Any]
EXPIRES = "2099-01-01T00:00:00.000Z"
CREATE_KEY = "mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { id } }"
KEY_TOKEN = "mutation ($id: UUID!, $at: String!) { generateApiKeyToken(apiKeyId: $id, expiresAt: $at) { token } }"
CREATE_WEBHOOK = "mutation ($input: CreateWebhookInput!) { createWebhook(input: $input) { id } }"
UPDATE_WEBHOOK = "mutation ($input: UpdateWebhookInput!) { updateWebhook(input: $input) { id } }"


def role_of_admins(api: Api) -> str:
    roles = api.metadata("{ getRoles { id label } }").ok()["getRoles"]
    return str(next(role["id"] for role in roles if role["label"] == "Admin"))


def new_key(api: Api, name: str = "key") -> str:
    wanted = {"name": name, "expiresAt": EXPIRES, "roleId": role_of_admins(api)}
    return str(api.metadata(CREATE_KEY, input=wanted).ok()["createApiKey"]["id"])


def token_of(api: Api, key: str) -> str:
    return str(api.metadata(KEY_TOKEN, id=key, at=EXPIRES).ok()["generateApiKeyToken"]["token"])


def new_webhook(api: Api, target: str = "https://hooks.test/a?secret=s") -> str:
    wanted = {"targetUrl": target, "operations": ["*.*"], "secret": "s"}
    return str(api.metadata(CREATE_WEBHOOK, input=wanted).ok()["createWebhook"]["id"])


def opens(server: Server, key: str) -> bool:
    rest = server.http.get("/rest/people?limit=1", headers={"Authorization": f"Bearer {key}"}).status_code == 200
    assert rest == bool(server.api(key).records(PEOPLE).data)
    return rest


def in_force(server: Server, tenant: Tenant) -> dict[str, Json]:
    answer = server.internal.get(f"{tenant.path}/credentials")
    assert answer.status_code == 200, answer.text
    assert "secret=" not in answer.text
    return {row["id"]: row for row in answer.json()["data"]}


@pytest.fixture
def tenant(server: Server) -> Tenant:
    return server.tenant("Keys")


@pytest.fixture
def leaver(tenant: Tenant) -> Person:
    """An admin who will be removed."""
    return tenant.member("admin")


def api_of(server: Server, tenant: Tenant, person: Person) -> Api:
    return server.api(server.session(tenant.workspace, person.email).access)


def test_keys_and_webhooks_of_a_removed_member_are_withdrawn(server: Server, tenant: Tenant, leaver: Person) -> None:
    theirs, ours = api_of(server, tenant, leaver), api_of(server, tenant, tenant.owner)
    key, kept = new_key(theirs), new_key(ours)
    webhook, kept_webhook = new_webhook(theirs), new_webhook(ours)
    token, kept_token = token_of(theirs, key), token_of(ours, kept)
    assert opens(server, token)
    assert {i: row["makers"] for i, row in in_force(server, tenant).items()} == {
        key: [leaver.id],
        webhook: [leaver.id],
        kept: [tenant.owner.id],
        kept_webhook: [tenant.owner.id],
    }
    tenant.remove(leaver)
    assert not opens(server, token)
    assert opens(server, kept_token)
    assert set(in_force(server, tenant)) == {kept, kept_webhook}
    assert {w["id"] for w in ours.metadata("{ webhooks { id } }").ok()["webhooks"]} == {kept_webhook}

    assert tenant.put_member(leaver, "admin").status_code == 201
    assert not opens(server, token), "nothing comes back by itself"
    assert set(in_force(server, tenant)) == {kept, kept_webhook}


def test_a_ban_withdraws_in_every_workspace_and_a_lock_in_none(
    server: Server, tenant: Tenant, other: Tenant, leaver: Person
) -> None:
    other.put_member(leaver, "admin")
    tokens = [token_of(api, new_key(api)) for api in (api_of(server, tenant, leaver), api_of(server, other, leaver))]
    standing = f"/internal/users/{leaver.id}/standing"
    assert server.internal.put(standing, json={"standing": "locked"}).json()["withdrawn"] == {"apiKeys": 0, "webhooks": 0}
    assert all(opens(server, token) for token in tokens)
    assert server.internal.put(standing, json={"standing": "banned"}).json()["withdrawn"] == {"apiKeys": 2, "webhooks": 0}
    assert not any(opens(server, token) for token in tokens)
    server.internal.put(standing, json={"standing": "good"})
    assert not any(opens(server, token) for token in tokens)
    other.remove(leaver)


def test_what_a_key_makes_belongs_to_whoever_made_the_key(server: Server, tenant: Tenant, leaver: Person) -> None:
    theirs = api_of(server, tenant, leaver)
    with_key = server.api(token_of(theirs, new_key(theirs)))
    child = new_key(with_key, "child")
    token = token_of(with_key, child)
    webhook = new_webhook(with_key)
    assert in_force(server, tenant)[child]["makers"] == [leaver.id]
    assert in_force(server, tenant)[webhook]["makers"] == [leaver.id]
    assert opens(server, token)
    tenant.remove(leaver)
    assert not opens(server, token)
    assert in_force(server, tenant) == {}


def test_whoever_asked_for_a_keys_token_holds_it(server: Server, tenant: Tenant, leaver: Person) -> None:
    """Upstream gives any admin a token of any key: the one who leaves would keep it."""
    key = new_key(api_of(server, tenant, tenant.owner))
    token = token_of(api_of(server, tenant, leaver), key)
    assert in_force(server, tenant)[key]["makers"] == sorted([leaver.id, tenant.owner.id])
    tenant.remove(leaver)
    assert not opens(server, token)


def test_whoever_sends_a_webhook_elsewhere_counts_as_its_maker(server: Server, tenant: Tenant, leaver: Person) -> None:
    ours, theirs = api_of(server, tenant, tenant.owner), api_of(server, tenant, leaver)
    moved, described = new_webhook(ours), new_webhook(ours, "https://hooks.test/b")
    theirs.metadata(UPDATE_WEBHOOK, input={"id": moved, "targetUrl": "https://evil.test/a"}).ok()
    same = {"id": described, "targetUrl": "https://hooks.test/b", "description": "ours"}
    theirs.metadata(UPDATE_WEBHOOK, input=same).ok()
    assert in_force(server, tenant)[moved]["makers"] == sorted([leaver.id, tenant.owner.id])
    assert in_force(server, tenant)[moved]["name"] == "evil.test"
    assert in_force(server, tenant)[described]["makers"] == [tenant.owner.id]
    tenant.remove(leaver)
    assert set(in_force(server, tenant)) == {described}


def test_over_rest_makers_are_recorded_as_well(server: Server, tenant: Tenant, leaver: Person) -> None:
    ours = api_of(server, tenant, tenant.owner)
    role, kept = role_of_admins(ours), new_key(ours)
    access = server.session(tenant.workspace, leaver.email).access
    headers = {"Authorization": f"Bearer {access}"}
    # the id of somebody else's key beside it: the record is about what was made
    body = {"id": kept, "name": "rest", "expiresAt": EXPIRES, "roleId": role}
    made = [server.http.post(f"/rest/{path}", json=body, headers=headers) for path in ("metadata/apiKeys", "apiKeys")]
    hook = {"targetUrl": "https://hooks.test/r", "operations": ["*.*"], "secret": "s"}
    made += [server.http.post(f"/rest/{path}", json=hook, headers=headers) for path in ("metadata/webhooks", "webhooks")]
    ours_too = new_webhook(ours)
    moved = server.http.patch(f"/rest/metadata/webhooks/{ours_too}", json={"targetUrl": "https://evil.test/r"}, headers=headers)
    assert {answer.status_code for answer in [*made, moved]} <= {200, 201}, [answer.text for answer in made]
    found = in_force(server, tenant)
    for answer in made:
        assert found[answer.json()["id"]]["makers"] == [leaver.id]
    assert found[kept]["makers"] == [tenant.owner.id]
    assert found[ours_too]["makers"] == sorted([leaver.id, tenant.owner.id])
    tenant.remove(leaver)
    assert set(in_force(server, tenant)) == {kept}


def test_credentials_of_another_tenant_are_not_listed(server: Server, tenant: Tenant, other: Tenant) -> None:
    key = new_key(other.api)
    assert key in in_force(server, other)
    assert in_force(server, tenant) == {}
    assert server.internal.get("/internal/tenants/org_unknown1/credentials").status_code == 404
