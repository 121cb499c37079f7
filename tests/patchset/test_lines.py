"""Rules for shell scripts and any other text: anchored lines, exact text, and ast-grep's bash."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.patchset.helpers import edited, only_row, rule, run

SCRIPT = """\
#!/bin/sh
set -e

migrate() {
    echo "migrate"
    if true; then
        step one
    fi
}

migrate
exec "$@"
"""


def test_line_is_the_whole_line(tmp_path: Path) -> None:
    after = edited(tmp_path, "run.sh", SCRIPT, rule(find={"line": "migrate"}, insert_before="if x; then\n    y\nfi"))
    assert after == SCRIPT.replace("\nmigrate\nexec", "\nif x; then\n    y\nfi\nmigrate\nexec")


def test_indented_line_gets_indented_text(tmp_path: Path) -> None:
    after = edited(tmp_path, "run.sh", SCRIPT, rule(find={"line_matches": r"\s+step \w+"}, insert_after="step two"))
    assert "        step one\n        step two\n    fi" in after


def test_line_can_be_wrapped_and_replaced(tmp_path: Path) -> None:
    after = edited(tmp_path, "run.sh", SCRIPT, rule(find={"line": "migrate"}, wrap="if wanted; then\n    {match}\nfi"))
    assert "\nif wanted; then\n    migrate\nfi\nexec" in after
    after = edited(tmp_path, "run.sh", SCRIPT, rule(find={"line": 'exec "$@"'}, replace='exec tini -- "$@"'))
    assert after.endswith('\nexec tini -- "$@"\n')


def test_bash_patterns(tmp_path: Path) -> None:
    find = {"rule": {"kind": "command", "regex": "^step", "inside": {"kind": "if_statement", "stopBy": "end"}}}
    after = edited(tmp_path, "run.sh", SCRIPT, rule(find=find, insert_before="step zero"))
    assert "        step zero\n        step one\n" in after


def test_shell_that_does_not_parse_any_more_is_refused(tmp_path: Path) -> None:
    worked, _ = run(tmp_path, "run.sh", SCRIPT, rule(find={"line": "migrate"}, insert_after="if true; then"))
    assert only_row(worked).state == "refused"


def test_pick_takes_one_of_several(tmp_path: Path) -> None:
    text = "a\nb\na\n"
    assert edited(tmp_path, "x.txt", text, rule(find={"line": "a", "pick": "first"}, insert_after="c")) == "a\nc\nb\na\n"
    assert edited(tmp_path, "x.txt", text, rule(find={"line": "a", "pick": "last"}, insert_after="c")) == "a\nb\na\nc\n"
    worked, _ = run(tmp_path, "x.txt", text, rule(find={"line": "a"}, insert_after="c"))
    assert only_row(worked).state == "ambiguous"


@pytest.mark.parametrize("text", ["a\nlast", "a\nlast\n"])
def test_last_line_with_and_without_a_line_feed(tmp_path: Path, text: str) -> None:
    tail = text.removeprefix("a\nlast")
    assert edited(tmp_path, "x.txt", text, rule(find={"line": "last"}, insert_after="more")) == f"a\nlast\nmore{tail}"


def test_append_to_a_file(tmp_path: Path) -> None:
    assert edited(tmp_path, "x.txt", "a", rule(append="b\n")) == "a\nb\n"
    assert edited(tmp_path, "x.txt", "a\n", rule("one", append="b"), rule("two", append="c")) == "a\nb\nc\n"
    assert edited(tmp_path, "x.txt", "", rule(append="b")) == "b\n"


def test_exact_text_over_lines(tmp_path: Path) -> None:
    after = edited(tmp_path, "x.conf", "k = 1\nj = 2\n", rule(find={"text": "1\nj"}, replace="7\nj"))
    assert after == "k = 7\nj = 2\n"


def test_removal_needs_and_uses_present(tmp_path: Path) -> None:
    rules = rule(find={"line": "gone"}, replace="", present={"line_matches": "kept"})
    worked, _ = run(tmp_path, "x.txt", "gone\nkept\n", rules)
    assert only_row(worked).state == "already-applied"
    rules = rule(find={"text": "gone\n"}, replace="", present={"text": "first\nkept"})
    assert edited(tmp_path, "x.txt", "first\ngone\nkept\n", rules) == "first\nkept\n"


def test_named_groups_of_a_line_are_captures(tmp_path: Path) -> None:
    find = {"line_matches": r'(?P<INDENT>\s+)echo "(?P<WORD>\w+)"'}
    after = edited(tmp_path, "run.sh", SCRIPT, rule(find=find, replace="$INDENT" + 'printf "%s\\n" $WORD; true'))
    assert after == SCRIPT.replace('    echo "migrate"', '    printf "%s\\n" migrate; true')
