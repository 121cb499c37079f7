"""A suspended tenant's public addresses are closed as well: those that start a workflow ask for no session."""

from __future__ import annotations

import uuid

import pytest

from tests.tenants.conftest import Server

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_workflow_of_a_suspended_tenant_starts(server: Server, method: str) -> None:
    """Refused before the workflow is looked for; where the tenant is open, a workflow that is not there is not found."""
    tenant = server.tenant()
    content = b"{}" if method == "POST" else None
    address = f"/webhooks/workflows/{tenant.workspace}/{uuid.uuid4()}"
    assert server.http.request(method, address, content=content, headers=JSON).status_code == 404
    tenant.post("suspend")
    answer = server.http.request(method, address, content=content, headers=JSON)
    assert answer.status_code == 403, answer.text
    assert "suspended" in answer.text
    tenant.post("resume")
    assert server.http.request(method, address, content=content, headers=JSON).status_code == 404
