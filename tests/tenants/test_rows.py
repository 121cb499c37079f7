"""A tenant who knows the id of another tenant's row can neither change it nor take it, nor put one of their own into that workspace."""

from __future__ import annotations

import uuid

import pytest

from tests.contract.api import Answer, Api
from tests.tenants.conftest import Json, Server, Tenant

VIEWS = "{ getCoreViews { id name objectMetadataId viewFields { fieldMetadataId } } }"
SORTS = "query ($view: String!) { getCoreViewSorts(viewId: $view) { id direction viewId fieldMetadataId } }"
CREATE_SORT = "mutation ($input: CreateViewSortInput!) { createCoreViewSort(input: $input) { id direction } }"
UPDATE_SORT = (
    "mutation ($id: String!, $input: UpdateViewSortInput!) { updateCoreViewSort(id: $id, input: $input) { id direction } }"
)
CREATE_VIEW = "mutation ($input: CreateViewInput!) { createCoreView(input: $input) { id name } }"
CREATE_WEBHOOK = "mutation ($input: CreateWebhookInput!) { createWebhook(input: $input) { id } }"
WEBHOOKS = "{ webhooks { id targetUrl } }"


class Sorted:
    """A tenant's view with a sort in it."""

    def __init__(self, api: Api) -> None:
        self.api = api
        view = next(v for v in api.metadata(VIEWS).ok()["getCoreViews"] if len(v["viewFields"]) > 1)
        self.view, self.object = view["id"], view["objectMetadataId"]
        self.fields = [field["fieldMetadataId"] for field in view["viewFields"]]
        self.sort = self.create(self.fields[0], direction="ASC").ok()["createCoreViewSort"]["id"]

    def create(self, field: str, **more: Json) -> Answer:
        return self.api.metadata(CREATE_SORT, input={"viewId": self.view, "fieldMetadataId": field, **more})

    def sorts(self) -> dict[str, str]:
        return {sort["id"]: sort["direction"] for sort in self.api.metadata(SORTS, view=self.view).ok()["getCoreViewSorts"]}

    def views(self) -> dict[str, str]:
        return {view["id"]: view["name"] for view in self.api.metadata(VIEWS).ok()["getCoreViews"]}


@pytest.fixture(scope="module")
def mine(server: Server) -> Sorted:
    return Sorted(server.tenant("Mine").api)


@pytest.fixture(scope="module")
def theirs(server: Server) -> Sorted:
    return Sorted(server.tenant("Theirs").api)


def test_a_change_writes_the_row_that_was_asked_for(mine: Sorted, theirs: Sorted) -> None:
    before = theirs.sorts()
    mine.api.metadata(UPDATE_SORT, id=mine.sort, input={"id": theirs.sort, "direction": "DESC"})
    assert theirs.sorts() == before
    assert mine.sorts()[mine.sort] == "DESC"
    mine.api.metadata(UPDATE_SORT, id=mine.sort, input={"direction": "ASC"}).ok()


def test_a_new_row_with_a_taken_id_takes_nothing(mine: Sorted, theirs: Sorted) -> None:
    before, views = theirs.sorts(), theirs.views()
    assert mine.create(mine.fields[1], id=theirs.sort, direction="DESC").errors
    assert theirs.sorts() == before
    assert mine.api.metadata(
        CREATE_VIEW, input={"id": theirs.view, "name": "taken", "objectMetadataId": mine.object, "icon": "IconX"}
    ).errors
    assert theirs.views() == views
    chosen = str(uuid.uuid4())
    assert mine.create(mine.fields[1], id=chosen, direction="DESC").ok()["createCoreViewSort"]["id"] == chosen, (
        "an id that is free may be chosen"
    )


def test_nothing_is_hung_into_another_tenants_view(mine: Sorted, theirs: Sorted) -> None:
    before = theirs.sorts()
    for field in (mine.fields[1], theirs.fields[1]):
        mine.api.metadata(CREATE_SORT, input={"viewId": theirs.view, "fieldMetadataId": field, "direction": "DESC"})
        mine.api.metadata(UPDATE_SORT, id=mine.sort, input={"viewId": theirs.view, "fieldMetadataId": field})
    assert theirs.sorts() == before


@pytest.mark.parametrize("name", ["workspaceId", "workspace"])
def test_no_webhook_is_put_into_another_workspace(server: Server, one: Tenant, other: Tenant, name: str) -> None:
    """It would be sent every record of that workspace."""
    made = one.api.metadata(CREATE_WEBHOOK, input={"targetUrl": "https://evil.test/", "operations": ["*.*"], "secret": "s"}).ok()[
        "createWebhook"
    ]["id"]
    headers = {"Authorization": f"Bearer {one.api_token()}"}
    value = other.workspace if name == "workspaceId" else {"id": other.workspace}
    for path in ("rest/metadata/webhooks", "rest/webhooks", "REST/Metadata/Webhooks"):
        answer = server.http.patch(f"/{path}/{made}", json={name: value, "description": "x"}, headers=headers)
        assert answer.status_code == 400, answer.text
        assert name in answer.text
    assert made in {webhook["id"] for webhook in one.api.metadata(WEBHOOKS).ok()["webhooks"]}
    assert made not in {webhook["id"] for webhook in other.api.metadata(WEBHOOKS).ok()["webhooks"]}


def test_over_rest_a_row_keeps_its_id_and_its_workspace(server: Server, one: Tenant, other: Tenant, mine: Sorted) -> None:
    headers = {"Authorization": f"Bearer {one.api_token()}"}
    own = Sorted(one.api)
    for path, row in (("viewSorts", own.sort), ("views", own.view)):
        for body in ({"id": mine.sort if path == "viewSorts" else mine.view}, {"workspaceId": other.workspace}):
            before = mine.sorts(), mine.views(), own.views().keys()
            answer = server.http.patch(
                f"/rest/metadata/{path}/{row}", json={**body, "direction": "DESC", "name": "x"}, headers=headers
            )
            assert answer.status_code == 400, answer.text
            assert (mine.sorts(), mine.views(), own.views().keys()) == before


@pytest.mark.parametrize("path", ["views", "viewFields", "viewSorts", "viewFilters", "viewGroups", "viewFilterGroups"])
def test_over_rest_no_row_brings_its_workspace(server: Server, one: Tenant, path: str) -> None:
    """It holds the invitation link, and how people sign in."""
    own = Sorted(one.api)
    headers = {"Authorization": f"Bearer {one.api_token()}"}
    for address in (f"/rest/metadata/{path}", f"/rest/metadata/{path}?viewId={own.view}", f"/REST/Metadata/{path}"):
        answer = server.http.get(address, headers=headers)
        assert answer.status_code == 200, answer.text
        assert isinstance(answer.json(), list)
        assert "inviteHash" not in answer.text
        assert not any("workspace" in row for row in answer.json())
    if path == "views":
        answer = server.http.get(f"/rest/metadata/views/{own.view}", headers=headers)
        assert answer.json()["id"] == own.view, answer.text
        assert "inviteHash" not in answer.text
