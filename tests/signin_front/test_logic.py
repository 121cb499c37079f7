"""The decisions of the front's sign-in, run by Node as they are shipped: no Twenty, no browser, no Clerk."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.contract.native import ensure_node

HERE = Path(__file__).parent
TWENTYS_NODE = (24, 5)  # what Twenty itself asks for; it runs TypeScript as it is
SUITES = sorted(HERE.glob("*.test.ts"))


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.name)
def test_front_logic(suite: Path) -> None:
    node = ensure_node(TWENTYS_NODE) / "node"
    done = subprocess.run(
        [node, "--no-warnings", "--import", HERE / "resolve.mjs", "--test", suite],
        capture_output=True, text=True, timeout=120, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    passed = re.search(r"^\S* ?pass (\d+)$", done.stdout, re.MULTILINE)
    assert int(passed[1] if passed else 0) >= 3, f"{suite.name} ran no tests:\n{done.stdout[-2000:]}"


def test_there_are_suites_and_they_read_the_shipped_files() -> None:
    overlay = HERE.parents[1] / "files/twenty/overlay/packages/twenty-front/src/modules/auth/clerk"
    read = {name for suite in SUITES for name in re.findall(r"auth/clerk/(\w+\.ts)'", suite.read_text())}
    impure = {"clerkSession.ts", "clerkTokenPair.ts", "withoutClerkInvitations.ts"}  # they join the others to Twenty
    assert {path.name for path in overlay.glob("*.ts")} - impure == read
