"""The server's sign-in logic, run by Node as it is shipped: no Twenty, no network, no Clerk; and no import that would need them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.contract.native import ensure_node

HERE = Path(__file__).parent
PURE = HERE.parents[1] / "files/twenty/overlay/packages/twenty-server/src/auth/clerk/pure"
TWENTYS_NODE = (24, 5)  # what Twenty itself asks for; it runs TypeScript as it is
SUITES = sorted(HERE.glob("*.test.ts"))


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.name)
def test_server_logic(suite: Path) -> None:
    node = ensure_node(TWENTYS_NODE) / "node"
    done = subprocess.run(
        [node, "--no-warnings", "--import", HERE / "resolve.mjs", "--test", suite],
        capture_output=True, text=True, timeout=180, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    passed = re.search(r"^\S* ?pass (\d+)$", done.stdout, re.MULTILINE)
    assert int(passed[1] if passed else 0) >= 5, f"{suite.name} ran no tests:\n{done.stdout[-2000:]}"


def test_pure_files_import_nothing_but_node_and_each_other() -> None:
    files = sorted(PURE.glob("*.ts"))
    assert files
    for path in files:
        for name in re.findall(r"from '([^']+)'", path.read_text()):
            assert re.fullmatch(r"node:\w+|\./[\w-]+", name), f"{path.name} imports {name}"


def test_every_pure_file_is_read_by_a_suite() -> None:
    read = {name for suite in SUITES for name in re.findall(r"clerk/pure/([\w-]+)'", suite.read_text())}
    assert {path.stem for path in PURE.glob("*.ts")} == read
