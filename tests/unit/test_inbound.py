"""Limits on visitors' connections, as text; that the kernel keeps them is shown by tests/outside."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.unit.test_pure import settings
from twentyops import inbound


def test_rules_name_the_published_ports_and_replace_only_their_own_table() -> None:
    rules = inbound.rules(settings())
    assert "tcp dport { 80 } jump visitor" in rules
    assert "flush" not in rules
    head = [line for line in rules.splitlines() if line.startswith(("table", "delete"))]
    table = f"inet {inbound.TABLE}"
    assert head == [f"table {table}", f"delete table {table}", f"table {table} {{"]


def test_a_domain_has_both_ports() -> None:
    rules = inbound.rules(settings(SERVER_URL="https://crm.example.com"))
    assert "tcp dport { 80, 443 } jump visitor" in rules


def test_a_hundred_addresses_cannot_take_all_room() -> None:
    assert 100 * inbound.OWN + inbound.SHARED < inbound.TOTAL
    assert inbound.OWN >= 6, "a browser keeps six connections"


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="nft asks the kernel, as root")
def test_nft_takes_the_rules_twice_in_a_namespace_of_its_own() -> None:
    twice = 'nft -f - <<< "$RULES" && nft -f - <<< "$RULES" && nft list tables'
    done = subprocess.run(
        ["unshare", "--net", "bash", "-c", twice], env={**os.environ, "RULES": inbound.rules(settings())},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["table", "inet", inbound.TABLE]
