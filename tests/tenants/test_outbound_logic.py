"""The check of addresses that tenants choose, run by Node as it is shipped: no Twenty; nothing leaves this machine."""

from __future__ import annotations

from pathlib import Path

from tests import node_suites

HERE = Path(__file__).parent


def test_outbound() -> None:
    node_suites.run(HERE / "outbound.test.ts", at_least=9, timeout=120, resolver=HERE.parent / "signin_server" / "resolve.mjs")


def test_mail() -> None:
    node_suites.run(HERE / "mail.test.ts", at_least=10, timeout=120, resolver=HERE.parent / "signin_server" / "resolve.mjs")
