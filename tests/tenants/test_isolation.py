"""A token of one tenant reads and changes nothing of another, whichever way it asks."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import pytest

from tests.contract.api import Answer, Api
from tests.tenants.conftest import Server, Tenant

WORD = "Zamzamqa"


@dataclass(frozen=True)
class Secret:
    """A company of the other tenant, with everything that could point to it."""

    id: str
    name: str
    object_id: str
    field_id: str
    view_id: str
    member_id: str


@pytest.fixture(scope="module")
def secret(other: Tenant) -> Secret:
    api = other.api
    name = f"{WORD}{uuid.uuid4().hex[:8]}"
    company = api.records("mutation ($n: String!) { createCompany(data: { name: $n }) { id } }", n=name).ok()["createCompany"]
    objects = api.metadata(
        "{ objects(paging: { first: 200 }) { edges { node { id nameSingular fieldsList { id name } } } } }"
    ).ok()
    node = next(edge["node"] for edge in objects["objects"]["edges"] if edge["node"]["nameSingular"] == "company")
    views = api.metadata("{ getCoreViews { id objectMetadataId } }").ok()["getCoreViews"]
    members = api.records("{ workspaceMembers { edges { node { id } } } }").ok()["workspaceMembers"]["edges"]
    return Secret(company["id"], name, node["id"], node["fieldsList"][0]["id"], views[0]["id"], members[0]["node"]["id"])


@pytest.fixture
def stranger(one: Tenant) -> Api:
    """An admin of the first tenant."""
    return one.api


def understood(answer: Answer) -> bool:
    """The query itself is right: what is missing from the answer was withheld."""
    return answer.status == 200 and answer.code != "GRAPHQL_VALIDATION_FAILED" and "Cannot query field" not in str(answer.errors)


def owner_sees(other: Tenant, secret: Secret) -> bool:
    found = other.api.records("query ($id: UUID!) { company(filter: { id: { eq: $id } }) { name } }", id=secret.id)
    return bool(found.ok()["company"] == {"name": secret.name})


@pytest.mark.parametrize(
    "query",
    [
        "query ($id: UUID!, $name: String!) { companies(filter: { or: [{ id: { eq: $id } }, { name: { eq: $name } }] }) { edges { node { id name } } } }",
        "query ($id: UUID!, $name: String!) { company(filter: { id: { eq: $id } , name: { eq: $name } }) { id name } }",
        "query ($id: UUID!, $name: String!) { companies { totalCount edges { node { id name } } } c: companyDuplicates(ids: [$id]) { edges { node { name } } } x: companies(filter: { name: { like: $name } }) { edges { node { name } } } }",
        "mutation ($id: UUID!, $name: String!) { updateCompany(id: $id, data: { name: $name }) { id name } }",
        "mutation ($id: UUID!, $name: String!) { deleteCompany(id: $id) { id name } a: updateCompany(id: $id, data: { name: $name }) { id } }",
        "mutation ($id: UUID!, $name: String!) { destroyCompany(id: $id) { id name } a: updateCompany(id: $id, data: { name: $name }) { id } }",
    ],
    ids=["list", "by-id", "everything", "update", "delete", "destroy"],
)
def test_records_are_out_of_reach(other: Tenant, stranger: Api, secret: Secret, query: str) -> None:
    answer = stranger.records(query, id=secret.id, name=secret.name)
    assert understood(answer), answer.body
    assert secret.id not in str(answer.data)
    assert secret.name not in str(answer.data)
    assert owner_sees(other, secret)


def test_rest_is_out_of_reach(server: Server, one: Tenant, other: Tenant, secret: Secret) -> None:
    mine, theirs = ({"Authorization": f"Bearer {tenant.api_token()}"} for tenant in (one, other))
    assert secret.name in server.http.get(f"/rest/companies/{secret.id}", headers=theirs).text
    for method, path in (
        ("GET", f"/rest/companies/{secret.id}"),
        ("GET", f"/rest/companies?filter=id[eq]:{secret.id}"),
        ("GET", "/rest/companies?limit=60"),
        ("PATCH", f"/rest/companies/{secret.id}"),
        ("DELETE", f"/rest/companies/{secret.id}"),
        ("GET", f"/rest/metadata/objects/{secret.object_id}"),
    ):
        answer = server.http.request(method, path, headers=mine, json={"name": "taken"} if method == "PATCH" else None)
        assert secret.name not in answer.text
        assert answer.status_code != 200 or secret.id not in answer.text
    assert owner_sees(other, secret)


def test_search_is_out_of_reach(one: Tenant, other: Tenant, secret: Secret) -> None:
    query = "query ($s: String!) { search(searchInput: $s, limit: 20) { edges { node { recordId label } } } }"
    assert secret.id in str(other.api.records(query, s=secret.name).ok())
    assert one.api.records(query, s=secret.name).ok()["search"]["edges"] == []


@pytest.mark.parametrize(
    "query",
    [
        "query { object(id: $OBJECT) { id nameSingular } }",
        'mutation { updateOneObject(input: { id: $OBJECT, update: { labelSingular: "Taken" } }) { id } }',
        "mutation { deleteOneObject(input: { id: $OBJECT }) { id } }",
        'mutation { updateOneField(input: { id: $FIELD, update: { label: "Taken" } }) { id } }',
        'mutation { createOneField(input: { field: { objectMetadataId: $OBJECT, type: TEXT, name: "taken", label: "Taken" } }) { id } }',
        "query { getCoreView(id: $VIEW) { id name } }",
        "mutation { deleteCoreView(id: $VIEW) }",
        "mutation { updateWorkspaceMemberRole(workspaceMemberId: $MEMBER, roleId: $OBJECT) { id } }",
    ],
    ids=["object", "update-object", "delete-object", "update-field", "create-field", "view", "delete-view", "member-role"],
)
def test_metadata_is_out_of_reach(other: Tenant, stranger: Api, secret: Secret, query: str) -> None:
    for name, value in (
        ("OBJECT", secret.object_id),
        ("FIELD", secret.field_id),
        ("VIEW", secret.view_id),
        ("MEMBER", secret.member_id),
    ):
        query = query.replace(f"${name}", f'"{value}"')
    answer = stranger.metadata(query)
    assert understood(answer), answer.body
    assert answer.errors or not any((answer.data or {}).values()), answer.body
    objects = other.api.metadata(
        "{ objects(paging: { first: 200 }) { edges { node { id labelSingular fieldsList { label } } } } }"
    ).ok()
    node = next(edge["node"] for edge in objects["objects"]["edges"] if edge["node"]["id"] == secret.object_id)
    assert node["labelSingular"] == "Company"
    assert "Taken" not in [field["label"] for field in node["fieldsList"]]
    assert other.api.metadata("query ($id: String!) { getCoreView(id: $id) { id } }", id=secret.view_id).ok()["getCoreView"]


def upload(server: Server, tenant: Tenant, content: bytes) -> str:
    """Puts a file into a tenant; the address that its people get, signed."""
    operations = '{"query": "mutation ($file: Upload!) { uploadFile(file: $file, fileFolder: Attachment) { path token } }", "variables": {"file": null}}'
    answer = server.http.post(
        "/metadata",
        data={"operations": operations, "map": '{"0": ["variables.file"]}'},
        files={"0": ("note.txt", content, "text/plain")},
        headers={"Authorization": f"Bearer {tenant.api_token()}"},
    ).json()
    file = answer["data"]["uploadFile"]
    folder, _, name = file["path"].rpartition("/")
    return f"/files/{folder}/{file['token']}/{name}"


def test_file_addresses_are_each_tenants_own(server: Server, one: Tenant, other: Tenant) -> None:
    mine, theirs = upload(server, one, b"mine"), upload(server, other, b"theirs")
    assert server.http.get(theirs).content == b"theirs"
    (folder, token, _), (_, foreign, name) = (address.rsplit("/", 2) for address in (mine, theirs))
    headers = {"Authorization": f"Bearer {one.api_token()}"}
    tampered = foreign[:-6] + ("aaaaaa" if not foreign.endswith("aaaaaa") else "bbbbbb")
    for address in (
        f"{folder}/{token}/{name}",
        f"{folder}/{name}",
        f"{folder}/{tampered}/{name}",
        f"/files/workspace-{other.workspace}/attachment/{token}/{name}",
        f"/files/attachment/..%2f..%2fworkspace-{other.workspace}%2fattachment/{token}/{name}",
    ):
        answer = server.http.get(address, headers=headers)
        assert answer.content != b"theirs", address
        assert answer.status_code >= 400, address


def test_files_of_a_suspended_tenant_are_closed(server: Server) -> None:
    tenant = server.tenant()
    address = upload(server, tenant, b"kept")
    assert server.http.get(address).content == b"kept"
    tenant.post("suspend")
    assert server.http.get(address).status_code in (401, 403)
    tenant.post("resume")
    assert server.http.get(address).content == b"kept"


def test_members_of_one_tenant_are_unknown_to_the_other(one: Tenant, other: Tenant) -> None:
    seen = one.api.metadata("{ currentUser { workspaceMembers { id userEmail } } }").body
    records = one.api.records("{ workspaceMembers { edges { node { id userEmail } } } }").body
    assert one.owner.email in str(records)
    assert other.owner.email not in str(seen) + str(records)


def test_a_token_is_worth_nothing_with_another_workspace_in_it(server: Server, one: Tenant, other: Tenant) -> None:
    """Signed for one, naming the other: the key is the workspace's own."""
    user = one.api.metadata("{ currentUser { id currentUserWorkspace { id } } }").ok()["currentUser"]
    claims = {"sub": user["id"], "userId": user["id"], "userWorkspaceId": user["currentUserWorkspace"]["id"]}
    forged = server.sign("ACCESS", one.workspace, {**claims, "workspaceId": other.workspace, "authProvider": "SSO"})
    assert not server.api(forged).metadata("{ currentWorkspace { id } }").data


def test_open_api_shows_the_own_schema_only(server: Server, one: Tenant, other: Tenant) -> None:
    name = f"secret{uuid.uuid4().hex[:6]}".translate(str.maketrans("0123456789", "ghijklmnop"))
    other.api.metadata(
        "mutation ($s: String!, $p: String!) { createOneObject(input: { object: {"
        " nameSingular: $s, namePlural: $p, labelSingular: $s, labelPlural: $p } }) { id } }",
        s=name,
        p=f"{name}s",
    ).ok()
    documents = {
        tenant.organization: server.http.get(
            "/rest/open-api/core", headers={"Authorization": f"Bearer {tenant.api_token()}"}
        ).text
        for tenant in (one, other)
    }
    assert name in documents[other.organization]
    assert name not in documents[one.organization]
    assert name not in server.http.get("/rest/open-api/core").text
