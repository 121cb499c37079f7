"""What the server keeps for each workspace, run by Node as it is shipped: no Twenty, no database."""

from __future__ import annotations

from pathlib import Path

from tests import node_suites

HERE = Path(__file__).parent


def test_kept() -> None:
    node_suites.run(HERE / "kept.test.ts", at_least=9, timeout=120, resolver=HERE.parent / "signin_server" / "resolve.mjs")
