"""Runs suites of ``node --test`` under the Node that Twenty asks for, which runs TypeScript as it is shipped."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.contract.native import ensure_node

TWENTYS_NODE = (24, 5)


def run(suite: Path, at_least: int, timeout: int, resolver: Path | None = None) -> None:
    """One suite, with ``resolver`` or the ``resolve.mjs`` beside it; an AssertionError where a test fails or fewer than ``at_least`` passed.

    + timeout: seconds
    """
    node = ensure_node(TWENTYS_NODE) / "node"
    done = subprocess.run(
        [node, "--no-warnings", "--import", resolver or suite.parent / "resolve.mjs", "--test", suite],
        capture_output=True, text=True, timeout=timeout, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    passed = re.search(r"^\S* ?pass (\d+)$", done.stdout, re.MULTILINE)
    assert int(passed[1] if passed else 0) >= at_least, f"{suite.name} ran too few tests:\n{done.stdout[-2000:]}"
