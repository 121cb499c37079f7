"""The decisions of the front's sign-in, run by Node as they are shipped: no Twenty, no browser, no Clerk."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import node_suites

HERE = Path(__file__).parent
SUITES = sorted(HERE.glob("*.test.ts"))


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.name)
def test_front_logic(suite: Path) -> None:
    node_suites.run(suite, at_least=3, timeout=120)


def test_there_are_suites_and_they_read_the_shipped_files() -> None:
    overlay = HERE.parents[1] / "files/twenty/overlay/packages/twenty-front/src/modules/auth/clerk"
    read = {name for suite in SUITES for name in re.findall(r"auth/clerk/(\w+\.ts)'", suite.read_text())}
    impure = {
        "clerkSession.ts",
        "clerkTokenPair.ts",
        "forwardInClerkSession.ts",
        "withoutClerkInvitations.ts",
    }  # they join the others to Twenty
    assert {path.name for path in overlay.glob("*.ts")} - impure == read
