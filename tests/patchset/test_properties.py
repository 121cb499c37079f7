"""What holds for every input: same bytes twice, done once, untouched text untouched, all or nothing."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, assume, event, example, given, settings
from hypothesis import strategies as st

from tests.patchset.helpers import marker, rule, snapshot, write_patchset, write_tree
from twentyops.patchset import MARKER, Drift, PatchsetError, apply, plan, tree, tree_fingerprint
from twentyops.patchset.document import Document, Edit

SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

words = st.text("abcdefgh", min_size=1, max_size=6)
lines = st.lists(
    st.one_of(words.map(lambda w: f"{w}();"), words.map(lambda w: f"const {w}1 = [1, 2];"), st.just("// é😀"), st.just("")),
    max_size=12,
)
actions: st.SearchStrategy[dict[str, Any]] = st.one_of(
    words.map(lambda w: {"insert_before": f"{w}2();"}),
    words.map(lambda w: {"insert_after": f"{w}2();\nif (x) {{\n  {w}3();\n}}"}),
    words.map(lambda w: {"replace": f"{w}2()"}),
    words.map(lambda w: {"wrap": f"{w}2({{match}})"}),
)


@SLOW
@given(before=lines, after=lines, steps=st.lists(actions, min_size=1, max_size=4))
def test_edits_are_local_deterministic_and_done_once(before: list[str], after: list[str], steps: list[dict[str, Any]]) -> None:
    head = "".join(f"{line}\n" for line in before)
    tail = "".join(f"{line}\n" for line in after)
    text = f"{head}anchor();\n{tail}"
    rules = [rule(f"r{n}", find={"pattern": "anchor()"}, **step) for n, step in enumerate(steps)]
    with tempfile.TemporaryDirectory() as place:
        source = write_tree(Path(place) / "s", {"a.ts": text})
        patchset = write_patchset(Path(place) / "p", {"a.ts": rules})
        first, second = plan(source, patchset), plan(source, patchset)
        assert first == second
        event("drift" if first.drift else "fits")
        if first.drift:  # two rules that cannot both stand: said, and nothing is written
            out = Path(place) / "out"
            try:
                apply(source, out, patchset)
            except Drift:
                assert not out.exists()
            else:
                raise AssertionError("drift was applied")
            return
        result = first.changes["a.ts"].after.decode()
        assert result.startswith(head)
        assert result.endswith(tail)
        write_tree(source, {"a.ts": result, MARKER: marker(*rules)})
        again = plan(source, patchset)
        assert again.already_patched
        assert again.changes == {}


letters = st.characters(exclude_categories=["Cc", "Cs"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(letters, max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(letters, max_size=4), inner, max_size=3),
    max_leaves=8,
)


@SLOW
@given(
    there=st.dictionaries(words, json_values, max_size=5),
    add=st.dictionaries(words, json_values, min_size=1, max_size=3),
    indent=st.sampled_from([None, 2, 4, "\t"]),
)
@example(there={}, add={"a": {}}, indent=None)
def test_json_members_are_added_and_nothing_else_changes(
    there: dict[str, Any], add: dict[str, Any], indent: int | str | None
) -> None:
    text = json.dumps({"first": 1, "wanted": there, "last": [1]}, indent=indent, ensure_ascii=False) + "\n"
    assume(all(key not in there or there[key] == add[key] for key in add))
    with tempfile.TemporaryDirectory() as place:
        source = write_tree(Path(place) / "s", {"a.json": text})
        patchset = write_patchset(Path(place) / "p", {"a.json": [rule(find={"key": "wanted"}, add_to_object=add)]})
        worked = plan(source, patchset)
        if any(key in there and json.dumps(there[key]) != json.dumps(add[key]) for key in add):
            return  # 1 and True are equal to Python, not to JSON
        assert not worked.drift, worked.rows
        change = worked.changes.get("a.json")
        result = change.after.decode() if change else text
        assert json.loads(result) == {"first": 1, "wanted": {**there, **add}, "last": [1]}
        kept = iter(result)
        assert all(letter in kept for letter in text if letter not in " \n\t{}")  # the old text is a subsequence
        write_tree(source, {"a.json": result})
        assert plan(source, patchset).already_patched


@given(text=st.text(max_size=80), spans=st.lists(st.tuples(st.integers(0, 80), st.text(max_size=5)), max_size=5))
def test_insertions_keep_every_character(text: str, spans: list[tuple[int, str]]) -> None:
    edits = [Edit(min(at, len(text)), min(at, len(text)), new) for at, new in spans]
    result = Document("x.txt", text).edited(edits).text
    assert len(result) == len(text) + sum(len(edit.text) for edit in edits)
    kept = iter(result)
    assert all(letter in kept for letter in text)


@given(text=st.text(st.sampled_from("ab\n"), max_size=40))
def test_lines_and_offsets_agree(text: str) -> None:
    document = Document("x.txt", text)
    assert "".join(f"{line}\n" for _, _, line in document.lines()).rstrip("\n") == text.rstrip("\n")
    for start, end, line in document.lines():
        assert text[start:end] == line
        assert document.line_start(end) == start
        assert document.line_end(start) == end


@SLOW
@given(data=st.binary(max_size=200))
@example(data=b"f();\r\n")
@example(data=b"\xef\xbb\xbff();")
@example(data=b"f()\0")
@example(data="f(); // \u2028 \x85".encode())
def test_any_bytes_are_either_patched_or_refused_in_words(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        source = write_tree(Path(place) / "s", {"a.ts": data, "Dockerfile": data, "yarn.lock": data, "b.json": data})
        find = {"pattern": "f()"}
        rules = {
            "a.ts": [rule("a", find=find, insert_after="g();")],
            "Dockerfile": [rule("d", find={"instruction": "RUN"}, insert_after="RUN x")],
            "yarn.lock": [rule("y", find={"workspace": "w"}, lock={"dependencies": {"a": "npm:1"}, "entries": ""})],
            "b.json": [rule("b", find={"key": "k"}, replace=1)],
        }
        worked = plan(source, write_patchset(Path(place) / "p", rules))
        assert len(worked.rows) == 4
        assert all(row.expected and row.found for row in worked.rows)


names = st.text("ab é", min_size=1, max_size=3).filter(lambda n: n.strip() == n)
trees = st.dictionaries(
    st.lists(names, min_size=1, max_size=3).map("/".join), st.tuples(st.binary(max_size=20), st.booleans()), max_size=8
).filter(lambda t: not any(a != b and b.startswith(f"{a}/") for a in t for b in t))


@SLOW
@given(files=trees)
def test_copies_are_equal_and_hash_equal(files: dict[str, tuple[bytes, bool]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        source = write_tree(Path(place) / "s", {f"{n}{'*' if x else ''}": data for n, (data, x) in files.items()})
        target = Path(place) / "t"
        target.mkdir()
        tree.copy(source, tree.scan(source), target)
        assert snapshot(source) == snapshot(target)
        assert tree_fingerprint(source) == tree_fingerprint(target)


@SLOW
@given(good=st.lists(st.booleans(), min_size=1, max_size=5))
def test_all_or_nothing(good: list[bool]) -> None:
    with tempfile.TemporaryDirectory() as place:
        source = write_tree(Path(place) / "s", {f"{n}.txt": "there\n" for n in range(len(good))})
        rules = {
            f"{n}.txt": [rule(f"r{n}", find={"line": "there" if fits else "missing"}, insert_after="x")]
            for n, fits in enumerate(good)
        }
        patchset = write_patchset(Path(place) / "p", rules)
        before = snapshot(source)
        out = Path(place) / "out"
        try:
            apply(source, out, patchset)
        except PatchsetError:
            assert not all(good)
            assert not out.exists()
        else:
            assert all(good)
            assert {name: item for name, item in snapshot(out).items() if name != MARKER} == {
                name: (kind, x, b"there\nx\n") for name, (kind, x, _) in before.items()
            }
        assert snapshot(source) == before
