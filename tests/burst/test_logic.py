"""Slots, locks, deadlines, health and the watchdog, run by Node as they are shipped: no Twenty, no database."""

from __future__ import annotations

import re
from pathlib import Path

from tests import node_suites

HERE = Path(__file__).parent
SRC = HERE.parents[1] / "files/twenty/overlay/packages/twenty-server/src"


def test_logic() -> None:
    node_suites.run(HERE / "logic.test.ts", at_least=14, timeout=120, resolver=HERE.parent / "signin_server" / "resolve.mjs")


def test_the_guard_of_the_event_loop_ends_a_process_that_is_stuck_and_no_other() -> None:
    """By processes that are really blocked, and really stopped."""
    node_suites.run(HERE / "guard.test.ts", at_least=4, timeout=120, resolver=HERE.parent / "signin_server" / "resolve.mjs")


def test_pure_files_import_nothing_but_node_and_each_other() -> None:
    files = [*SRC.glob("locks/pure/*.ts"), *SRC.glob("liveness/pure/*.ts")]
    assert files
    for path in files:
        for name in re.findall(r"from '([^']+)'", path.read_text()):
            assert re.fullmatch(r"node:\w+|\./[\w-]+", name), f"{path.name} imports {name}"


def test_advisory_locks_are_taken_in_one_place() -> None:
    takers = {
        path.relative_to(SRC).as_posix() for path in SRC.rglob("*.ts") if re.search(r"pg_(try_)?advisory", path.read_text())
    }
    assert takers == {"locks/pure/locks.ts"}
