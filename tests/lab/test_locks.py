"""What several processes make at once in the cache is made by one at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lab.identity import PROJECT

COUNT = """
import sys, time
from pathlib import Path
from lab.locks import only_one
file = Path(sys.argv[1])
with only_one("counted"):
    number = int(file.read_text())
    time.sleep(0.02)
    file.write_text(str(number + 1))
    if sys.argv[2] == "dies":
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_one_at_a_time_and_a_killed_one_keeps_nobody_out(tmp_path: Path) -> None:
    file = tmp_path / "number"
    file.write_text("0")
    how = ["dies" if n % 5 == 0 else "lives" for n in range(20)]
    environ = {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    running = [subprocess.Popen([sys.executable, "-c", COUNT, str(file), one], env=environ) for one in how]
    assert [process.wait(60) for process in running] == [-9 if one == "dies" else 0 for one in how]
    assert file.read_text() == "20"
