"""Remote servers are off: SQL would be made of a tenant's words, and a type that is unknown ended the server.

In a file of its own, and late in the alphabet: without the mend nothing answers after it.
"""

from __future__ import annotations

import pytest

from tests.tenants.conftest import Server, Tenant

NOBODY = "00000000-0000-4000-8000-00000000abcd"
OFF = "Remote servers and their tables are switched off on this server"
TABLE = f'(input: {{ remoteServerId: "{NOBODY}", name: "x" }}) {{ name }} }}'

CLOSED = {
    "change a server": f'mutation {{ updateOneRemoteServer(input: {{ id: "{NOBODY}", label: "x" }}) {{ id }} }}',
    "delete a server": f'mutation {{ deleteOneRemoteServer(input: {{ id: "{NOBODY}" }}) {{ id }} }}',
    "list its tables": f'{{ findDistantTablesWithStatus(input: {{ id: "{NOBODY}" }}) {{ name }} }}',
    "take in a table": "mutation { syncRemoteTable" + TABLE,
    "give back a table": "mutation { unsyncRemoteTable" + TABLE,
    "take in the changes of a table": "mutation { syncRemoteTableSchemaChanges" + TABLE,
    # last: this one ended the server
    "make a server of an unknown type": (
        'mutation { createOneRemoteServer(input: { foreignDataWrapperType: "x", foreignDataWrapperOptions: {}, label: "x" }) { id } }'
    ),
}


@pytest.mark.parametrize("name", CLOSED)
def test_an_admin_cannot(server: Server, one: Tenant, name: str) -> None:
    answer = one.api.metadata(CLOSED[name])
    assert answer.errors, answer.body
    assert OFF in answer.errors[0]["message"], answer.body
    assert answer.code == "FORBIDDEN", answer.body
    assert server.http.get("/healthz").status_code == 200


def test_the_list_of_servers_goes_on_working(one: Tenant) -> None:
    query = '{ findManyRemoteServersByType(input: { foreignDataWrapperType: "postgres_fdw" }) { id } }'
    assert one.api.metadata(query).ok() == {"findManyRemoteServersByType": []}
