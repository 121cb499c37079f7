"""Rule files: what is refused, in which words; and the schema that editors read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.patchset.helpers import WHY, rule, write_patchset, write_tree
from twentyops.patchset import ROOT, Patchset, RulesError, UsageError
from twentyops.patchset.model import parse_rule_file
from twentyops.patchset.schema import text as schema_text

GOOD = f"file: a/b.ts\nrules:\n  - {{id: one, why: {WHY}, find: {{pattern: 'f()'}}, insert_after: 'g();'}}\n"


def problems(text: str) -> list[str]:
    with pytest.raises(RulesError) as caught:
        parse_rule_file("one.yaml", text)
    return caught.value.problems


def one(fields: str, file: str = "a/b.ts") -> str:
    return f"file: {file}\nrules:\n  - id: one\n    why: {WHY}\n" + "".join(f"    {line}\n" for line in fields.split("\n"))


def test_published_schema_is_the_one_of_the_code() -> None:
    assert (ROOT / "rules.schema.json").read_text() == schema_text(), (
        "write it anew: python -m twentyops.patchset.schema > files/twenty/rules.schema.json"
    )


def test_schema_names_every_kind_of_find_and_action() -> None:
    schema = json.loads(schema_text())
    finds = {name for name in schema["$defs"] if name.endswith("Find")}
    assert len(finds) == 10
    assert {"replace", "wrap", "insert_before", "lock", "present", "count"} <= set(schema["$defs"]["Rule"]["properties"])
    assert schema["additionalProperties"] is False


def test_a_good_file_is_read() -> None:
    assert parse_rule_file("one.yaml", GOOD).rules[0].action == "insert_after"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("insert_after: x", "one.yaml: rule one: find is missing: insert_after needs a place"),
        ("find: {pattern: x}", "one.yaml: rule one: needs exactly one action of"),
        ("find: {pattern: x}\nreplace: a\nwrap: <b>{match}</b>", "has replace, wrap"),
        ("find: {patern: x}\nreplace: a", "one.yaml: rule one: find.0: must say what to look for by one of: pattern,"),
        ("find: {pattern: x, selektor: y}\nreplace: a", "one.yaml: rule one: find.0.selektor: Extra inputs"),
        ("find: {pattern: ''}\nreplace: a", "rule one: find.0.pattern: String should have at least 1 character"),
        ("find: {pattern: x}\nreplace: a\ncount: 0", "rule one: count: Input should be greater than or equal to 1"),
        ("find: {pattern: x}\nreplace: a\ncount: '2'", "rule one: count: Input should be a valid integer"),
        ("find: {pattern: x}\nwrap: nothing here", "rule one: wrap needs {match} exactly once"),
        ("find: {pattern: x}\nwrap: '{match}'", "rule one: wrap puts nothing around {match}"),
        ("find: {pattern: x}\nreplace: ''", "say by 'present' how its being applied is recognised"),
        ("find: {pattern: x}\nreplace:", "rule one: replace is empty"),
        ("find: {pattern: x}\nadd_import: import a from 'a'", "add_import takes no find"),
        ("find: {instruction: RUN}\nreplace: a", "rule one: find by instruction is not for typescript files"),
        ("find: {pattern: x}\nadd_to_array: [1]", "rule one: add_to_array takes code as text in typescript files"),
        ("find: {pattern: x}\nreplace: [1]", "rule one: replace takes text in typescript files"),
        ("find: {line_matches: '('}\nreplace: a", "find.0.line_matches: is no regular expression"),
        ("find: {line: x}\nlock: {dependencies: {a: 'npm:1'}, entries: ''}", "lock needs a yarn.lock"),
        (
            "find: {line: x}\nlock: {dependencies: {}, entries: ''}",
            "rule one: lock.dependencies: Dictionary should have at",
        ),
        ("find: {line: x}\nreplace: a\nfined: b", "one.yaml: rule one: fined: Extra inputs are not permitted"),
    ],
)
def test_problems_name_file_rule_and_key(fields: str, words: str) -> None:
    assert any(words in problem for problem in problems(one(fields))), problems(one(fields))


@pytest.mark.parametrize(
    ("file", "fields", "words"),
    [
        ("Dockerfile", "find: {pattern: x}\nreplace: a", "find by pattern is not for dockerfile files"),
        ("x.json", "find: {key: a}\nadd_to_object: 'a: 1'", "add_to_object takes a mapping in JSON files"),
        ("x.sh", "add_import: import a from 'a'", "add_import is not for bash files"),
        ("x.md", "find: {line: a}\nadd_to_array: x", "add_to_array is not for text files"),
        ("yarn.lock", "find: {workspace: a}\nreplace: x", "a find by workspace goes with lock"),
    ],
)
def test_finds_and_actions_fit_the_language(file: str, fields: str, words: str) -> None:
    assert any(words in problem for problem in problems(one(fields, file)))


@pytest.mark.parametrize("file", ["/etc/passwd", "../up", "a/../b", "./a", "a//b", "''", ".", ".git/config", "a\\b"])
def test_paths_stay_below_the_tree(file: str) -> None:
    assert any(p.startswith("one.yaml: file: ") for p in problems(one("find: {pattern: x}\nreplace: a", file)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not readable as YAML"),
        ("file: a.ts\nfile: b.ts\nrules: []", "key 'file' is given twice"),
        ("!!python/object/apply:os.system [ls]", "not readable as YAML"),
        ("", "valid dictionary"),
        ("file: a.ts\nrules: []", "rules: List should have at least 1 item"),
        ("file: a.ts\nrules: [{why: short, find: {pattern: x}, replace: y}]", "one.yaml: rule #1: id: Field required"),
        (GOOD.replace("id: one", "id: One Two"), "rule One Two: id: String should match pattern"),
        (GOOD.replace(WHY, "too short"), "rule one: why: String should have at least 12"),
    ],
)
def test_files_that_are_no_rule_files(text: str, words: str) -> None:
    assert any(words in problem for problem in problems(text)), problems(text)


def test_all_problems_of_all_files_come_at_once(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            "rules/a.yaml": GOOD,
            "rules/b.yaml": GOOD,
            "rules/c.yaml": "file: c.ts\nrules: []",
            "rules/readme.txt": "x",
            "rules/d.yaml": b"\xff",
        },
    )
    with pytest.raises(RulesError) as caught:
        Patchset.load(tmp_path)
    text = str(caught.value)
    assert "b.yaml: file: a/b.ts has its rules in a.yaml already" in text
    assert "b.yaml: rule one: id: is used in a.yaml already" in text
    assert "c.yaml: rules: List should have" in text
    assert "readme.txt: only plain *.yaml files" in text
    assert "d.yaml: is not UTF-8" in text


def test_a_file_is_ours_or_upstreams_never_both(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match=r"overlay/a\.txt: is edited by rules as well"):
        write_patchset(tmp_path / "p", {"a.txt": [rule(append="x")]}, {"a.txt": "ours"})


def test_overlay_holds_regular_files_only(tmp_path: Path) -> None:
    write_tree(tmp_path / "overlay", {"a": "x"})
    (tmp_path / "overlay/link").symlink_to("a")
    with pytest.raises(RulesError, match="overlay/link: is a symbolic link"):
        Patchset.load(tmp_path)


def test_overlay_in_folders_that_are_never_copied_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path / "overlay", {"a/node_modules/b": "x"})
    with pytest.raises(RulesError, match=r"overlay/a/node_modules: \.git and node_modules are never copied"):
        Patchset.load(tmp_path)


def test_empty_or_missing_patchset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="neither rules nor overlay"):
        Patchset.load(tmp_path)
    with pytest.raises(UsageError, match="is no directory"):
        Patchset.load(tmp_path / "nowhere")
