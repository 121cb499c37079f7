"""A tenant who knows the id of another tenant's row can neither change it nor take it, nor put one of their own into that workspace."""

from __future__ import annotations

import uuid

import pytest

from tests.contract import api as q
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


CREATE_FILTER = "mutation ($input: CreateViewFilterInput!) { createCoreViewFilter(input: $input) { id } }"
CREATE_GROUP = "mutation ($input: CreateViewFilterGroupInput!) { createCoreViewFilterGroup(input: $input) { id } }"
WIDGET = {
    "title": "Widget",
    "type": "IFRAME",
    "gridPosition": {"row": 0, "column": 0, "rowSpan": 1, "columnSpan": 1},
    "configuration": {"url": "https://page.example.com/"},
}
PAGE = "query ($id: String!) { getPageLayout(id: $id) { tabs { id widgets { id } } } }"
SAVE_PAGE = """mutation ($id: String!, $input: UpdatePageLayoutWithTabsInput!) {
  updatePageLayoutWithTabsAndWidgets(id: $id, input: $input) { id } }"""
GIVE_ROLE = """mutation ($member: UUID!, $role: UUID!) {
  updateWorkspaceMemberRole(workspaceMemberId: $member, roleId: $role) { id } }"""
VIEW_PARTS = """query ($id: String!) { getCoreView(id: $id) {
  viewFields { id } viewSorts { id } viewGroups { id }
  viewFilters { id viewFilterGroupId } viewFilterGroups { id viewId parentViewFilterGroupId } } }"""


class Sorted:
    """A tenant's view with a sort in it."""

    def __init__(self, api: Api) -> None:
        self.api = api
        view = next(v for v in api.metadata(VIEWS).ok()["getCoreViews"] if len(v["viewFields"]) > 2)
        self.view, self.object = view["id"], view["objectMetadataId"]
        self.fields = [field["fieldMetadataId"] for field in view["viewFields"]]
        self.sort = self.create(self.fields[0], direction="ASC").ok()["createCoreViewSort"]["id"]

    def create(self, field: str, **more: Json) -> Answer:
        return self.api.metadata(CREATE_SORT, input={"viewId": self.view, "fieldMetadataId": field, **more})

    def sorts(self) -> dict[str, str]:
        return {sort["id"]: sort["direction"] for sort in self.api.metadata(SORTS, view=self.view).ok()["getCoreViewSorts"]}

    def parts(self) -> dict[str, dict[str, Json]]:
        """What the page is told of the view, by kind and id."""
        told = self.api.metadata(VIEW_PARTS, id=self.view).ok()["getCoreView"]
        return {kind: {part["id"]: part for part in parts} for kind, parts in told.items()}

    def views(self) -> dict[str, str]:
        return {view["id"]: view["name"] for view in self.api.metadata(VIEWS).ok()["getCoreViews"]}


@pytest.fixture(scope="module")
def mine(server: Server) -> Sorted:
    return Sorted(server.tenant("Mine").api)


@pytest.fixture(scope="module")
def own(one: Tenant) -> Sorted:
    return Sorted(one.api)


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
    before = theirs.parts()
    for field in (mine.fields[1], theirs.fields[1]):
        hung = {"viewId": theirs.view, "fieldMetadataId": field, "direction": "DESC"}
        assert mine.api.metadata(CREATE_SORT, input=hung).errors
        assert mine.api.metadata(UPDATE_SORT, id=mine.sort, input=hung).errors
    assert theirs.parts() == before
    assert mine.create(theirs.fields[1], direction="DESC").errors, "nor on another tenant's field"


PARTS: dict[str, dict[str, Json]] = {
    "ViewField": {"position": 9},
    "ViewFilter": {"value": "x"},
    "ViewFilterGroup": {},
    "ViewGroup": {"fieldValue": "x"},
    "ViewSort": {"direction": "DESC"},
}


@pytest.mark.parametrize("kind", sorted(PARTS))
def test_no_part_is_hung_into_another_tenants_view(server: Server, one: Tenant, own: Sorted, theirs: Sorted, kind: str) -> None:
    """Their page joins the parts by the view alone, and would show them."""
    before = theirs.parts()
    query = f"mutation ($input: Create{kind}Input!) {{ createCore{kind}(input: $input) {{ id }} }}"
    field = {} if kind == "ViewFilterGroup" else {"fieldMetadataId": own.fields[2]}
    part = {**field, **PARTS[kind]}
    assert own.api.metadata(query, input={"viewId": theirs.view, **part}).errors
    answer = server.http.post(
        f"/rest/metadata/{kind[0].lower()}{kind[1:]}s",
        json={"viewId": theirs.view, **part},
        headers={"Authorization": f"Bearer {one.api_token()}"},
    )
    assert answer.status_code >= 400, answer.text
    assert theirs.parts() == before
    if kind != "ViewField":  # the view shows each field already
        own.api.metadata(query, input={"viewId": own.view, **part}).ok()


def test_rows_of_others_are_not_reached_through_a_relation(server: Server, one: Tenant, own: Sorted, theirs: Sorted) -> None:
    """TypeORM writes the parent's id into each row that is listed as its child."""
    headers = {"Authorization": f"Bearer {one.api_token()}"}
    filters = theirs.api.metadata(
        CREATE_FILTER, input={"viewId": theirs.view, "fieldMetadataId": theirs.fields[1], "value": "x"}
    ).ok()["createCoreViewFilter"]["id"]
    group = theirs.api.metadata(CREATE_GROUP, input={"viewId": theirs.view}).ok()["createCoreViewFilterGroup"]["id"]
    made = one.api.metadata(CREATE_GROUP, input={"viewId": own.view}).ok()["createCoreViewFilterGroup"]["id"]
    before = theirs.parts()
    for body in (
        {"viewFilters": [{"id": filters}]},
        {"childViewFilterGroups": [{"id": group}]},
        {"view": {"id": theirs.view}},
        {"viewId": theirs.view},
        {"parentViewFilterGroupId": group},
        {"view": theirs.view},
    ):
        answer = server.http.patch(f"/rest/metadata/viewFilterGroups/{made}", json=body, headers=headers)
        assert answer.status_code in (400, 403), f"{body}: {answer.text}"
        assert theirs.parts() == before
    answer = server.http.patch(f"/rest/metadata/viewFilterGroups/{made}", json={"logicalOperator": "OR"}, headers=headers)
    assert answer.status_code == 200, answer.text
    for kind in ("viewFields", "viewFilters", "viewSorts", "viewGroups", "viewFilterGroups"):
        ids = [{"id": part} for part in before[kind]]
        answer = server.http.patch(f"/rest/metadata/views/{own.view}", json={kind: ids}, headers=headers)
        assert answer.status_code == 400, answer.text
    assert theirs.parts() == before


class Page:
    """A tenant's page layout with a tab, and a widget in it that shows any page."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.layout = self.make("PageLayout", name="Page", type="DASHBOARD")
        self.tab = self.make("PageLayoutTab", title="Tab", pageLayoutId=self.layout)
        self.widget = self.make("PageLayoutWidget", pageLayoutTabId=self.tab, **WIDGET)

    def make(self, kind: str, **wanted: Json) -> str:
        query = f"mutation ($input: Create{kind}Input!) {{ create{kind}(input: $input) {{ id }} }}"
        return str(self.api.metadata(query, input=wanted).ok()[f"create{kind}"]["id"])

    def shown(self) -> dict[str, list[str]]:
        page = self.api.metadata(PAGE, id=self.layout).ok()["getPageLayout"]
        return {tab["id"]: sorted(widget["id"] for widget in tab["widgets"]) for tab in page["tabs"]}

    def save(self, tab: str, **more: Json) -> Answer:
        """As the page saves a layout, its one widget in this tab."""
        widget = {"id": self.widget, "pageLayoutTabId": tab, **WIDGET, **more}
        tabs = [{"id": self.tab, "title": "Tab", "position": 1, "widgets": [widget]}]
        return self.api.metadata(SAVE_PAGE, id=self.layout, input={"name": "Page", "type": "DASHBOARD", "tabs": tabs})


def test_nothing_is_hung_onto_another_tenants_page(server: Server, one: Tenant, other: Tenant, theirs: Sorted) -> None:
    mine, page = Page(one.api), Page(other.api)
    headers = {"Authorization": f"Bearer {one.api_token()}"}
    before = page.shown()
    for path, body in (
        (f"pageLayoutTabs/{mine.tab}", {"pageLayoutId": page.layout}),
        (f"pageLayoutTabs/{mine.tab}", {"pageLayout": {"id": page.layout}}),
        (f"pageLayoutTabs/{mine.tab}", {"title": "x", "widgets": [{"id": page.widget}]}),
        (f"pageLayoutWidgets/{mine.widget}", {"pageLayoutTabId": page.tab}),
        (f"pageLayoutWidgets/{mine.widget}", {"objectMetadataId": theirs.object}),
        (f"pageLayouts/{mine.layout}", {"objectMetadataId": theirs.object}),
        (f"pageLayouts/{mine.layout}", {"tabs": [{"id": page.tab}]}),
    ):
        answer = server.http.patch(f"/rest/metadata/{path}", json=body, headers=headers)
        assert answer.status_code in (400, 403), f"{path} {body}: {answer.status_code} {answer.text}"
    assert mine.save(page.tab).errors
    assert mine.save(mine.tab, objectMetadataId=theirs.object).errors
    assert page.shown() == before
    assert mine.shown() == {mine.tab: [mine.widget]}


def test_a_page_is_saved_as_before(server: Server, one: Tenant, own: Sorted) -> None:
    page = Page(one.api)
    page.save(page.tab, title="Other", objectMetadataId=own.object).ok()
    second = page.make("PageLayoutTab", title="Second", pageLayoutId=page.layout)
    answer = server.http.patch(
        f"/rest/metadata/pageLayoutWidgets/{page.widget}",
        json={"pageLayoutTabId": second},
        headers={"Authorization": f"Bearer {one.api_token()}"},
    )
    assert answer.status_code == 200, answer.text
    assert page.shown() == {page.tab: [], second: [page.widget]}


def test_nobody_is_given_a_role_of_another_tenant(one: Tenant, other: Tenant) -> None:
    person = one.member()
    members = one.api.records("{ workspaceMembers { edges { node { id userEmail } } } }").ok()["workspaceMembers"]["edges"]
    member = next(edge["node"]["id"] for edge in members if edge["node"]["userEmail"] == person.email)
    roles = other.api.metadata("{ getRoles { id canBeAssignedToUsers canBeAssignedToApiKeys } }").ok()["getRoles"]
    theirs = next(role["id"] for role in roles if role["canBeAssignedToUsers"])
    assert one.api.metadata(GIVE_ROLE, member=member, role=theirs).errors
    theirs = next(role["id"] for role in roles if role["canBeAssignedToApiKeys"])
    key = {"name": "Key", "expiresAt": "2099-01-01T00:00:00.000Z", "roleId": theirs}
    assert one.api.metadata(q.CREATE_API_KEY, input=key).errors
    given = one.api.metadata("{ getRoles { id workspaceMembers { id } } }").ok()["getRoles"]
    assert sum(member in [found["id"] for found in role["workspaceMembers"]] for role in given) == 1


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


def test_over_rest_a_row_keeps_its_id_and_its_workspace(
    server: Server, one: Tenant, other: Tenant, mine: Sorted, own: Sorted
) -> None:
    headers = {"Authorization": f"Bearer {one.api_token()}"}
    for path, row in (("viewSorts", own.sort), ("views", own.view)):
        for body in ({"id": mine.sort if path == "viewSorts" else mine.view}, {"workspaceId": other.workspace}):
            before = mine.sorts(), mine.views(), own.views().keys()
            answer = server.http.patch(
                f"/rest/metadata/{path}/{row}", json={**body, "direction": "DESC", "name": "x"}, headers=headers
            )
            assert answer.status_code == 400, answer.text
            assert (mine.sorts(), mine.views(), own.views().keys()) == before


@pytest.fixture(scope="module")
def sorted_view(one: Tenant) -> Sorted:
    return Sorted(one.api)


@pytest.mark.parametrize("path", ["views", "viewFields", "viewSorts", "viewFilters", "viewGroups", "viewFilterGroups"])
def test_over_rest_no_row_brings_its_workspace(server: Server, one: Tenant, sorted_view: Sorted, path: str) -> None:
    """It holds the invitation link, and how people sign in."""
    own = sorted_view
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
