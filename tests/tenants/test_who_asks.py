"""Each request acts with the rights of whoever sends it, however many others of its workspace asked before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.contract import api as q
from tests.contract.api import Api
from tests.tenants.conftest import Server, Tenant

ROLE = "mutation ($role: CreateRoleInput!) { createOneRole(createRoleInput: $role) { id } }"
COMPANIES = "{ companies(first: 1) { edges { node { id name } } } }"
CREATE = """mutation ($name: String!) { createCompany(data: { name: $name }) {
    id createdBy { source name workspaceMemberId } } }"""
EXPIRES = "2099-01-01T00:00:00.000Z"
RIGHTS = ("canReadAllObjectRecords", "canUpdateAllObjectRecords", "canSoftDeleteAllObjectRecords", "canDestroyAllObjectRecords")


@dataclass(frozen=True)
class Key:
    name: str
    api: Api


def make_key(server: Server, owner: Api, name: str, role: str) -> Key:
    wanted = {"name": name, "expiresAt": EXPIRES, "roleId": role}
    made = owner.metadata(q.CREATE_API_KEY, input=wanted).ok()["createApiKey"]["id"]
    token = owner.metadata(q.API_KEY_TOKEN, apiKeyId=made, expiresAt=EXPIRES).ok()["generateApiKeyToken"]["token"]
    return Key(name, server.api(token))


@pytest.fixture
def tenant(server: Server) -> Tenant:
    """A workspace for which no schema was made yet."""
    return server.tenant("Who asks")


@pytest.fixture
def owner(server: Server, tenant: Tenant) -> Api:
    return server.api(server.session(tenant.workspace, tenant.owner.email).access)


@pytest.fixture
def admin_key(server: Server, owner: Api) -> Key:
    roles = {role["label"]: role["id"] for role in owner.metadata(q.ROLES).ok()["getRoles"]}
    return make_key(server, owner, "Everything", roles["Admin"])


@pytest.fixture
def empty_key(server: Server, owner: Api) -> Key:
    """An API key whose role reads and writes no record."""
    wanted = {"label": "Nothing", "canBeAssignedToApiKeys": True, "canUpdateAllSettings": False, **dict.fromkeys(RIGHTS, False)}
    role = owner.metadata(ROLE, role=wanted).ok()["createOneRole"]["id"]
    return make_key(server, owner, "Nothing", role)


def may_read(key: Key) -> bool:
    answer = key.api.records(COMPANIES)
    return bool(answer.data and answer.data.get("companies"))


def may_write(key: Key) -> bool:
    answer = key.api.records(CREATE, name=f"by {key.name}")
    return bool(answer.data and answer.data.get("createCompany"))


def test_an_api_key_has_its_own_rights_after_an_admins(admin_key: Key, empty_key: Key) -> None:
    for _ in range(3):
        assert may_read(admin_key)
        assert may_write(admin_key)
        assert not may_read(empty_key)
        assert not may_write(empty_key)


def test_an_admins_api_key_keeps_its_rights_after_one_without(admin_key: Key, empty_key: Key) -> None:
    for _ in range(3):
        assert not may_read(empty_key)
        assert not may_write(empty_key)
        assert may_read(admin_key)
        assert may_write(admin_key)


def test_first_requests_at_once_are_each_their_own(admin_key: Key, empty_key: Key) -> None:
    """All wait for the one schema that is being made."""
    answers: list[tuple[str, bool]] = []

    def ask(key: Key) -> Callable[[], None]:
        return lambda: answers.append((key.name, may_read(key)))

    threads = [threading.Thread(target=ask(key)) for key in (admin_key, empty_key) * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(answers) == [("Everything", True)] * 6 + [("Nothing", False)] * 6


def test_records_name_who_made_them(server: Server, tenant: Tenant, owner: Api, admin_key: Key) -> None:
    roles = {role["label"]: role["id"] for role in owner.metadata(q.ROLES).ok()["getRoles"]}
    second = make_key(server, owner, "Second", roles["Admin"])
    members: dict[str, Api] = {}
    for _ in range(2):
        person = tenant.member(role="admin")
        members[person.email] = server.api(server.session(tenant.workspace, person.email).access)
    for _ in range(2):
        for key in (admin_key, second):
            made = key.api.records(CREATE, name="by a key").ok()["createCompany"]["createdBy"]
            assert (made["source"], made["name"]) == ("API", key.name)
        makers = [
            api.records(CREATE, name="by a person").ok()["createCompany"]["createdBy"]["workspaceMemberId"]
            for api in (*members.values(), owner)
        ]
        assert None not in makers
        assert len(set(makers)) == 3


def test_a_member_who_was_removed_and_added_again_works_at_once(server: Server, tenant: Tenant) -> None:
    person = tenant.member(role="admin")
    before = server.api(server.session(tenant.workspace, person.email).access)
    assert before.records(COMPANIES).ok()
    tenant.remove(person)
    assert before.records(COMPANIES).errors
    tenant.put_member(person, role="admin")
    after = server.api(server.session(tenant.workspace, person.email).access)
    assert after.records(COMPANIES).ok()
    assert after.records(CREATE, name="again").ok()["createCompany"]["createdBy"]["workspaceMemberId"]
    assert before.records(COMPANIES).errors


def test_a_new_field_is_there_for_everybody_at_once(server: Server, tenant: Tenant, owner: Api, admin_key: Key) -> None:
    """A schema follows the version of the metadata, whoever asked for the one before."""
    assert owner.records(COMPANIES).ok()
    assert may_read(admin_key)
    objects = owner.metadata("{ objects(paging: { first: 200 }) { edges { node { id nameSingular } } } }").ok()["objects"][
        "edges"
    ]
    company = next(edge["node"]["id"] for edge in objects if edge["node"]["nameSingular"] == "company")
    field = {"objectMetadataId": company, "type": "TEXT", "name": "motto", "label": "Motto"}
    owner.metadata(
        "mutation ($input: CreateOneFieldMetadataInput!) { createOneField(input: $input) { id } }", input={"field": field}
    ).ok()
    for api in (owner, admin_key.api, owner):
        assert api.records("{ companies(first: 1) { edges { node { motto } } } }").ok()
