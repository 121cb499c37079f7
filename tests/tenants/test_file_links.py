"""The pure logic of file links and their answers, run by Node as it is shipped; and that Caddy says what the server says."""

from __future__ import annotations

import re
from pathlib import Path

from tests import node_suites
from twentyops import csp

HERE = Path(__file__).parent
PURE = HERE.parents[1] / "files/twenty/overlay/packages/twenty-server/src/tenancy/files/pure"


def test_file_logic() -> None:
    node_suites.run(HERE / "files.test.ts", at_least=8, timeout=120, resolver=HERE.parent / "signin_server" / "resolve.mjs")


def test_pure_files_import_nothing() -> None:
    assert {path.name: re.findall(r"from '([^']+)'", path.read_text()) for path in PURE.glob("*.ts")} == {
        "file-link.ts": [],
        "file-response.ts": [],
    }


def test_server_and_proxy_say_the_same_of_a_file() -> None:
    text = (PURE / "file-response.ts").read_text()
    shown = re.search(r"SHOWN_TYPES = new Set\(\[(.*?)\]\)", text, re.DOTALL)
    assert shown
    assert tuple(re.findall(r"'([^']+)'", shown[1])) == csp.FILE_TYPES
    assert f'"{csp.FILE_POLICY}"' in text
