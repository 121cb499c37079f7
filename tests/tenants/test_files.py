"""Stored files: a link opens the one path it was made for, and what is served is data that can act as nothing else."""

from __future__ import annotations

import base64
import http.client
import json
import struct
import time
import uuid
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import pytest

from tests.contract.api import Json
from tests.tenants.conftest import Server, Tenant

UPLOAD_FILE = "mutation ($file: Upload!, $folder: FileFolder) { uploadFile(file: $file, fileFolder: $folder) { path token } }"
UPLOAD_IMAGE = "mutation ($file: Upload!, $folder: FileFolder) { uploadImage(file: $file, fileFolder: $folder) { path token } }"
UPLOAD_FACE = "mutation ($file: Upload!) { uploadProfilePicture(file: $file) { path token } }"
UPLOAD_LOGO = "mutation ($file: Upload!) { uploadWorkspaceLogo(file: $file) { path token } }"
ATTACH = 'mutation ($path: String!) { createAttachment(data: { name: "x", fullPath: $path }) { id fullPath } }'

PAGE = b"<!doctype html><html><body><script>document.title = document.cookie</script></body></html>"
DRAWING = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
DAY = 86_400


def png() -> bytes:
    """A picture of one red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b"")


GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


@dataclass(frozen=True)
class Found:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Link:
    """What an upload answers: a path below the workspace's folder, and the token that opens it."""

    path: str
    token: str

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def target(self) -> str:
        return f"/files/{self.folder}/{self.token}/{self.name}"


class Files:
    """Uploads as a tenant, and asks for files with the path exactly as it is written."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def get(self, target: str) -> Found:
        url = urlsplit(str(self._server.http.base_url))
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        with closing(kind(url.hostname or "", url.port, timeout=30)) as connection:  # httpx would tidy the path up
            connection.putrequest("GET", target, skip_accept_encoding=True)
            connection.endheaders()
            answer = connection.getresponse()
            return Found(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def upload(self, token: str, query: str, name: str, content: bytes, kind: str, folder: str | None = None) -> Link:
        variables: dict[str, Json] = {"file": None} | ({"folder": folder} if folder else {})
        answer = self._server.http.post(
            "/graphql",
            headers={"Authorization": f"Bearer {token}", "x-apollo-operation-name": "upload"},
            data={
                "operations": json.dumps({"query": query, "variables": variables}),
                "map": json.dumps({"0": ["variables.file"]}),
            },
            files={"0": (name, content, kind)},
        )
        body = answer.json()
        assert answer.status_code == 200, answer.text
        assert not body.get("errors"), body
        found = next(iter(body["data"].values()))
        return Link(found["path"], found["token"])

    def attach(self, tenant: Tenant, name: str, content: bytes, kind: str = "application/octet-stream") -> Link:
        return self.upload(tenant.api_token(), UPLOAD_FILE, name, content, kind, "Attachment")


@pytest.fixture(scope="module")
def files(server: Server) -> Files:
    return Files(server)


def marked() -> bytes:
    return f"secret {uuid.uuid4().hex}\n".encode()


def is_harmless(found: Found) -> bool:
    """Nothing of it may run, wherever it is opened: whatever its type, it is sandboxed and no type is guessed."""
    policy = found.headers.get("content-security-policy", "")
    return (
        found.headers.get("x-content-type-options") == "nosniff"
        and "default-src 'none'" in policy
        and "sandbox" in policy
        and "allow-" not in policy
        and found.headers.get("cross-origin-resource-policy") in {"same-origin", "same-site"}
    )


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("note.html", PAGE, "text/html"),
        ("note.htm", PAGE, "text/html; charset=utf-8"),
        ("note.txt", PAGE, "text/plain"),
        ("pic.png", PAGE, "image/png"),
        ("pic.svg", DRAWING, "image/svg+xml"),
        ("pic.png", DRAWING, "image/png"),
        ("note.xhtml", b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>', "application/xhtml+xml"),
        ("feed.xml", b'<?xml version="1.0"?><x/>', "text/xml"),
        ("app.js", b"alert(1)", "text/javascript"),
        ("look.css", b"body{}", "text/css"),
        ("doc.pdf", PAGE, "application/pdf"),
        ("mail.eml", b"From: a\r\n\r\n" + PAGE, "message/rfc822"),
        ("page.mht", b"MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n" + PAGE, "multipart/related"),
        ("sheet.csv", b"a,b\n=1,2\n", "text/csv"),
        ("mark.html", b"\xef\xbb\xbf" + PAGE, "text/html"),
        ("wide.html", PAGE.decode().encode("utf-16"), "text/html"),
    ],
    ids=["html", "htm", "html-as-txt", "html-as-png", "svg", "svg-as-png", "xhtml", "xml", "js", "css", "html-as-pdf", "eml", "mht",
         "csv", "html-with-mark", "html-in-utf-16"],
)  # fmt: skip
def test_an_uploaded_page_is_never_served_as_one(files: Files, one: Tenant, name: str, content: bytes, kind: str) -> None:
    link = files.attach(one, name, content, kind)
    found = files.get(link.target)
    assert found.status == 200
    assert is_harmless(found), found.headers
    assert found.headers["content-type"] == "application/octet-stream"
    assert found.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("name", "content", "kind", "shown"),
    [
        ("pic.png", png(), "image/png", "inline"),
        ("pic.html", png(), "image/png", "inline"),  # its first bytes count, not its name
        ("pic.png", png() + PAGE, "image/png", "inline"),
        ("pic.gif", GIF, "image/gif", "inline"),
        ("paper.pdf", PDF, "application/pdf", "attachment"),
    ],
    ids=["png", "png-as-html", "png-and-html", "gif", "pdf"],
)
def test_pictures_are_shown_and_a_pdf_keeps_its_type(
    files: Files, one: Tenant, name: str, content: bytes, kind: str, shown: str
) -> None:
    found = files.get(files.attach(one, name, content, "text/html").target)
    assert (found.status, found.body) == (200, content)
    assert found.headers["content-type"] == kind
    assert found.headers["content-disposition"].startswith(shown)
    assert is_harmless(found), found.headers


def test_an_empty_file_and_a_large_one_arrive_whole(files: Files, one: Tenant) -> None:
    large = uuid.uuid4().bytes * 200_000
    for content in (b"", b"x", large):
        found = files.get(files.attach(one, "some.bin", content).target)
        assert (found.status, found.body) == (200, content)
        assert is_harmless(found)


def spellings(folder: str, workspace: str, token: str, name: str) -> list[str]:
    """Ways to write: from this folder up, into that workspace's, to that name."""
    ups = [
        "..", "%2e%2e", "%2E%2E", ".%2e", "%2e.", "%252e%252e", "%25252e%25252e", "..%00", "%c0%ae%c0%ae", "%u002e%u002e",
        "..;", "..%20", "\uff0e\uff0e",
    ]  # fmt: skip
    slashes = ["/", "%2f", "%2F", "%5c", "\\", "%252f", "//", "/./", "%c0%af", "%ef%bc%8f", "%09/", "%0d%0a/"]
    found = []
    for up in ups:
        for slash in slashes:
            found.append(f"/files/{folder}/{slash.join([up, up, f'workspace-{workspace}', folder, token, name])}")
            found.append(
                f"/files/{folder}{slash}{up}{slash}{up}{slash}workspace-{workspace}{slash}{folder}{slash}{token}{slash}{name}"
            )
            found.append(f"/files/{folder}/{token}/{slash.join([up, up, up, f'workspace-{workspace}', folder, name])}")
            found.append(f"/files/{folder}/{slash.join([up, up, f'workspace-{workspace}', folder])}/{token}/{name}")
    found += [
        f"/files/workspace-{workspace}/{folder}/{token}/{name}",
        f"/files//workspace-{workspace}/{folder}/{token}/{name}",
        f"/files/../files/{folder}/../../workspace-{workspace}/{folder}/{token}/{name}",
        f"/FILES/{folder}/../../workspace-{workspace}/{folder}/{token}/{name}",
        f"/files/{folder}/../../workspace-{workspace}/{folder}/{token}/{name}?x=/../{name}",
        f"/files/{folder}/../../workspace-{workspace}/{folder}/{token}/{name}#",
        f"/files/{folder}/../../workspace-{workspace}/{folder}/{token}/{name}/",
        f"/files/{folder}/../../workspace-{workspace}/{folder}/{token}/{name}/..",
        f"/files/{folder}/../../workspace-{workspace}/{folder}/{token}/{name}%00.png",
        f"/files/{folder}/../../workspace-{workspace.upper()}/{folder}/{token}/{name}",
    ]
    # what cannot stand in a request line is encoded once; the rest goes out as it is written
    return [quote(target, safe="/%.?#;=\\") for target in found]


@pytest.fixture(scope="module")
def theirs(files: Files, other: Tenant) -> tuple[Link, bytes]:
    """A file of the other tenant, which its members read."""
    content = marked()
    link = files.attach(other, "plan.txt", content)
    assert files.get(link.target).body == content
    return link, content


@pytest.fixture(scope="module")
def lent(one: Tenant, theirs: tuple[Link, bytes]) -> str:
    """A good token of the first tenant for the name of the other's file."""
    path = one.api.records(ATTACH, path=f"attachment/{theirs[0].name}").ok()["createAttachment"]["fullPath"]
    return str(path).split("/")[-2]


def test_a_token_opens_no_file_of_another_tenant(
    files: Files, one: Tenant, other: Tenant, theirs: tuple[Link, bytes], lent: str
) -> None:
    link, content = theirs
    mine = files.attach(one, "mine.txt", marked())
    targets = [link.target.replace(link.token, token) for token in (lent, mine.token)]
    for target in [*targets, *spellings("attachment", other.workspace, lent, link.name)]:
        found = files.get(target)
        assert content not in found.body, target
        assert found.status != 500, target


def test_the_owner_still_reads_it(files: Files, theirs: tuple[Link, bytes]) -> None:
    assert files.get(theirs[0].target).body == theirs[1]


def test_a_token_opens_nothing_else_of_its_own_tenant(files: Files, server: Server, one: Tenant) -> None:
    content = marked()
    first, second = files.attach(one, "a.txt", content), files.attach(one, "b.txt", marked())
    assert files.get(first.target).status == 200
    refused = [
        f"/files/attachment/{second.token}/{first.name}",
        f"/files/person-picture/{first.token}/{first.name}",
        f"/files/profile-picture/../attachment/{first.token}/{first.name}",
        f"/files/attachment/x/../{first.token}/{first.name}",
        f"/files/attachment/./{first.token}/{first.name}",
        f"/files/attachment//{first.token}/{first.name}",
        f"/files/attachment/{first.token}/../{first.name}",
        f"/files/attachment/{first.token}x/{first.name}",
        f"/files/attachment/{first.token[:-2]}/{first.name}",
        f"/files/attachment/{first.name}",
        f"/files/attachment/x/{first.name}",
    ]
    for target in refused:
        found = files.get(target)
        assert found.status in {400, 403, 404}, target
        assert content not in found.body


@pytest.mark.parametrize("folder", ["attachment", "profile-picture/original", "workspace-logo/original"])
def test_links_of_before_and_links_that_ended_open_nothing(files: Files, server: Server, one: Tenant, folder: str) -> None:
    if folder == "attachment":
        link = files.attach(one, "old.png", png())
    elif folder.startswith("workspace-logo"):
        link = files.upload(one.api_token(), UPLOAD_LOGO, "old.png", png(), "image/png")
    else:
        session = server.session(one.workspace, one.owner.email)
        link = files.upload(session.access, UPLOAD_FACE, "old.png", png(), "image/png")
    assert link.folder == folder
    now = int(time.time())

    def status(**claims: Json) -> int:
        token = server.sign("FILE", one.workspace, {"sub": one.workspace, "filename": link.name, **claims})
        return files.get(f"/files/{link.folder}/{token}/{link.name}").status

    assert status(path=link.path) == 200
    assert status() == 403, "a link of before, which names no path"
    assert status(path=link.path, iat=now - 90 * DAY, exp=now - 1) == 403, "a link that ended"
    assert status(path=f"/{link.path}") == 403
    assert status(path=f"{link.folder}/../{link.path}") == 403


def test_no_link_is_made_to_what_is_outside(files: Files, one: Tenant, other: Tenant, theirs: tuple[Link, bytes]) -> None:
    name = theirs[0].name
    for path in (
        f"attachment/../../workspace-{other.workspace}/attachment/{name}",
        f"../workspace-{other.workspace}/attachment/{name}",
        f"attachment/..%2f..%2fworkspace-{other.workspace}%2fattachment/{name}",
        f"attachment/%2e%2e/%2e%2e/workspace-{other.workspace}/attachment/{name}",
        f"attachment\\..\\..\\workspace-{other.workspace}\\attachment\\{name}",
        f"workspace-{other.workspace}/attachment/{name}",
        "serverless-function/x/draft/src/index.ts",
        "../../../../etc/passwd.txt",
        "attachment/..",
    ):
        told = one.api.records(ATTACH, path=path)
        link = str((told.data or {}).get("createAttachment") or {})
        assert "eyJ" not in link, f"{path}: {link}"


@pytest.fixture
def opens(files: Files) -> Callable[[str], bool]:
    """Does a link that a query told open a picture?"""

    def check(link: str) -> bool:
        target = urlsplit(link).path
        return files.get(target if target.startswith("/files/") else f"/files/{target}").body.startswith(b"\x89PNG")

    return check


def test_members_get_new_links_by_ordinary_queries(
    files: Files, server: Server, one: Tenant, opens: Callable[[str], bool]
) -> None:
    session = server.session(one.workspace, one.owner.email)
    api = server.api(session.access)

    face = files.upload(session.access, UPLOAD_FACE, "me.png", png(), "image/png")
    assert opens(face.target)
    members = api.records("{ workspaceMembers { edges { node { id userEmail } } } }").ok()["workspaceMembers"]["edges"]
    me = next(edge["node"]["id"] for edge in members if edge["node"]["userEmail"] == one.owner.email)
    api.records(
        "mutation ($id: UUID!, $url: String!) { updateWorkspaceMember(id: $id, data: { avatarUrl: $url }) { id } }",
        id=me, url=face.path,
    ).ok()  # fmt: skip
    told = api.records("query ($id: UUID!) { workspaceMember(filter: { id: { eq: $id } }) { avatarUrl } }", id=me).ok()
    assert opens(told["workspaceMember"]["avatarUrl"])
    told = api.metadata("{ currentUser { workspaceMember { avatarUrl } } }").ok()
    assert opens(told["currentUser"]["workspaceMember"]["avatarUrl"])

    logo = files.upload(session.access, UPLOAD_LOGO, "logo.png", png(), "image/png")
    assert opens(logo.target)
    assert opens(api.metadata("{ currentWorkspace { logo } }").ok()["currentWorkspace"]["logo"])

    picture = files.upload(session.access, UPLOAD_IMAGE, "her.png", png(), "image/png", "PersonPicture")
    assert opens(picture.target)
    made = api.records("mutation ($url: String!) { createPerson(data: { avatarUrl: $url }) { id avatarUrl } }", url=picture.path)
    assert opens(made.ok()["createPerson"]["avatarUrl"])

    attached = files.attach(one, "scan.png", png())
    made = api.records(ATTACH, path=attached.path)
    told = api.records(
        "query ($id: UUID!) { attachment(filter: { id: { eq: $id } }) { fullPath } }", id=made.ok()["createAttachment"]["id"]
    ).ok()
    assert opens(told["attachment"]["fullPath"])

    body = json.dumps([{"type": "image", "props": {"url": f"{server.http.base_url}files/attachment/old/{attached.name}"}}])
    body = body.replace("files/attachment", "/files/attachment").replace("//files", "/files")
    note = api.records(
        "mutation ($body: String!) { createNote(data: { title: \"x\", bodyV2: { blocknote: $body, markdown: null } }) { id } }",
        body=body,
    ).ok()["createNote"]["id"]  # fmt: skip
    told = api.records("query ($id: UUID!) { note(filter: { id: { eq: $id } }) { bodyV2 { blocknote } } }", id=note).ok()
    assert opens(json.loads(told["note"]["bodyV2"]["blocknote"])[0]["props"]["url"])


def test_a_picture_of_another_site_stays_an_address(one: Tenant) -> None:
    url = "https://pictures.example/me.png"
    made = one.api.records("mutation ($url: String!) { createPerson(data: { avatarUrl: $url }) { avatarUrl } }", url=url).ok()
    assert made["createPerson"]["avatarUrl"] == url
