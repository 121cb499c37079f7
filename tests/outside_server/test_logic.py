"""What the server decides about large bodies, run by Node as it is shipped."""

from __future__ import annotations

from pathlib import Path

from tests import node_suites

HERE = Path(__file__).parent


def test_body_gate() -> None:
    node_suites.run(HERE / "gate.test.ts", at_least=7, timeout=120, resolver=HERE.parent / "signin_server/resolve.mjs")
