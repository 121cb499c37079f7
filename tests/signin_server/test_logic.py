"""The server's sign-in logic, run by Node as it is shipped: no Twenty, no network, no Clerk; and no import that would need them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import node_suites

HERE = Path(__file__).parent
PURE = HERE.parents[1] / "files/twenty/overlay/packages/twenty-server/src/auth/clerk/pure"
SUITES = sorted(HERE.glob("*.test.ts"))


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.name)
def test_server_logic(suite: Path) -> None:
    node_suites.run(suite, at_least=5, timeout=180)


def test_pure_files_import_nothing_but_node_and_each_other() -> None:
    files = sorted(PURE.glob("*.ts"))
    assert files
    for path in files:
        for name in re.findall(r"from '([^']+)'", path.read_text()):
            assert re.fullmatch(r"node:\w+|\./[\w-]+", name), f"{path.name} imports {name}"


def test_every_pure_file_is_read_by_a_suite() -> None:
    read = {name for suite in SUITES for name in re.findall(r"clerk/pure/([\w-]+)'", suite.read_text())}
    assert {path.stem for path in PURE.glob("*.ts")} == read
