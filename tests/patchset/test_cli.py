"""The command line: exit codes, the table, JSON, and what goes to which stream."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patchset.helpers import rule, snapshot, write_patchset, write_tree
from twentyops.patchset.cli import main

HERE = Path(__file__).parents[2]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    write_tree(tmp_path / "good", {"a.ts": "f();\n"})
    write_tree(tmp_path / "drifted", {"a.ts": "g();\n"})
    write_tree(tmp_path / "hostile", {"a.ts": "f();\r\n"})
    write_patchset(tmp_path / "p", {"a.ts": [rule("the-edit", find={"pattern": "f()"}, insert_after="ours();")]})
    return tmp_path


def call(world: Path, *arguments: str) -> int:
    command, source, *rest = arguments
    return main([command, str(world / source), *rest, "--patchset", str(world / "p")])


@pytest.mark.parametrize(("source", "code"), [("good", 0), ("drifted", 1), ("hostile", 2), ("nowhere", 2)])
@pytest.mark.parametrize("command", ["check", "diff", "apply"])
def test_exit_codes(world: Path, command: str, source: str, code: int) -> None:
    extra = ["--out", str(world / "out")] if command == "apply" else []
    assert call(world, command, source, *extra) == code
    assert (world / "out").exists() == (command == "apply" and code == 0)


@pytest.mark.parametrize(
    "arguments", [[], ["check"], ["apply", "x"], ["diff", "x", "--json"], ["check", "x", "--js"], ["no", "x"]]
)
def test_usage_errors_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: python -m twentyops.patchset" in capsys.readouterr().err


def test_table_names_rule_file_expected_and_found(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(world, "check", "drifted")
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = [line.strip() for line in shown.out.splitlines()]
    assert lines[0] == "a.ts"
    assert lines[1].split() == ["not-found", "the-edit"]
    assert "expected:  1 match of pattern f()" in lines
    assert "found:     no match" in lines
    assert lines[-1] == "1 not-found. Drift: adapt the rules named above (docs/patchset.md)."


def test_table_shows_overlay_and_hostile_input(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tree(world, {"p/overlay/a/new.ts": "ours\n", "hostile/a/new.ts": "theirs\n"})
    call(world, "check", "hostile")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "overlay (files of ours)" in lines
    assert "conflict         a/new.ts" in lines
    assert "found:     upstream has another file at this path" in lines
    assert lines[-1] == "1 conflict, 1 refused. Refused: the source holds input that is not edited."


def test_json_has_a_stable_shape(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(world, "check", "good", "--json")
    data = json.loads(capsys.readouterr().out)
    assert set(data) == {
        *("schema", "engine", "patchset", "source", "drift", "hostile", "already_patched", "summary", "results"),
    }
    assert data["schema"] == 1
    assert data["summary"] == {"ok": 1}
    (row,) = data["results"]
    assert row == {
        "kind": "rule",
        "file": "a.ts",
        "id": "the-edit",
        "why": "a reason of at least twelve letters",
        "state": "ok",
        "expected": "1 match of pattern f()",
        "found": "pattern f()",
        "lines": [1],
        "candidates": [],
        "hostile": False,
    }


def test_apply_with_drift_reports_and_writes_nothing(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(world)
    assert call(world, "apply", "drifted", "--out", str(world / "out"), "--json") == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["drift"] is True
    assert "not-found" in shown.err
    assert snapshot(world) == before


def test_apply_says_what_it_did(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(world, "apply", "good", "--out", str(world / "out")) == 0
    assert "1 file changed or added; 1 ok. The patchset fits this tree." in capsys.readouterr().out
    assert call(world, "apply", "out", "--out", str(world / "again")) == 0
    assert "nothing to change; 1 already-applied. The tree is patched already." in capsys.readouterr().out


def test_diff_goes_to_standard_output_and_drift_to_standard_error(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(world, "diff", "good")
    shown = capsys.readouterr()
    assert shown.out.endswith("@@ -1 +1,2 @@\n f();\n+ours();\n")
    call(world, "diff", "drifted")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "not-found" in shown.err


def test_broken_rules_are_refused_before_the_source_is_read(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (world / "p/rules/00.yaml").write_text("file: a.ts\nrules: []\n")
    assert call(world, "check", "good") == 2
    shown = capsys.readouterr().err
    assert "patchset: Patchset refused, nothing was read from the source:\n  00.yaml: rules: List should" in shown


def test_full_disk_is_a_message(world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("twentyops.patchset.tree.copy", full)
    assert call(world, "apply", "good", "--out", str(world / "out")) == 2
    assert "No space left on device; nothing was published" in capsys.readouterr().err


def test_module_runs_and_a_closed_pipe_is_no_error(world: Path) -> None:
    (world / "good/a.ts").write_text("f();\n" + "// filler\n" * 50_000 + "f();\n")
    rules = world / "p/rules/00.yaml"
    rules.write_text(rules.read_text() + "  count: 2\n")
    (world / "p/overlay/big.txt").write_text("line\n" * 200_000)
    command = [sys.executable, "-m", "twentyops.patchset", "diff", str(world / "good"), "--patchset", str(world / "p")]
    with subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"diff --git a/a.ts")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


def test_output_is_the_same_bytes_on_every_run(world: Path) -> None:
    command = [sys.executable, "-m", "twentyops.patchset", "apply", str(world / "good"), "--patchset", str(world / "p")]
    trees = []
    for seed in ("0", "1"):
        out = world / f"out{seed}"
        environment = {**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": "C" if seed == "0" else "C.UTF-8"}
        subprocess.run([*command, "--out", str(out)], cwd=HERE, check=True, env=environment, capture_output=True)
        trees.append(snapshot(out))
    assert trees[0] == trees[1]
