"""The pure decisions of the tenants' overlay, run by Node as they are shipped: no Twenty, no database."""

from __future__ import annotations

from pathlib import Path

from tests import node_suites

HERE = Path(__file__).parent


def test_decisions() -> None:
    node_suites.run(HERE / "decisions.test.ts", at_least=9, timeout=120, resolver=HERE.parent / "signin_server" / "resolve.mjs")
