"""Work that the server starts and does not wait for fails: server and worker go on. Before the mend each of these ended a process for everybody.

In a file of its own, and late in the alphabet: where the mend is absent, nothing answers after it.
"""

from __future__ import annotations

import time
import uuid

from tests.contract.api import Api
from tests.tenants.conftest import Json, Server, Tenant

MADE_AND_GONE = 'mutation {{ createCompany(data: {{ id: "{id}", name: "short" }}) {{ id }} destroyCompany(id: "{id}") {{ id }} }}'
SETTLES_IN = 4  # seconds in which a worker takes the jobs and fails at them; it does not start again so soon
COMPANY = "mutation ($name: String!) { createCompany(data: { name: $name }) { id } }"
TIMELINE = (
    """query ($company: UUID!) { timelineActivities(filter: { companyId: { eq: $company } }) { edges { node { name } } } }"""
)


def timeline(api: Api, company: str) -> list[Json]:
    return list(api.records(TIMELINE, company=company).ok()["timelineActivities"]["edges"])


def assert_worker_works(api: Api, seconds: float = 30) -> None:
    """A new record gets its line in the timeline, which the worker writes."""
    company = api.records(COMPANY, name="after").ok()["createCompany"]["id"]
    end = time.monotonic() + seconds
    while not timeline(api, company):
        assert time.monotonic() < end, "the worker wrote nothing: did it end?"
        time.sleep(0.5)


def test_a_record_that_is_gone_ends_no_worker(server: Server, one: Tenant) -> None:
    """Its timeline is written when it is gone: the worker's insert fails, and nobody waited for it.

    Two rounds: a worker that is started again between them would hide the first.
    """
    api = one.api
    for _ in range(2):
        for _ in range(5):
            answer = api.records(MADE_AND_GONE.format(id=uuid.uuid4()))
            assert not answer.errors, answer.body
        # without a pause the check would be answered by a worker that is about to end
        time.sleep(SETTLES_IN)
        assert_worker_works(api, seconds=6)
    assert server.http.get("/healthz").status_code == 200
