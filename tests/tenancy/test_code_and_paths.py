"""What keeps tenants' code off, their paths and rows apart, run by Node as it is shipped: no Twenty, no storage."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import node_suites

HERE = Path(__file__).parent
TENANCY = HERE.parents[1] / "files/twenty/overlay/packages/twenty-server/src/tenancy"
RESOLVER = HERE.parent / "signin_server" / "resolve.mjs"


@pytest.mark.parametrize(
    ("suite", "at_least"),
    [
        ("answers.test.ts", 3),
        ("code.test.ts", 7),
        ("events.test.ts", 3),
        ("jobs.test.ts", 9),
        ("parents.test.ts", 8),
        ("paths.test.ts", 11),
        ("person.test.ts", 2),
        ("rejections.test.ts", 5),
        ("rows.test.ts", 6),
    ],
)
def test_logic(suite: str, at_least: int) -> None:
    node_suites.run(HERE / suite, at_least=at_least, timeout=120, resolver=RESOLVER)


@pytest.mark.parametrize("part", ["code", "events", "jobs", "paths", "rows"])
def test_pure_files_import_nothing(part: str) -> None:
    files = sorted((TENANCY / part / "pure").glob("*.ts"))
    assert files
    for path in files:
        assert not re.findall(r"from '([^']+)'", path.read_text()), path.name
