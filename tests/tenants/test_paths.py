"""No path that a tenant writes leaves the tenant's folder: not to be read, written, copied or deleted."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.api import Api
from tests.tenants.conftest import Server, Tenant

Json = Any
NOBODY = "00000000-0000-4000-8000-00000000abcd"
UPLOAD = "mutation ($file: Upload!) { uploadFile(file: $file, fileFolder: Attachment) { path token } }"


class Stored:
    """A file of a tenant as its people see it: the signed address, and what is there now."""

    def __init__(self, server: Server, tenant: Tenant, content: bytes, filename: str = "note.txt") -> None:
        self.server = server
        self.tenant = tenant
        self.content = content
        answer = server.http.post(
            "/metadata",
            data={
                "operations": json.dumps({"query": UPLOAD, "variables": {"file": None}}),
                "map": '{"0": ["variables.file"]}',
            },
            files={"0": (filename, content, "text/plain")},
            headers={"Authorization": f"Bearer {tenant.api_token()}"},
        ).json()
        file = answer["data"]["uploadFile"]
        self.path = str(file["path"])
        folder, _, self.name = self.path.rpartition("/")
        self.address = f"/files/{folder}/{file['token']}/{self.name}"

    @property
    def now(self) -> bytes | None:
        answer = self.server.http.get(self.address)
        assert answer.status_code in (200, 404), answer.text
        return answer.content if answer.status_code == 200 else None


def twice(text: str) -> str:
    return quote(quote(text, safe=""), safe="")


def spellings(victim: Tenant, rest: str) -> list[str]:
    """The same place of another tenant, from a folder two below the attacker's own: plain, encoded, with the other slash, absolute."""
    place = f"workspace-{victim.workspace}{rest}"
    return [
        f"../{place}",
        f"../../{place}",
        f"attachment/../../{place}",
        f"attachment/../{place}",
        f"./.././{place}",
        f"..\\{place}",
        f"..%2f{place}",
        f"%2e%2e/{place}",
        quote(f"../{place}", safe=""),
        twice(f"../{place}"),
        f"%252e%252e%252f{place}",
        f"..%5c{place}",
        f"/../{place}",
        f"/{place}",
        f"attachment//..//../{place}",
    ]


# -- T16: attachments -----------------------------------------------------------------------------------------------------


def attach(api: Api, full_path: str) -> str:
    made = api.records('mutation ($p: String!) { createAttachment(data: { name: "a", fullPath: $p }) { id } }', p=full_path).ok()
    return str(made["createAttachment"]["id"])


def destroy(api: Api, attachment: str) -> None:
    api.records("mutation ($id: UUID!) { destroyAttachment(id: $id) { id } }", id=attachment).ok()


def wait_for(happened: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "did not happen in time (the worker must run)"
        time.sleep(0.2)


def after_the_jobs(server: Server, tenant: Tenant) -> None:
    """Returns when the worker has deleted files that were destroyed just now: two honest ones, which come after them in the queue."""
    for _ in range(2):
        last = Stored(server, tenant, b"last")
        destroy(tenant.api, attach(tenant.api, last.path))
        wait_for(lambda last=last: last.now is None)  # type: ignore[misc]


def test_destroying_an_attachment_deletes_nothing_of_another_tenant(server: Server, one: Tenant, other: Tenant) -> None:
    theirs = Stored(server, other, b"theirs")
    for rest in ("", "/attachment", f"/attachment/{theirs.name}"):
        for path in spellings(other, rest):
            destroy(one.api, attach(one.api, path))
    after_the_jobs(server, one)
    assert theirs.now == b"theirs"


@pytest.mark.parametrize("path", ["attachment", ".", "./attachment", "attachment/.", "%2e", "attachment%2f", ".."])
def test_destroying_an_attachment_deletes_a_file_and_no_folder(server: Server, one: Tenant, path: str) -> None:
    """One careless or hostile record does not take every file of the own workspace away."""
    mine = Stored(server, one, b"mine")
    destroy(one.api, attach(one.api, path))
    after_the_jobs(server, one)
    assert mine.now == b"mine"


def test_destroying_an_attachment_still_deletes_its_file(server: Server, one: Tenant) -> None:
    mine = Stored(server, one, b"mine")
    attachment = attach(one.api, mine.path)
    assert mine.now == b"mine"
    destroy(one.api, attachment)
    wait_for(lambda: mine.now is None)


# -- T2 and T3: versions and code keys -------------------------------------------------------------------------------------


def function(api: Api) -> str:
    """A function of the tenant, where the server still lets one be made; else an id that leads nowhere."""
    made = api.metadata('mutation { createOneServerlessFunction(input: { name: "f" }) { id } }')
    return NOBODY if made.errors else str(made.ok()["createOneServerlessFunction"]["id"])


def test_the_version_of_a_function_reads_nothing_of_another_tenant_or_of_the_image(
    server: Server, one: Tenant, other: Tenant
) -> None:
    theirs = Stored(server, other, f"secret-{uuid.uuid4()}".encode())
    id = function(one.api)
    query = "query ($id: ID!, $v: String!) { getServerlessFunctionSourceCode(input: { id: $id, version: $v }) }"
    versions = ["..", "../..", "../../..", "../../../../scripts", "../../../../src", "/etc", "draft/../../../.."]
    versions += [f"../../{path}" for path in spellings(other, "/attachment")]
    for version in versions:
        answer = one.api.metadata(query, id=id, v=version)
        assert not (answer.data or {}).get("getServerlessFunctionSourceCode"), version
        assert theirs.content.decode() not in str(answer.body)


def test_the_keys_of_code_write_nothing_of_another_tenant(server: Server, one: Tenant, other: Tenant) -> None:
    theirs = Stored(server, other, b"theirs")
    id = function(one.api)
    mutation = (
        "mutation ($id: UUID!, $c: JSON!) { updateOneServerlessFunction(input: { id: $id, update: { name: "
        '"f", code: $c } }) { id } }'
    )
    place = f"workspace-{other.workspace}/attachment/{theirs.name}"
    for key in (
        f"../../../../{place}",
        f"..\\..\\..\\..\\{place}",
        quote(f"../../../../{place}", safe=""),
        twice(f"../../../../{place}"),
        f"/{place}",
    ):
        for code in ({key: "taken"}, {"src": {f"../{key}": "taken"}}):
            one.api.metadata(mutation, id=id, c=code)
            assert theirs.now == b"theirs", key
    one.api.metadata(mutation, id=id, c={"..": {"..": {"..": {"..": {place: "taken"}}}}})
    assert theirs.now == b"theirs"


# -- names of uploads ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../../{place}/x.txt", "..%2f..%2f{place}%2fx.txt", "..\\..\\{place}\\x.txt", "x./../../{place}/x.txt", "x.%2e%2e%2f..",
        "x.txt/../../../{place}", "/etc/passwd", "x.%00txt", "%2e%2e%2f%2e%2e%2fx.txt", "x.txt%252f..",
    ],
)  # fmt: skip
def test_the_name_of_an_upload_writes_nothing_elsewhere(server: Server, one: Tenant, other: Tenant, name: str) -> None:
    """An upload is kept under a name of the server's own below the tenant's folder, or it is refused."""
    theirs = Stored(server, other, b"theirs")
    place = f"workspace-{other.workspace}/attachment"
    try:
        mine = Stored(server, one, b"mine", name.format(place=place))
    except (KeyError, TypeError):
        pass  # refused
    else:
        assert mine.path.startswith("attachment/")
        assert ".." not in mine.path.split("/")
    assert theirs.now == b"theirs"


def test_ordinary_and_odd_names_of_uploads_still_work(server: Server, one: Tenant) -> None:
    for name in ("a..b.txt", "فاتورة.pdf", "100%.txt", "no-extension.x", "two words.txt"):
        assert Stored(server, one, b"content", name).now == b"content", name
