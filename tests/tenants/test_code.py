"""Nothing of a tenant runs in the server: every entry point by which code is made, changed, published or started."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from tests.contract.api import Answer, Api
from tests.tenants.conftest import Server, Tenant

Json = Any
NOBODY = "00000000-0000-4000-8000-00000000abcd"
OFF = "switched off on this server"
SPY = "export const main = async () => ({ names: Object.keys(process.env).sort().join(' ') });"
APPLICATION = f'{{ application: {{ universalIdentifier: "{uuid.uuid4()}", displayName: "Spy" }}, objects: [], sources: {{}}, serverlessFunctions: [] }}'
LAYER = 'packageJson: { name: "x", license: "MIT", version: "1.0.0", engines: { node: "24", npm: "10", yarn: "4" }, packageManager: "yarn@4.9.2", dependencies: {} }, yarnLock: "x"'

CLOSED = {
    "create a function": 'mutation { createOneServerlessFunction(input: { name: "x" }) { id } }',
    "change a function": (
        f'mutation {{ updateOneServerlessFunction(input: {{ id: "{NOBODY}", update: {{ name: "x", code: {{ src: "x" }} }} }}) {{ id }} }}'
    ),
    "publish a function": f'mutation {{ publishServerlessFunction(input: {{ id: "{NOBODY}" }}) {{ id }} }}',
    "execute a function": (
        f'mutation {{ executeOneServerlessFunction(input: {{ id: "{NOBODY}", payload: {{}}, version: "draft" }}) {{ data }} }}'
    ),
    "packages of a function": f'query {{ getAvailablePackages(input: {{ id: "{NOBODY}" }}) }}',
    "create a layer": f"mutation {{ createOneServerlessFunctionLayer({LAYER}) {{ id }} }}",
    "sync an application": f"mutation {{ syncApplication(manifest: {APPLICATION}, {LAYER}) }}",
    "create a cron trigger": (
        f'mutation {{ createOneCronTrigger(input: {{ settings: {{ pattern: "* * * * *" }}, serverlessFunctionId: "{NOBODY}" }}) {{ id }} }}'
    ),
    "change a cron trigger": (
        f'mutation {{ updateOneCronTrigger(input: {{ id: "{NOBODY}", update: {{ settings: {{ pattern: "* * * * *" }} }} }}) {{ id }} }}'
    ),
    "create a database trigger": (
        f'mutation {{ createOneDatabaseEventTrigger(input: {{ settings: {{ eventName: "*.*" }}, serverlessFunctionId: "{NOBODY}" }}) {{ id }} }}'
    ),
    "change a database trigger": (
        f'mutation {{ updateOneDatabaseEventTrigger(input: {{ id: "{NOBODY}", update: {{ settings: {{ eventName: "*.*" }} }} }}) {{ id }} }}'
    ),
    "create a route trigger": (
        f'mutation {{ createOneRouteTrigger(input: {{ path: "/x", httpMethod: GET, isAuthRequired: false, serverlessFunctionId: "{NOBODY}" }}) {{ id }} }}'
    ),
    "change a variable of an application": (
        f'mutation {{ updateOneApplicationVariable(key: "x", value: "x", applicationId: "{NOBODY}") }}'
    ),
    "change a route trigger": (
        f'mutation {{ updateOneRouteTrigger(input: {{ id: "{NOBODY}", update: {{ path: "/x", httpMethod: GET, isAuthRequired: false }} }}) {{ id }} }}'
    ),
}


def assert_off(answer: Answer) -> None:
    """Refused, with the sentence that the interface shows; and not for another reason, such as an id that is not there."""
    assert answer.errors, answer.body
    assert OFF in answer.errors[0]["message"], answer.body
    assert answer.code == "FORBIDDEN", answer.body
    assert OFF in answer.extensions["userFriendlyMessage"], answer.body


@pytest.mark.parametrize("name", CLOSED)
def test_an_admin_cannot(one: Tenant, name: str) -> None:
    assert_off(one.api.metadata(CLOSED[name]))


def test_no_code_of_a_tenant_sees_the_servers_secrets(one: Tenant) -> None:
    """T1, the whole chain as it was run: make, change, execute."""
    api = one.api
    made = api.metadata('mutation { createOneServerlessFunction(input: { name: "spy" }) { id } }')
    function = NOBODY if made.errors else made.ok()["createOneServerlessFunction"]["id"]
    code = {"src": {"index.ts": SPY}}
    changed = api.metadata(
        'mutation ($id: UUID!, $code: JSON!) { updateOneServerlessFunction(input: { id: $id, update: { name: "spy", code: $code } }) { id } }',
        id=function, code=code,
    )  # fmt: skip
    ran = api.metadata(
        'mutation ($id: UUID!) { executeOneServerlessFunction(input: { id: $id, payload: {}, version: "draft" }) { data error logs } }',
        id=function,
    )
    for secret in ("APP_SECRET", "PG_DATABASE_URL", "CLERK_SECRET_KEY", "TWENTYOPS_INTERNAL_SECRET", "PGPASSWORD"):
        assert secret not in str(ran.body)
    for answer in (made, changed, ran):
        assert_off(answer)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_no_address_starts_a_function(server: Server, one: Tenant, method: str) -> None:
    for headers in ({}, {"Authorization": f"Bearer {one.api_token()}"}):
        answer = server.http.request(method, "/s/anything/at/all", headers=headers)
        assert answer.status_code == 403, answer.text
        assert OFF in answer.text


def test_what_is_there_can_be_listed_and_deleted(one: Tenant) -> None:
    """Pages that list functions and triggers go on working; nothing is refused that does no harm."""
    for query in (
        "{ findManyServerlessFunctions { id } }",
        "{ findManyCronTriggers { id } }",
        "{ findManyDatabaseEventTriggers { id } }",
        "{ findManyRouteTriggers { id } }",
    ):
        assert [type(listed) for listed in one.api.metadata(query).ok().values()] == [list], query
    gone = one.api.metadata(f'mutation {{ deleteOneServerlessFunction(input: {{ id: "{NOBODY}" }}) {{ id }} }}')
    assert OFF not in str(gone.body)


# -- Code steps of workflows -----------------------------------------------------------------------------------------------

ADD_STEP = """mutation ($version: UUID!, $type: String!) { createWorkflowVersionStep(input: {
  workflowVersionId: $version, stepType: $type, parentStepId: "trigger", position: { x: 0, y: 0 } }) { stepsDiff } }"""
CHANGE_STEP = """mutation ($version: UUID!, $step: JSON!) { updateWorkflowVersionStep(input: {
  workflowVersionId: $version, step: $step }) { id type } }"""


def workflow(api: Api) -> str:
    """Makes a workflow that is started by hand; the id of its draft."""
    made = api.records('mutation { createWorkflow(data: { name: "w" }) { id } }').ok()["createWorkflow"]
    found = api.records(
        "query ($w: UUID!) { workflowVersions(filter: { workflowId: { eq: $w } }) { edges { node { id } } } }", w=made["id"]
    ).ok()
    version = str(found["workflowVersions"]["edges"][0]["node"]["id"])
    settings = {"outputSchema": {}, "availability": {"type": "GLOBAL"}}
    trigger = {"name": "t", "type": "MANUAL", "settings": settings, "nextStepIds": []}
    change = "mutation ($v: UUID!, $t: JSON) { updateWorkflowVersion(id: $v, data: { trigger: $t }) { id } }"
    api.records(change, v=version, t=trigger).ok()
    return version


def steps(api: Api, version: str) -> list[dict[str, Json]]:
    found = api.records("query ($v: UUID!) { workflowVersion(filter: { id: { eq: $v } }) { steps } }", v=version).ok()
    return list(found["workflowVersion"]["steps"] or [])


def code_step(id: str) -> dict[str, Json]:
    """A Code step as the builder would send it."""
    retry = {"value": False}
    return {
        "id": id,
        "name": "Code",
        "type": "CODE",
        "valid": True,
        "nextStepIds": [],
        "settings": {
            "errorHandlingOptions": {"retryOnFailure": retry, "continueOnFailure": retry},
            "outputSchema": {},
            "input": {"serverlessFunctionId": NOBODY, "serverlessFunctionVersion": "draft", "serverlessFunctionInput": {}},
        },
    }


def test_no_code_step_is_added_to_a_workflow(one: Tenant) -> None:
    api = one.api
    version = workflow(api)
    assert_off(api.metadata(ADD_STEP, version=version, type="CODE"))
    assert steps(api, version) == []
    assert api.metadata(ADD_STEP, version=version, type="HTTP_REQUEST").ok()
    assert [step["type"] for step in steps(api, version)] == ["HTTP_REQUEST"]


def test_no_step_of_a_workflow_becomes_code(one: Tenant) -> None:
    api = one.api
    version = workflow(api)
    api.metadata(ADD_STEP, version=version, type="HTTP_REQUEST").ok()
    before = steps(api, version)
    assert_off(api.metadata(CHANGE_STEP, version=version, step=code_step(before[0]["id"])))
    assert steps(api, version) == before


@pytest.mark.parametrize(
    "query",
    [
        "mutation ($w: UUID!, $s: JSON) { createWorkflowVersion(data: { workflowId: $w, steps: $s }) { id } }",
        "mutation ($w: UUID!, $s: JSON) { createWorkflowVersions(data: [{ workflowId: $w, steps: $s }]) { id } }",
        "mutation ($w: UUID!, $s: JSON) { createWorkflowVersions(data: [{ id: $w, steps: $s }], upsert: true) { id } }",
        "mutation ($w: UUID!, $s: JSON) { updateWorkflowVersion(id: $w, data: { steps: $s }) { id } }",
        "mutation ($w: UUID!, $s: JSON) { updateWorkflowVersions(filter: { id: { eq: $w } }, data: { steps: $s }) { id } }",
    ],
    ids=["create-one", "create-many", "upsert", "update-one", "update-many"],
)
def test_code_steps_do_not_come_in_as_records(one: Tenant, query: str) -> None:
    """Upstream closes these itself; the same steps would be run later."""
    api = one.api
    version = workflow(api)
    answer = api.records(query, w=version, s=[code_step(str(uuid.uuid4()))])
    assert answer.errors, answer.body
    assert steps(api, version) == []


def test_a_step_that_becomes_code_while_the_workflow_runs_runs_nothing(one: Tenant) -> None:
    """The worker's own way to the driver: the step of a run is changed while the run waits for a form."""
    api = one.server.api(one.server.session(one.workspace, one.owner.email).access)
    version = workflow(api)
    api.metadata(ADD_STEP, version=version, type="FORM").ok()
    form = steps(api, version)[0]
    api.metadata(ADD_STEP.replace('"trigger"', f'"{form["id"]}"'), version=version, type="HTTP_REQUEST").ok()
    last = next(step for step in steps(api, version) if step["type"] == "HTTP_REQUEST")
    run = api.metadata(
        "mutation ($v: UUID!) { runWorkflowVersion(input: { workflowVersionId: $v, payload: {} }) { workflowRunId } }", v=version
    ).ok()["runWorkflowVersion"]["workflowRunId"]

    def step_info(step: str) -> dict[str, Json]:
        found = api.records("query ($r: UUID!) { workflowRun(filter: { id: { eq: $r } }) { status state } }", r=run).ok()
        state = (found["workflowRun"] or {}).get("state") or {}
        return dict((state.get("stepInfos") or {}).get(step) or {})

    wait_for(lambda: step_info(form["id"]).get("status") == "PENDING")
    change = "mutation ($r: UUID!, $s: JSON!) { updateWorkflowRunStep(input: { workflowRunId: $r, step: $s }) { id type } }"
    api.metadata(change, r=run, s=code_step(last["id"])).ok()
    submit = "mutation ($r: UUID!, $s: UUID!) { submitFormStep(input: { workflowRunId: $r, stepId: $s, response: {} }) }"
    api.metadata(submit, r=run, s=form["id"]).ok()
    wait_for(lambda: step_info(last["id"]).get("status") in ("SUCCESS", "FAILED"))
    assert OFF in step_info(last["id"])["error"]


def wait_for(happened: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "did not happen in time (the worker must run)"
        time.sleep(0.2)
