"""What the server does about large bodies and the page's files, run by Node as it is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import node_suites

HERE = Path(__file__).parent
SUITES = sorted(HERE.glob("*.test.ts"))


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.name)
def test_server_logic(suite: Path) -> None:
    node_suites.run(suite, at_least=7, timeout=120, resolver=HERE.parent / "signin_server/resolve.mjs")
