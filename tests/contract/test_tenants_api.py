"""The internal API of the lab's stand-in of Twenty, asked what the tenant manager's tests ask of a real server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import httpx
import pytest

from tests.contract.native import Services
from tests.tenant_manager import test_contract as asked
from twentyops import data_model

organization = asked.organization
test_without_the_secret_nothing_is_told = asked.test_without_the_secret_nothing_is_told
test_the_life_of_a_tenant = asked.test_the_life_of_a_tenant
test_lists_are_paged_and_count = asked.test_lists_are_paged_and_count
test_what_is_wrong_is_refused_by_name = asked.test_what_is_wrong_is_refused_by_name


@pytest.fixture(scope="module")
def api(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    if request.config.getoption("--twenty-url"):
        pytest.skip("a real server is asked by tests/tenant_manager/test_contract.py --internal-url")
    local: Services = request.getfixturevalue("local_services")
    secret = secrets.token_urlsafe(32)
    with local.standin("tenants", migrated=True) as standin:
        standin.settings |= {"TWENTYOPS_INTERNAL_SECRET": secret, "TWENTYOPS_DATA_MODEL": str(data_model.BAKED)}
        standin.start_server()
        with httpx.Client(base_url=standin.url, headers={"Authorization": f"Bearer {secret}"}, timeout=180) as client:
            yield client
