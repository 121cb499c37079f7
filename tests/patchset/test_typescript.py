"""Rules for TypeScript and TSX: every kind of find and action, each recognised again and never done twice."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.patchset.helpers import edited, only_row, rule, run

PAGE = dedent("""\
    import { Outer } from '@/ui/Outer';
    import {
      Inner,
      type Prop,
    } from '@/ui/Inner';

    const greeting = 'héllo 😀';

    export const Page = () => {
      return (
        <Outer>
          <Inner label={greeting}>
            <span>text</span>
          </Inner>
        </Outer>
      );
    };
    """)

MODULE = dedent("""\
    import { Module } from '@nest/common';
    import { A } from './a';

    @Module({
      imports: [A],
      controllers: [],
      providers: [
        First,
        Second, // stays with Second
      ],
    })
    export class AppModule {}

    @Module({ providers: [Other] })
    export class OtherModule {}
    """)


def test_wrap_keeps_the_match_and_everything_else_as_it_is(tmp_path: Path) -> None:
    after = edited(
        tmp_path,
        "page.tsx",
        PAGE,
        rule(find={"pattern": "<Inner $$$P>$$$C</Inner>"}, wrap="<Lazy>{match}</Lazy>"),
    )
    assert after == PAGE.replace("<Inner label", "<Lazy><Inner label").replace("</Inner>", "</Inner></Lazy>")


def test_wrap_over_lines_is_indented_like_its_place(tmp_path: Path) -> None:
    after = edited(tmp_path, "page.tsx", PAGE, rule(find={"pattern": "<span>text</span>"}, wrap="<b>\n  {match}\n</b>\n"))
    assert "        <b>\n          <span>text</span>\n        </b>\n" in after


def test_two_rules_wrap_the_same_place_and_know_themselves_again(tmp_path: Path) -> None:
    find = {"pattern": "<Inner $$$P>$$$C</Inner>"}
    after = edited(
        tmp_path,
        "page.tsx",
        PAGE,
        rule("inner", find=find, wrap="<One>{match}</One>"),
        rule("outer", find=find, wrap="<Two>{match}</Two>"),
    )
    assert "<One><Two><Inner" in after
    assert "</Inner></Two></One>" in after


def test_statements_go_on_lines_of_their_own_at_the_same_depth(tmp_path: Path) -> None:
    after = edited(
        tmp_path,
        "code.ts",
        "function f() {\n  first();\n  last(); // done\n}\n",
        rule("before", find={"pattern": "first()"}, insert_before="zeroth();\nif (x) {\n  y();\n}"),
        rule("after", find={"pattern": "last()"}, insert_after="beyond();"),
    )
    assert after == ("function f() {\n  zeroth();\n  if (x) {\n    y();\n  }\n  first();\n  last(); // done\n  beyond();\n}\n")


def test_inside_a_line_text_goes_right_beside_the_match(tmp_path: Path) -> None:
    after = edited(
        tmp_path,
        "code.ts",
        "call(one, two);\n",
        rule("a", find={"rule": {"kind": "identifier", "regex": "^one$"}}, insert_after=", onehalf"),
        rule("b", find={"rule": {"kind": "identifier", "regex": "^two$"}}, insert_before="almost, "),
    )
    assert after == "call(one, onehalf, almost, two);\n"


def test_three_rules_at_one_anchor_in_any_order_are_recognised(tmp_path: Path) -> None:
    find = {"pattern": "anchor()"}
    after = edited(
        tmp_path,
        "code.ts",
        "anchor();\nend();\n",
        rule("one", find=find, insert_after="one();"),
        rule("two", find=find, insert_after="two();"),
        rule("three", find=find, insert_after="three();"),
    )
    assert after == "anchor();\nthree();\ntwo();\none();\nend();\n"


def test_replace_fills_captures_and_leaves_other_dollars_alone(tmp_path: Path) -> None:
    after = edited(
        tmp_path,
        "code.ts",
        "const a = old(1, [2, 3]);\n",
        rule(find={"pattern": "old($A, $$$REST)"}, replace="fresh(`${HOME} $OTHER`, $A, $$$REST)"),
    )
    assert after == "const a = fresh(`${HOME} $OTHER`, 1, [2, 3]);\n"


def test_replacement_that_its_own_pattern_matches_again_is_done_once(tmp_path: Path) -> None:
    rules = rule(find={"pattern": "open($$$A)"}, replace="open($$$A, true)")
    assert edited(tmp_path, "code.ts", "open(path);\n", rules) == "open(path, true);\n"


def test_replacement_that_cannot_be_recognised_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    worked, _ = run(tmp_path, "code.ts", "n(1);\n", rule(find={"pattern": "n($A)"}, replace="$A; n(2)"))
    row = only_row(worked)
    assert row.state == "refused"
    assert "present" in row.found


def test_upstream_text_that_looks_like_the_replacement_hides_no_drift(tmp_path: Path) -> None:
    worked, _ = run(tmp_path, "code.ts", "bar();\n", rule(find={"pattern": "foo()"}, replace="bar()"))
    assert only_row(worked).state == "not-found"
    worked, _ = run(tmp_path, "code.ts", "pre(bar());\n", rule(find={"pattern": "foo()"}, wrap="pre({match})"))
    assert only_row(worked).state == "not-found"


def test_explicit_present_overrides_the_automatic_check(tmp_path: Path) -> None:
    rules = rule(find={"pattern": "n($A)"}, replace="m(2)", present={"pattern": "m($X)"})
    assert edited(tmp_path, "code.ts", "n(1);\n", rules) == "m(2);\n"
    worked, _ = run(tmp_path, "code.ts", "n(1); m(9);\n", rules)
    assert only_row(worked).state == "already-applied"


def test_import_goes_after_the_last_one_and_only_once(tmp_path: Path) -> None:
    after = edited(tmp_path, "page.tsx", PAGE, rule(add_import="import { Lazy } from '@/lazy';"))
    assert "} from '@/ui/Inner';\nimport { Lazy } from '@/lazy';\n\nconst" in after


@pytest.mark.parametrize(
    "statement",
    [
        "import { Inner } from '@/ui/Inner';",
        'import { type Prop, Inner } from "@/ui/Inner"',
        "import { Outer as Outer } from '@/ui/Outer';",
    ],
)
def test_import_that_is_there_in_other_words_is_recognised(tmp_path: Path, statement: str) -> None:
    worked, after = run(tmp_path, "page.tsx", PAGE, rule(add_import=statement))
    assert only_row(worked).state == "already-applied"
    assert after == PAGE


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("import { Outer } from '@/elsewhere';", "Outer is imported from '@/ui/Outer'"),
        ("import { Inner, More } from '@/ui/Inner';", "Inner from '@/ui/Inner' is imported already"),
    ],
)
def test_import_that_would_bind_a_name_twice_is_a_conflict(tmp_path: Path, statement: str, words: str) -> None:
    worked, _ = run(tmp_path, "page.tsx", PAGE, rule(add_import=statement))
    assert only_row(worked).state == "conflict"
    assert words in only_row(worked).found


@pytest.mark.parametrize("statement", ["const x = 1;", "import a from 'a'; import b from 'b';", "import { from"])
def test_import_that_is_no_import_is_said_so(tmp_path: Path, statement: str) -> None:
    worked, _ = run(tmp_path, "page.tsx", PAGE, rule(add_import=statement))
    assert only_row(worked).state == "not-found"
    assert "not exactly one import statement" in only_row(worked).found


def test_first_import_of_a_file_goes_above_its_code_and_below_its_header(tmp_path: Path) -> None:
    after = edited(tmp_path, "a.ts", "// licence\n\nrun();\n", rule(add_import="import 'side-effect';"))
    assert after == "// licence\n\nimport 'side-effect';\n\nrun();\n"


def test_decorator_arrays_are_extended_in_their_own_layout(tmp_path: Path) -> None:
    after = edited(
        tmp_path,
        "app.module.ts",
        MODULE,
        rule("p", find={"decorator": "Module", "key": "providers", "on": "AppModule"}, add_to_array="Third"),
        rule("c", find={"decorator": "Module", "key": "controllers"}, add_to_array="Ctl"),
        rule("i", find={"decorator": "Module", "key": "imports"}, add_to_array="B"),
        rule("o", find={"decorator": "Module", "key": "providers", "on": "OtherModule"}, add_to_array="P2"),
        rule("e", find={"decorator": "Module", "on": "AppModule"}, add_to_object="exports: [Third]"),
    )
    assert "    Second, // stays with Second\n    Third,\n  ],\n  exports: [Third],\n})" in after
    assert "controllers: [Ctl]," in after
    assert "imports: [A, B]," in after
    assert "providers: [Other, P2]" in after


def test_decorator_of_another_class_does_not_count(tmp_path: Path) -> None:
    worked, _ = run(
        tmp_path,
        "m.ts",
        MODULE,
        rule(find={"decorator": "Module", "key": "providers", "on": "Nobody"}, add_to_array="X"),
    )
    assert only_row(worked).state == "not-found"


def test_decorator_key_given_twice_is_ambiguous(tmp_path: Path) -> None:
    worked, _ = run(tmp_path, "m.ts", MODULE, rule(find={"decorator": "Module", "key": "providers"}, add_to_array="X"))
    row = only_row(worked)
    assert row.state == "ambiguous"
    assert row.lines == (7, 14)
    assert row.found == "2 matches (lines 7, 14)"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("const a = [\n  1,\n  2\n] as const;\n", "const a = [\n  1,\n  2,\n  3\n] as const;\n"),
        ("const a = [\n  1,\n  2 // two\n];\n", "const a = [\n  1,\n  2, // two\n  3\n];\n"),
        ("const a = [\n  1,\n  2,\n  // more to come\n];\n", "const a = [\n  1,\n  2,\n  3,\n  // more to come\n];\n"),
        ("const a = [1, 2,];\n", "const a = [1, 2, 3,];\n"),
        ("const a = [];\n", "const a = [3];\n"),
        ("const a = [...b];\n", "const a = [...b, 3];\n"),
    ],
)
def test_arrays_in_every_layout(tmp_path: Path, before: str, after: str) -> None:
    find = {"rule": {"kind": "variable_declarator", "has": {"field": "name", "regex": "^a$"}}}
    assert edited(tmp_path, "a.ts", before, rule(find=find, add_to_array="3")) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("const o = {\n  a: 1,\n};\n", "const o = {\n  a: 1,\n  k: f(2),\n};\n"),
        ("const o = {};\n", "const o = { k: f(2) };\n"),
        ("const o = { a: 1, ...b };\n", "const o = { a: 1, ...b, k: f(2) };\n"),
        ("const o = { 'a-b': 1 } satisfies T;\n", "const o = { 'a-b': 1, k: f(2) } satisfies T;\n"),
    ],
)
def test_objects_in_every_layout(tmp_path: Path, before: str, after: str) -> None:
    find = {"rule": {"kind": "variable_declarator"}}
    assert edited(tmp_path, "a.ts", before, rule(find=find, add_to_object="k: f(2),")) == after


def test_object_key_with_another_value_is_a_conflict(tmp_path: Path) -> None:
    worked, _ = run(tmp_path, "a.ts", "const o = { k: 1 };\n", rule(find={"rule": {"kind": "object"}}, add_to_object="k: 2"))
    assert only_row(worked).state == "conflict"
    assert "k: 1" in only_row(worked).found


def test_container_of_the_wrong_kind_is_named(tmp_path: Path) -> None:
    worked, _ = run(tmp_path, "a.ts", "f(x);\n", rule(find={"pattern": "f($A)"}, add_to_array="3"))
    assert only_row(worked).state == "not-found"
    assert "call_expression, expected an array" in only_row(worked).found


def test_count_is_exact(tmp_path: Path) -> None:
    text = "f(1);\nf(2);\nf(3);\n"
    twice = rule(find={"pattern": "f($A)"}, insert_after="g();", count=2)
    worked, after = run(tmp_path, "a.ts", text, twice)
    assert only_row(worked).state == "ambiguous"
    assert "expected" not in only_row(worked).found
    assert only_row(worked).expected.startswith("2 matches of pattern f($A)")
    assert after == text
    thrice = rule(find={"pattern": "f($A)"}, replace="h($A)", count=3)
    assert edited(tmp_path, "a.ts", text, thrice) == "h(1);\nh(2);\nh(3);\n"


def test_places_that_are_half_done_are_ambiguous(tmp_path: Path) -> None:
    worked, _ = run(tmp_path, "a.ts", "f(1);\ng();\nf(2);\n", rule(find={"pattern": "f($A)"}, insert_after="g();", count=2))
    assert only_row(worked).state == "ambiguous"
    assert "1 of 2" in only_row(worked).found


def test_alternatives_take_the_first_that_matches(tmp_path: Path) -> None:
    rules = rule(find=[{"pattern": "gone()"}, {"pattern": "stays()"}], insert_after="added();")
    assert edited(tmp_path, "a.ts", "stays();\n", rules) == "stays();\nadded();\n"


def test_syntax_errors_that_an_edit_makes_are_refused(tmp_path: Path) -> None:
    worked, after = run(tmp_path, "a.ts", "f();\n", rule(find={"pattern": "f()"}, insert_after="if (x {"))
    assert only_row(worked).state == "refused"
    assert "would break the file" in only_row(worked).found
    assert after == "f();\n"


def test_missing_tokens_count_as_broken(tmp_path: Path) -> None:
    worked, _ = run(tmp_path, "a.ts", "f();\nlet z = 1;\n", rule(find={"pattern": "f()"}, replace="const o = {a: 1"))
    assert only_row(worked).state == "refused"


def test_syntax_errors_that_were_there_before_do_not_stop_a_rule(tmp_path: Path) -> None:
    text = "let = ;\nfunction g() {\n  f();\n}\n"
    after = edited(tmp_path, "a.ts", text, rule(find={"pattern": "f()"}, insert_after="more();"))
    assert after == text.replace("f();", "f();\n  more();")


def test_pattern_with_context_and_selector(tmp_path: Path) -> None:
    find = {"pattern": "label: $V", "context": "const o = { label: $V }", "selector": "pair"}
    after = edited(tmp_path, "a.ts", "const o = {\n  label: 1,\n};\n", rule(find=find, insert_after="more: 2,"))
    assert after == "const o = {\n  label: 1,\n  more: 2,\n};\n"


def test_invalid_ast_grep_rule_is_reported_not_raised(tmp_path: Path) -> None:
    worked, _ = run(tmp_path, "a.ts", "f();\n", rule(find={"rule": {"patern": "f()"}}, insert_after="g();"))
    assert only_row(worked).state == "not-found"
    assert "ast-grep refuses the rule" in only_row(worked).found


def test_characters_beyond_ascii_before_the_match_do_not_shift_the_edit(tmp_path: Path) -> None:
    text = "const s = '😀é漢';\nf();\n"
    after = edited(tmp_path, "a.ts", text, rule(find={"pattern": "f()"}, insert_before="/* ü */"))
    assert after == "const s = '😀é漢';\n/* ü */\nf();\n"


def test_default_and_namespace_imports(tmp_path: Path) -> None:
    text = "import a, * as b from 'ab';\nrun(a, b);\n"
    for statement in ("import a from 'ab';", "import * as b from 'ab'"):
        worked, _ = run(tmp_path, "a.ts", text, rule(add_import=statement))
        assert only_row(worked).state == "already-applied"
    worked, _ = run(tmp_path, "a.ts", text, rule(add_import="import { a } from 'ab';"))
    assert only_row(worked).state == "conflict"
    assert edited(tmp_path, "a.ts", text, rule(add_import="import type c from 'c';")).startswith(
        "import a, * as b from 'ab';\nimport type c from 'c';\n"
    )


def test_a_pair_stands_for_its_value(tmp_path: Path) -> None:
    text = "const o = { list: [1], more: { a: 1 } };\n"
    after = edited(
        tmp_path,
        "a.ts",
        text,
        rule("l", find={"rule": {"kind": "pair", "has": {"field": "key", "regex": "^list$"}}}, add_to_array="2"),
        rule("m", find={"rule": {"kind": "pair", "has": {"field": "key", "regex": "^more$"}}}, add_to_object="b, ...c"),
    )
    assert after == "const o = { list: [1, 2], more: { a: 1, b, ...c } };\n"


def test_member_that_is_no_member_is_said_so(tmp_path: Path) -> None:
    worked, _ = run(tmp_path, "a.ts", "const o = {};\n", rule(find={"rule": {"kind": "object"}}, add_to_object="1 +"))
    assert only_row(worked).state == "not-found"
    assert "is no member of an object" in only_row(worked).found


def test_matches_inside_each_other_are_refused(tmp_path: Path) -> None:
    worked, _ = run(tmp_path, "a.ts", "f(f(1));\n", rule(find={"pattern": "f($A)"}, replace="g($A)", count=2))
    assert only_row(worked).state == "refused"
    assert "two edits overlap at line 1" in only_row(worked).found
