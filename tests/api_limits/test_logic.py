"""What the record API bounds, run by Node as it is shipped: no Twenty, no database."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import node_suites

HERE = Path(__file__).parent
SRC = HERE.parents[1] / "files/twenty/overlay/packages/twenty-server/src"


@pytest.mark.parametrize(("suite", "at_least"), [("documents.test.ts", 8), ("records.test.ts", 5), ("slots.test.ts", 5)])
def test_logic(suite: str, at_least: int) -> None:
    node_suites.run(HERE / suite, at_least=at_least, timeout=120, resolver=HERE.parent / "signin_server" / "resolve.mjs")


def test_pure_files_import_nothing_but_node_and_each_other() -> None:
    files = sorted(SRC.glob("api-limits/pure/*.ts"))
    assert files
    for path in files:
        for name in re.findall(r"from '([^']+)'", path.read_text()):
            assert re.fullmatch(r"node:\w+|\./[\w-]+|\.\./\.\./locks/pure/[\w-]+", name), f"{path.name} imports {name}"
