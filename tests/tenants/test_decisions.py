"""The pure decisions of the tenants' overlay, run by Node as they are shipped: no Twenty, no database."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.contract.native import ensure_node

HERE = Path(__file__).parent
TWENTYS_NODE = (24, 5)  # what Twenty itself asks for; it runs TypeScript as it is


def test_decisions() -> None:
    node = ensure_node(TWENTYS_NODE) / "node"
    done = subprocess.run(
        [node, "--no-warnings", "--test", HERE / "decisions.test.ts"],
        capture_output=True, text=True, timeout=120, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    passed = re.search(r"^\S* ?pass (\d+)$", done.stdout, re.MULTILINE)
    assert int(passed[1] if passed else 0) >= 9, done.stdout[-2000:]
