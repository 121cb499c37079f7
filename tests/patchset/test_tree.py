"""Publishing and fingerprints: what may be replaced, what survives a kill, what a hash depends on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.patchset.helpers import rule, snapshot, write_patchset, write_tree
from twentyops.patchset import MARKER, Patchset, UsageError, apply, fingerprint, tree, tree_fingerprint


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "source", {"f.txt": "x\n", "d/e*": "y\n"})


@pytest.fixture
def patchset(tmp_path: Path) -> Patchset:
    return write_patchset(tmp_path / "p", {"f.txt": [rule(append="ours")]}, {"new.txt": "new\n"})


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if ".patchset-" in path.name)


# --- the output -------------------------------------------------------------------------------------------------------


def test_output_of_an_earlier_apply_is_replaced(tmp_path: Path, source: Path, patchset: Patchset) -> None:
    out = tmp_path / "out"
    apply(source, out, patchset)
    first = snapshot(out)
    (out / "stale").write_text("left over")
    (source / "added").write_text("z")
    apply(source, out, patchset)
    second = snapshot(out)
    assert "stale" not in second
    assert second.pop("added") == ("file", False, b"z")
    assert second == first
    assert leftovers(tmp_path) == []


def test_empty_directory_is_taken(tmp_path: Path, source: Path, patchset: Patchset) -> None:
    (tmp_path / "out").mkdir()
    apply(source, tmp_path / "out", patchset)
    assert (tmp_path / "out/f.txt").read_text() == "x\nours\n"


def test_directory_of_somebody_else_is_left_alone(tmp_path: Path, source: Path, patchset: Patchset) -> None:
    out = write_tree(tmp_path / "out", {"theirs": "x"})
    with pytest.raises(UsageError, match="is not empty and was not made by this tool"):
        apply(source, out, patchset)
    (out / MARKER).symlink_to("theirs")
    with pytest.raises(UsageError, match="was not made by this tool"):
        apply(source, out, patchset)
    assert (out / "theirs").read_text() == "x"


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("source", "lie in each other"),
        ("source/inner", "lie in each other"),
        (".", "lie in each other"),
        ("source/../source/x", "lie in each other"),
        ("missing/out", "does not exist; make it first"),
        ("p/rules/00.yaml", "is no directory"),
        ("link", "is a symbolic link"),
        ("way/inner", "lie in each other"),
    ],
)
def test_outputs_that_make_no_sense(tmp_path: Path, source: Path, patchset: Patchset, out: str, words: str) -> None:
    (tmp_path / "link").symlink_to("source")
    (tmp_path / "way").symlink_to("source")
    before = snapshot(tmp_path)
    with pytest.raises(UsageError, match=words):
        apply(source, tmp_path / out, patchset)
    assert snapshot(tmp_path) == before


def test_source_may_be_reached_through_a_link(tmp_path: Path, source: Path, patchset: Patchset) -> None:
    (tmp_path / "current").symlink_to("source")
    apply(tmp_path / "current", tmp_path / "out", patchset)
    assert (tmp_path / "out/f.txt").read_text() == "x\nours\n"
    assert source.is_dir()


def test_where_the_kernel_cannot_swap_two_renames_do(
    tmp_path: Path, source: Path, patchset: Patchset, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    apply(source, out, patchset)
    monkeypatch.setattr(tree, "_exchange", lambda *_: False)
    (source / "added").write_text("z")
    apply(source, out, patchset)
    assert (out / "added").read_text() == "z"
    assert leftovers(tmp_path) == []


def test_where_the_kernel_cannot_copy_bytes_are_read_and_written(
    tmp_path: Path, source: Path, patchset: Patchset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    (source / "big").write_bytes(os.urandom(3_000_000))
    apply(source, tmp_path / "out", patchset)
    assert (tmp_path / "out/big").read_bytes() == (source / "big").read_bytes()


# --- all or nothing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["copy", "write_file", "publish", "_copy_file"])
@pytest.mark.parametrize("had_output", [False, True])
def test_failure_at_any_step_leaves_everything_as_it_was(
    tmp_path: Path, source: Path, patchset: Patchset, monkeypatch: pytest.MonkeyPatch, where: str, had_output: bool
) -> None:
    out = tmp_path / "out"
    if had_output:
        apply(source, out, patchset)
    before = snapshot(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tree, where, fail)
    with pytest.raises(OSError, match="No space left"):
        apply(source, out, patchset)
    assert snapshot(tmp_path) == before


VICTIM = """
    import sys, time
    from pathlib import Path
    from twentyops.patchset import Patchset, apply, tree

    real, at = tree.{where}, {where!r}

    def pause(*arguments, **named):
        if {after}:
            real(*arguments, **named)
        print("here", flush=True)
        time.sleep(600)

    tree.{where} = pause
    apply(Path(sys.argv[1]), Path(sys.argv[2]), Patchset.load(Path(sys.argv[3])))
"""


@pytest.mark.parametrize(("where", "after"), [("copy", False), ("copy", True), ("write_file", True), ("publish", False)])
def test_kill_9_leaves_the_old_output_and_the_next_run_cleans_up(
    tmp_path: Path, source: Path, patchset: Patchset, where: str, after: bool
) -> None:
    out = tmp_path / "out"
    apply(source, out, patchset)
    old = snapshot(out)
    (source / "added").write_text("z")
    code = textwrap.dedent(VICTIM.format(where=where, after=after))
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", code, str(source), str(out), str(patchset.root)],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
    ) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "here\n"
        # While it lives, another run to the same place does not touch its workshop.
        apply(source, tmp_path / "out", patchset)
        assert len(leftovers(tmp_path)) == 1
        victim.send_signal(signal.SIGKILL)
        victim.wait(timeout=30)
    assert len(leftovers(tmp_path)) == 1
    assert {**old, "added": ("file", False, b"z")} == snapshot(out)
    apply(source, out, patchset)
    assert leftovers(tmp_path) == []


def test_two_runs_at_once_leave_one_whole_tree(tmp_path: Path, source: Path, patchset: Patchset) -> None:
    write_tree(source, {f"many/{n}": "x" * n for n in range(300)})
    code = (
        "import sys; from pathlib import Path; from twentyops.patchset import Patchset, apply;"
        "[apply(Path(sys.argv[1]), Path(sys.argv[2]), Patchset.load(Path(sys.argv[3]))) for _ in range(5)]"
    )
    arguments = [sys.executable, "-c", code, str(source), str(tmp_path / "out"), str(patchset.root)]
    apply(source, tmp_path / "out", patchset)
    expected = snapshot(tmp_path / "out")
    both = [subprocess.Popen(arguments, cwd=Path(__file__).parents[2]) for _ in range(2)]
    deadline = time.monotonic() + 120
    while any(one.poll() is None for one in both) and time.monotonic() < deadline:
        assert (tmp_path / "out" / MARKER).exists()  # never a moment without a tree
        time.sleep(0.01)
    assert [one.wait(timeout=1) for one in both] == [0, 0]
    assert snapshot(tmp_path / "out") == expected
    assert leftovers(tmp_path) == []


# --- fingerprints -----------------------------------------------------------------------------------------------------


def test_fingerprint_is_fixed(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "t", {"a": "1\n", "b/c*": "2\n"})
    (root / "l").symlink_to("a")
    # Held as a value: the same on every machine, and a change of the recipe must be meant.
    assert tree_fingerprint(root) == "3b0d8f14547132eb7b359832d07be9d518b1d9d7346aed55f0e3c861d66915e0"


def test_fingerprint_leaves_out_what_says_nothing(tmp_path: Path, source: Path) -> None:
    before = tree_fingerprint(source)
    write_tree(source, {".git/HEAD": "x", "node_modules/x": "y", "d/node_modules/z": "z"})
    (source / "f.txt").chmod(0o600)
    os.utime(source / "f.txt", (1, 1))
    (source / "emptied").mkdir()
    assert tree_fingerprint(source) == before
    source.rename(tmp_path / "elsewhere")
    assert tree_fingerprint(tmp_path / "elsewhere") == before


@pytest.mark.parametrize("change", ["content", "name", "exec", "new", "link", "kind"])
def test_fingerprint_tells_every_change(source: Path, change: str) -> None:
    (source / "l").symlink_to("f.txt")
    before = tree_fingerprint(source)
    match change:
        case "content":
            (source / "f.txt").write_text("X\n")
        case "name":
            (source / "f.txt").rename(source / "g.txt")
        case "exec":
            (source / "f.txt").chmod(0o755)
        case "new":
            (source / "n").write_text("")
        case "link":
            (source / "l").unlink()
            (source / "l").symlink_to("d/e")
        case "kind":
            (source / "l").unlink()
            (source / "l").write_text("f.txt")
    assert tree_fingerprint(source) != before


def test_patchset_fingerprint_covers_rules_overlay_and_engine(
    tmp_path: Path, patchset: Patchset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {fingerprint(patchset.root)}
    assert patchset.fingerprint in seen
    (patchset.root / "overlay/new.txt").chmod(0o755)
    seen.add(fingerprint(patchset.root))
    rules = patchset.root / "rules/00.yaml"
    rules.write_text(rules.read_text() + "# c\n")
    seen.add(fingerprint(patchset.root))
    monkeypatch.setattr("twentyops.patchset.engine.ENGINE_VERSION", "other")
    seen.add(fingerprint(patchset.root))
    assert len(seen) == 4
    (patchset.root / "rules.schema.json").write_text("{}")
    assert fingerprint(patchset.root) in seen
