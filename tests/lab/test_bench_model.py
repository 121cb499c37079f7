"""What the bench of the data model makes of figures and of a server's answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab import bench_model
from lab.bench_model import Goal, goals
from lab.identity import LabError
from lab.twenty import Twenty

FIGURES = {
    "naive": {"seconds": 40.0, "whole": 41.0},
    "server": {"seconds": 4.0, "whole": 5.0},
    "process": {"seconds": 4.0, "whole": 14.0},
    "check of one": {"seconds": 0.1, "whole": 0.9},
    "check of 20": {"seconds": 2.0, "whole": 3.0},
}


def test_goals_are_of_the_right_figures() -> None:
    fast, process, one, twenty = goals(FIGURES)
    assert (fast.figure, fast.met) == (0.1, True)
    assert (process.figure, process.met) == (14 / 40, False)
    assert (one.figure, twenty.figure) == (0.9, 3.0)
    assert str(process).startswith("MISSED")
    assert not Goal("x", 3, 3.01, "s").met


def _shell(directory: Path, script: str) -> Twenty:
    """Stands for a shell beside a server: whatever is asked, this is done."""
    program = directory / "shell"
    program.write_text(f"#!/bin/sh\ncat >/dev/null\n{script}\n")
    program.chmod(0o755)
    return Twenty((str(program),))


def test_stand_in_is_said_to_be_one(tmp_path: Path) -> None:
    said: list[str] = []
    answer = json.dumps({"status": 200, "text": '{"model":"m","workspaces":[]}'})
    # first the internal API answers, then there is no Nest to boot
    twenty = _shell(tmp_path, f"if [ -e {tmp_path}/asked ]; then exit 1; else touch {tmp_path}/asked; echo '{answer}'; fi")
    assert bench_model.main(twenty, said.append) is None
    assert "the server is the stand-in" in said[0]


def test_server_that_refuses_or_does_not_answer_is_an_error_and_not_a_stand_in(tmp_path: Path) -> None:
    answer = json.dumps({"status": 401, "text": '{"error":"unauthorized"}'})
    with pytest.raises(LabError, match="401"):
        bench_model.main(_shell(tmp_path, f"echo '{answer}'"), print)
    with pytest.raises(LabError, match="exit 1: no such container"):
        bench_model.main(_shell(tmp_path, "echo no such container >&2; exit 1"), print)


def test_run_that_did_not_write_the_whole_model_is_no_measurement(tmp_path: Path) -> None:
    made = json.dumps({"status": 201, "text": '{"workspaceId":"w"}'})
    report = json.dumps(
        {"workspaces": [{"seconds": 1, "written": {"objects": 0, "fields": 0, "relations": 0, "changes": 0, "views": 0}}]}
    )
    # first the workspace is made, then the command answers
    twenty = _shell(tmp_path, f"if [ -e {tmp_path}/made ]; then echo '{report}'; else touch {tmp_path}/made; echo '{made}'; fi")
    with pytest.raises(LabError, match="not the whole model"):
        bench_model.Bench(twenty, print).fresh("server")
