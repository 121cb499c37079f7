"""Rules for JSON: by key path, untouched bytes stay, the file's own layout is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.patchset.helpers import edited, only_row, rule, run

PACKAGE = """\
{
  "name": "front",
  "list":  [1,2 , 3],
  "nested": {"deep": [{"x": 1}, {"y": 2}]},
  "dependencies": {
    "@apollo/client": "^3.7.17",
    "react":   "^18.2.0",
    "zod": "3.0.0"
  },
  "empty": {},
  "scripts": { "build": "vite build" }
}
"""

TOP = {"rule": {"kind": "object", "not": {"inside": {"kind": "object", "stopBy": "end"}}}}


def test_members_go_to_their_sorted_place(tmp_path: Path) -> None:
    add = {"@clerk/clerk-react": "^5.61.0", "zzz": "1", "aaa": "0"}
    after = edited(tmp_path, "package.json", PACKAGE, rule(find={"key": "dependencies"}, add_to_object=add))
    assert after == PACKAGE.replace(
        '    "react":   "^18.2.0",\n    "zod": "3.0.0"\n',
        '    "@clerk/clerk-react": "^5.61.0",\n    "aaa": "0",\n    "react":   "^18.2.0",\n    "zod": "3.0.0",\n    "zzz": "1"\n',
    )


def test_unsorted_objects_get_new_members_at_the_end(tmp_path: Path) -> None:
    text = '{\n\t"b": 1,\n\t"a": 2\n}\n'
    after = edited(tmp_path, "x.json", text, rule(find=TOP, add_to_object={"aa": {"k": [1]}}))
    assert after == '{\n\t"b": 1,\n\t"a": 2,\n\t"aa": {\n\t\t"k": [\n\t\t\t1\n\t\t]\n\t}\n}\n'


@pytest.mark.parametrize(
    ("find", "action", "old", "new"),
    [
        ({"key": "empty"}, {"add_to_object": {"k": 1}}, '"empty": {}', '"empty": {\n    "k": 1\n  }'),
        ({"key": "list"}, {"add_to_array": 4}, "[1,2 , 3]", "[1,2 , 3, 4]"),
        ({"key": ["nested", "deep", 1]}, {"add_to_object": {"z": None}}, '{"y": 2}', '{"y": 2, "z": null}'),
        ({"key": ["nested", "deep", -2, "x"]}, {"replace": "é\n"}, '"x": 1', '"x": "é\\n"'),
        ({"key": ["scripts", "build"]}, {"replace": "tsc && vite"}, '"vite build"', '"tsc && vite"'),
        ({"key": "name"}, {"replace": False}, '"front"', "false"),
    ],
)
def test_values_by_path(tmp_path: Path, find: object, action: dict[str, Any], old: str, new: str) -> None:
    after = edited(tmp_path, "package.json", PACKAGE, rule(find=find, **action))
    assert after == PACKAGE.replace(old, new)


def test_value_that_is_there_already_is_recognised_whatever_its_layout(tmp_path: Path) -> None:
    for find, action in (
        ({"key": "list"}, {"add_to_array": 3}),
        ({"key": "nested"}, {"add_to_object": {"deep": [{"x": 1}, {"y": 2}]}}),
        ({"key": "list"}, {"replace": [1, 2, 3]}),
    ):
        worked, after = run(tmp_path, "package.json", PACKAGE, rule(find=find, **action))
        assert only_row(worked).state == "already-applied"
        assert after == PACKAGE


def test_another_value_for_the_same_key_is_a_conflict(tmp_path: Path) -> None:
    worked, _ = run(tmp_path, "p.json", PACKAGE, rule(find={"key": "dependencies"}, add_to_object={"zod": "4.0.0"}))
    assert only_row(worked).state == "conflict"
    assert 'key zod is there with "3.0.0"; the rule wants "4.0.0"' in only_row(worked).found


def test_key_that_is_not_there_and_key_that_is_there_twice(tmp_path: Path) -> None:
    worked, _ = run(tmp_path, "p.json", PACKAGE, rule(find={"key": ["nested", "other"]}, replace=1))
    assert only_row(worked).state == "not-found"
    worked, _ = run(tmp_path, "p.json", '{"a": 1, "a": 2}\n', rule(find={"key": "a"}, replace=3))
    assert only_row(worked).state == "ambiguous"


def test_json_with_comments_keeps_them(tmp_path: Path) -> None:
    text = '{\n  // why\n  "paths": { "a": 1 } /* here */\n}\n'
    after = edited(tmp_path, "tsconfig.json", text, rule(find={"key": "paths"}, add_to_object={"b": 2}))
    assert after == '{\n  // why\n  "paths": { "a": 1, "b": 2 } /* here */\n}\n'


def test_text_edit_that_breaks_the_json_is_refused(tmp_path: Path) -> None:
    worked, _ = run(tmp_path, "p.json", PACKAGE, rule(find={"line": '  "name": "front",'}, insert_after='  "more": 1'))
    assert only_row(worked).state == "refused"
