"""A picture that unfolds into gigapixels, or a drawing that takes minutes to clean, is refused before that."""

from __future__ import annotations

import json
import struct
import time
import zlib

import pytest

from tests.tenants.conftest import Json, Server, Tenant

UPLOAD = """mutation ($file: Upload!, $folder: FileFolder) {
  %s(file: $file, fileFolder: $folder) { path token } }"""


def upload(server: Server, tenant: Tenant, field: str, name: str, kind: str, content: bytes, folder: str) -> dict[str, Json]:
    token = server.session(tenant.workspace, tenant.owner.email).access
    answer = server.http.post(
        "/metadata",
        headers={"Authorization": f"Bearer {token}"},
        data={
            "operations": json.dumps({"query": UPLOAD % field, "variables": {"file": None, "folder": folder}}),
            "map": json.dumps({"1": ["variables.file"]}),
        },
        files={"1": (name, content, kind)},
    )
    body = dict(answer.json())
    assert "GRAPHQL_VALIDATION_FAILED" not in answer.text, answer.text
    return body


def png(width: int, height: int) -> bytes:
    """All white, one bit for each pixel: a few KB for hundreds of megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + b"\xff" * ((width + 7) // 8)) * height, 9)
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_usual_picture_is_taken(server: Server, attacker: Tenant) -> None:
    body = upload(server, attacker, "uploadImage", "face.png", "image/png", png(400, 400), "ProfilePicture")
    assert not body.get("errors"), body


def test_a_picture_of_too_many_pixels_is_refused(server: Server, attacker: Tenant) -> None:
    began = time.monotonic()
    body = upload(server, attacker, "uploadImage", "face.png", "image/png", png(10_000, 10_000), "ProfilePicture")
    assert body.get("errors"), body
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(("size", "taken"), [(1_000, True), (300_000, False)])
def test_a_drawing_has_a_size(server: Server, attacker: Tenant, size: int, taken: bool) -> None:
    content = b'<svg xmlns="http://www.w3.org/2000/svg">' + b"<g/>" * (size // 4) + b"</svg>"
    body = upload(server, attacker, "uploadFile", "x.svg", "image/svg+xml", content, "Attachment")
    assert (not body.get("errors")) == taken, body
    if not taken:
        assert "An SVG has at most" in str(body["errors"])
