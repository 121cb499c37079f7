"""The whole tree: states, lost files, overlay, hostile input, and the diff."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.patchset.helpers import only_row, rule, run, snapshot, write_patchset, write_tree
from twentyops.patchset import MARKER, Drift, HostileInput, UsageError, apply, plan
from twentyops.patchset import report as reports
from twentyops.patchset.document import MAX_BYTES

TREE: dict[str, str | bytes] = {
    "src/app.ts": "start();\n",
    "docs/readme.md": "# no line feed at the end",
    "run.sh*": "#!/bin/sh\nstart\n",
    "data.bin": b"\x00\xff\r\n",
    "empty/keep": "",
}
RULES = {
    "src/app.ts": [rule("app", find={"pattern": "start()"}, insert_after="ours();")],
    "run.sh": [rule("run", find={"line": "start"}, insert_before="prepare")],
}
OVERLAY: dict[str, str | bytes] = {
    "src/ours/new.ts": "export const ours = 1;\n",
    "bin/tool*": "#!/bin/sh\n",
    "pic.png": b"\x89PNG\x00\xff",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = write_tree(tmp_path / "source", dict(TREE))
    (root / "link").symlink_to("src/app.ts")
    write_tree(root, {".git/config": "x", "node_modules/a/b.js": "x", "src/node_modules/c": "x"})
    return root


def test_apply_makes_exactly_the_patched_tree(tmp_path: Path, source: Path) -> None:
    before = snapshot(source)
    patchset = write_patchset(tmp_path / "p", {k: list(v) for k, v in RULES.items()}, OVERLAY)
    apply(source, tmp_path / "out", patchset)
    assert snapshot(source) == before
    after = snapshot(tmp_path / "out")
    marker = json.loads(after.pop(MARKER)[2])
    assert marker["patchset"] == patchset.fingerprint
    assert str(tmp_path) not in json.dumps(marker)
    expected = {k: v for k, v in before.items() if ".git" not in k and "node_modules" not in k}
    expected["src/app.ts"] = ("file", False, b"start();\nours();\n")
    expected["run.sh"] = ("file", True, b"#!/bin/sh\nprepare\nstart\n")
    expected |= dict.fromkeys(("src/ours", "bin"), ("dir", False, b""))
    expected["src/ours/new.ts"] = ("file", False, b"export const ours = 1;\n")
    expected["bin/tool"] = ("file", True, b"#!/bin/sh\n")
    expected["pic.png"] = ("file", False, b"\x89PNG\x00\xff")
    assert after == expected


def test_applying_to_the_result_changes_nothing(tmp_path: Path, source: Path) -> None:
    patchset = write_patchset(tmp_path / "p", {k: list(v) for k, v in RULES.items()}, OVERLAY)
    apply(source, tmp_path / "one", patchset)
    again = apply(tmp_path / "one", tmp_path / "two", patchset)
    assert again.already_patched
    assert again.changes == {}
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def test_permissions_do_not_depend_on_the_umask_or_the_source(tmp_path: Path, source: Path) -> None:
    patchset = write_patchset(tmp_path / "p", {k: list(v) for k, v in RULES.items()}, OVERLAY)
    (source / "docs/readme.md").chmod(0o600)
    (source / "run.sh").chmod(0o700)
    before = os.umask(0o077)
    try:
        apply(source, tmp_path / "out", patchset)
    finally:
        os.umask(before)
    modes = {str(p.relative_to(tmp_path / "out")): p.stat().st_mode & 0o777 for p in (tmp_path / "out").rglob("*")}
    assert modes["docs/readme.md"] == modes["src/app.ts"] == modes["src/ours/new.ts"] == 0o644
    assert modes["run.sh"] == modes["bin/tool"] == modes["src"] == modes["src/ours"] == 0o755
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(shutil.which("git") is None, reason="git is what the diff is held against")
def test_the_diff_is_what_git_would_apply(tmp_path: Path, source: Path) -> None:
    overlay = {k: v for k, v in OVERLAY.items() if k != "pic.png"}
    rules = {**RULES, "docs/readme.md": [rule("doc", append="more")], "empty/keep": [rule("keep", append="x")]}
    patchset = write_patchset(tmp_path / "p", {k: list(v) for k, v in rules.items()}, overlay)
    apply(source, tmp_path / "out", patchset)
    shutil.copytree(source, tmp_path / "work", symlinks=True, ignore=shutil.ignore_patterns(".git", "node_modules"))
    diff = "".join(plan(source, patchset).diff())
    subprocess.run(["git", "apply", "-"], cwd=tmp_path / "work", input=diff.encode(), check=True)
    ours = snapshot(tmp_path / "out")
    del ours[MARKER]
    assert snapshot(tmp_path / "work") == ours


def test_binary_files_of_the_overlay_are_only_named_in_the_diff(tmp_path: Path, source: Path) -> None:
    diff = "".join(plan(source, write_patchset(tmp_path / "p", {}, OVERLAY)).diff())
    assert "Binary files /dev/null and b/pic.png differ\n" in diff


# --- drift ------------------------------------------------------------------------------------------------------------


def test_one_rule_that_does_not_fit_stops_everything(tmp_path: Path, source: Path) -> None:
    rules = {**RULES, "docs/readme.md": [rule("lost", find={"line": "nowhere"}, insert_after="x")]}
    patchset = write_patchset(tmp_path / "p", {k: list(v) for k, v in rules.items()}, OVERLAY)
    with pytest.raises(Drift) as caught:
        apply(source, tmp_path / "out", patchset)
    assert [(r.id, r.state) for r in caught.value.plan.rows if not r.good] == [("lost", "not-found")]
    assert not (tmp_path / "out").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p", "source"]


def test_a_later_rule_sees_what_an_earlier_one_made(tmp_path: Path) -> None:
    worked, after = run(
        tmp_path,
        "a.ts",
        "f();\n",
        rule("first", find={"pattern": "f()"}, insert_after="made();"),
        rule("second", find={"pattern": "made()"}, insert_after="next();"),
    )
    assert not worked.drift
    assert after == "f();\nmade();\nnext();\n"


def test_partly_patched_tree_gets_the_rest(tmp_path: Path) -> None:
    rules = [
        rule("one", find={"pattern": "f()"}, insert_after="one();"),
        rule("two", find={"pattern": "f()"}, insert_before="two();"),
    ]
    worked, after = run(tmp_path, "a.ts", "f();\none();\n", *rules)
    assert [row.state for row in worked.rows] == ["already-applied", "ok"]
    assert after == "two();\nf();\none();\n"


def test_moved_file_is_found_by_what_the_rules_look_for(tmp_path: Path) -> None:
    tree = write_tree(
        tmp_path / "s",
        {
            "new/place/Router.tsx": "export const createRouter = () => buildRoutes(one);\n",
            "old/other.tsx": "export const x = 1;\n",
            "elsewhere/AppRouter.tsx": "nothing();\n",
        },
    )
    rules = [
        rule("a", find={"pattern": "buildRoutes($$$A)"}, insert_after="x"),
        rule("b", find={"pattern": "export const createRouter = $F"}, insert_after="y();"),
    ]
    worked = plan(tree, write_patchset(tmp_path / "p", {"old/AppRouter.tsx": rules}))
    assert [row.state for row in worked.rows] == ["file-moved", "file-moved"]
    first, second = worked.rows[0].candidates
    assert (first.file, first.matches, first.line) == ("new/place/Router.tsx", 2, 1)
    assert (second.file, second.matches, second.line) == ("elsewhere/AppRouter.tsx", 0, None)
    assert "look at:   new/place/Router.tsx:1 (2 rule(s) match)" in reports.as_text(worked)


def test_file_that_is_gone_without_a_trace(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "s", {"a.ts": "f();\n"})
    worked = plan(tree, write_patchset(tmp_path / "p", {"gone.tsx": [rule(find={"pattern": "f()"}, replace="g()")]}))
    assert only_row(worked).state == "not-found"
    assert "nothing in the tree that looks like it" in only_row(worked).found


def test_code_that_moved_to_another_file_is_pointed_out(tmp_path: Path) -> None:
    worked, _ = run(
        tmp_path,
        "a.ts",
        "f();\n",
        rule(find={"pattern": "wanted($A)"}, replace="found($A)"),
        more={"b.ts": "// x\nwanted(1);\n", "c.ts": "// wanted\n"},
    )
    row = only_row(worked)
    assert row.state == "not-found"
    assert [(c.file, c.line) for c in row.candidates] == [("b.ts", 2)]


@pytest.mark.parametrize(
    "find",
    [
        {"rule": {"kind": "pair", "has": {"field": "key", "regex": "^isFeatureOn$"}}},
        {"rule": {"kind": "pair", "has": {"field": "key", "any": [{"regex": "^isFeatureOn$"}, {"regex": "^x$"}]}}},
        {"pattern": "isFeatureOn: $V", "context": "const o = { isFeatureOn: $V }", "selector": "pair"},
        {"line_matches": r"\s*isFeatureOn: .*"},
        {"text": "isFeatureOn: true"},
    ],
)
def test_lost_file_is_found_by_every_kind_of_find(tmp_path: Path, find: dict[str, object]) -> None:
    tree = write_tree(
        tmp_path / "s",
        {"new/config.ts": "const o = {\n  isFeatureOn: true,\n};\n", "other.ts": "const o = { a: 1 };\n"},
    )
    worked = plan(tree, write_patchset(tmp_path / "p", {"old/config.ts": [rule(find=find, insert_after="b: 2,")]}))
    row = only_row(worked)
    assert row.state == "file-moved"
    assert [(c.file, c.matches, c.line) for c in row.candidates] == [("new/config.ts", 1, 2)]


def test_other_places_of_a_file_are_tried_in_order(tmp_path: Path) -> None:
    rules = rule(find={"pattern": "f()"}, insert_after="g();", also_at=["newer/a.ts", "newest/a.ts"])
    tree = write_tree(tmp_path / "s", {"newer/a.ts": "f();\n"})
    worked = plan(tree, write_patchset(tmp_path / "p", {"older/a.ts": [rules]}))
    assert only_row(worked).file == "newer/a.ts"
    assert worked.changes["newer/a.ts"].after == b"f();\ng();\n"


@pytest.mark.parametrize(
    ("there", "state"),
    [
        ({"src/ours/new.ts": OVERLAY["src/ours/new.ts"]}, "already-applied"),
        ({"src/ours/new.ts": "theirs\n"}, "conflict"),
        ({"src/ours/new.ts*": OVERLAY["src/ours/new.ts"]}, "conflict"),
        ({"src/ours": "a file\n"}, "conflict"),
        ({"src/ours/new.ts/deeper": "x"}, "conflict"),
        ({}, "ok"),
    ],
)
def test_overlay_never_covers_what_upstream_has(tmp_path: Path, there: dict[str, str | bytes], state: str) -> None:
    tree = write_tree(tmp_path / "s", there)
    patchset = write_patchset(tmp_path / "p", {}, {"src/ours/new.ts": OVERLAY["src/ours/new.ts"]})
    worked = plan(tree, patchset)
    assert only_row(worked).state == state
    assert worked.drift == (state == "conflict")
    assert not worked.hostile


# --- hostile input ----------------------------------------------------------------------------------------------------

APPEND = {"f.txt": [rule("r", append="x")]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"text\0more", "binary (a NUL byte at offset 4)"),
        (b"one\ntwo\r\n", "carriage return in line 2"),
        (b"\xef\xbb\xbfx\n", "byte order mark"),
        (b"\xff\xfe\n", "not UTF-8"),
        (b"x" * (MAX_BYTES + 1), f"larger than {MAX_BYTES} bytes"),
    ],
)
def test_files_that_are_not_edited(tmp_path: Path, content: bytes, words: str) -> None:
    tree = write_tree(tmp_path / "s", {"f.txt": content})
    patchset = write_patchset(tmp_path / "p", {k: list(v) for k, v in APPEND.items()})
    worked = plan(tree, patchset)
    row = only_row(worked)
    assert (row.state, row.hostile, row.id, row.file) == ("refused", True, "r", "f.txt")
    assert words in row.found
    with pytest.raises(Drift):
        apply(tree, tmp_path / "out", patchset)
    assert not (tmp_path / "out").exists()


def test_links_on_the_way_to_a_target_are_refused(tmp_path: Path) -> None:
    write_tree(tmp_path / "outside", {"f.txt": "secret\n"})
    tree = write_tree(tmp_path / "s", {"x": ""})
    (tree / "f.txt").symlink_to(tmp_path / "outside/f.txt")
    (tree / "dir").symlink_to(tmp_path / "outside")
    rules = {"f.txt": [rule("one", append="x")], "dir/f.txt": [rule("two", append="x")]}
    worked = plan(tree, write_patchset(tmp_path / "p", rules, {"dir/new.txt": "ours"}))
    assert [(row.state, row.hostile) for row in worked.rows] == [("refused", True)] * 3
    assert all("is a symbolic link" in row.found for row in worked.rows)
    assert (tmp_path / "outside/f.txt").read_text() == "secret\n"


def test_directory_in_the_place_of_a_target(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "s", {"f.txt/inner": ""})
    worked = plan(tree, write_patchset(tmp_path / "p", {k: list(v) for k, v in APPEND.items()}))
    assert "is no regular file" in only_row(worked).found


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("a", "/etc/passwd"),
        ("a", "../outside"),
        ("d/a", "../../x"),
        ("a", "d/../../x"),
        ("d/a", "deep/../../../x"),
        ("a", "via/../../source/f.txt"),
    ],
)
def test_links_out_of_the_tree_are_refused(tmp_path: Path, path: str, target: str) -> None:
    tree = write_tree(tmp_path / "source", {"f.txt": "x\n", "d/deep/y": ""})
    (tree / "via").symlink_to("d")  # one level up from here is the root again
    (tree / path).symlink_to(target)
    patchset = write_patchset(tmp_path / "p", {k: list(v) for k, v in APPEND.items()})
    with pytest.raises(HostileInput, match="symbolic links out of"):
        apply(tree, tmp_path / "out", patchset)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p", "source"]


def test_a_link_that_leaves_by_way_of_another_link_is_refused(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "source", {"f.txt": "x\n", "p/q/r/y": "", "top/z": ""})
    (tree / "p/q/r/up").symlink_to("../../../top")
    (tree / "out").symlink_to("p/q/r/up/../../source/f.txt")  # ends inside, but only by passing the parent
    patchset = write_patchset(tmp_path / "p", {k: list(v) for k, v in APPEND.items()})
    with pytest.raises(HostileInput, match="out -> p/q/r/up"):
        apply(tree, tmp_path / "target", patchset)


@pytest.mark.parametrize("target", ["f.txt", "d/../f.txt", "./d", "nowhere", "loop", "via/y"])
def test_links_inside_the_tree_are_kept_as_they_are(tmp_path: Path, target: str) -> None:
    tree = write_tree(tmp_path / "source", {"f.txt": "x\n", "d/y": ""})
    (tree / "via").symlink_to("d")
    (tree / "loop").symlink_to(target)
    apply(tree, tmp_path / "out", write_patchset(tmp_path / "p", {k: list(v) for k, v in APPEND.items()}))
    assert (tmp_path / "out/loop").readlink() == Path(target)


def test_pipes_and_sockets_are_refused(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "source", {"f.txt": "x\n"})
    os.mkfifo(tree / "pipe")
    with pytest.raises(HostileInput, match="pipe is a device, pipe or socket"):
        apply(tree, tmp_path / "out", write_patchset(tmp_path / "p", {k: list(v) for k, v in APPEND.items()}))


def test_names_that_are_not_utf8_are_copied(tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "source", {"f.txt": "x\n"})
    name = os.fsdecode(b"caf\xe9.txt")
    (tree / name).write_text("y")
    apply(tree, tmp_path / "out", write_patchset(tmp_path / "p", {k: list(v) for k, v in APPEND.items()}))
    assert (tmp_path / "out" / name).read_text() == "y"


def test_source_that_is_no_directory(tmp_path: Path) -> None:
    patchset = write_patchset(tmp_path / "p", {k: list(v) for k, v in APPEND.items()})
    for source in (tmp_path / "nowhere", tmp_path / "p/rules/00.yaml"):
        with pytest.raises(UsageError, match="is no directory"):
            plan(source, patchset)
        with pytest.raises(UsageError, match="is no directory"):
            apply(source, tmp_path / "out", patchset)


def test_stand_in_says_where_it_is_not_twenty(tmp_path: Path, source: Path) -> None:
    files = {k: list(v) for k, v in RULES.items()} | {
        "front/gone.ts": [rule("gone", find={"pattern": "go()"}, insert_after="on();")],
        "front/there.ts": [rule("there", find={"pattern": "start()"}, insert_after="on();")],
    }
    write_tree(source, {"front/there.ts": "start();\n"})
    patchset = write_patchset(tmp_path / "p", files)
    assert plan(source, patchset).drift
    write_tree(source, {"package.json": json.dumps({"twentyops": {"unpatched": ["front", "run"]}})})
    worked = plan(source, patchset)
    assert {row.id: row.state for row in worked.rows} == {"app": "ok", "run": "ok", "gone": "left-out", "there": "left-out"}
    apply(source, tmp_path / "out", patchset)
    assert (tmp_path / "out/front/there.ts").read_text() == "start();\n"
    assert json.loads((tmp_path / "out" / MARKER).read_text())["rules"] == ["app", "run"]
    assert plan(tmp_path / "out", patchset).already_patched


@pytest.mark.parametrize("said", [[], {"twentyops": []}, {"twentyops": {"unpatched": ["fron", "front/go", "/front"]}}])
def test_other_words_in_package_json_leave_nothing_out(tmp_path: Path, source: Path, said: object) -> None:
    write_tree(source, {"package.json": json.dumps(said)})
    patchset = write_patchset(tmp_path / "p", {"front/gone.ts": [rule("gone", find={"pattern": "go()"}, insert_after="on();")]})
    assert [row.state for row in plan(source, patchset).rows] == ["not-found"]
