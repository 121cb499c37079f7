"""Rules for Dockerfiles: instructions by stage, edited by whole lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.patchset.helpers import edited, only_row, rule, run

DOCKERFILE = """\
# syntax comes later
ARG BASE=alpine
FROM ${BASE} AS build
COPY . /src
RUN make \\
    # a comment inside
    && make install
LABEL one=1

FROM ${BASE} as app
COPY --from=build /out /app
RUN <<EOF
COPY fake /nowhere
ENTRYPOINT ["fake"]
EOF
ENV A=$B
ENTRYPOINT ["/app/run",   "now"]
"""

ENTRYPOINT = {"instruction": "ENTRYPOINT", "stage": "app"}


def test_instruction_in_a_stage_gets_lines_before_and_after(tmp_path: Path) -> None:
    after = edited(
        tmp_path,
        "Dockerfile",
        DOCKERFILE,
        rule("b", find=ENTRYPOINT, insert_before="COPY x /x\nARG HASH\nLABEL rev=$HASH\n"),
        rule("a", find={"instruction": "RUN", "stage": "build"}, insert_after="RUN after"),
    )
    assert after == DOCKERFILE.replace('ENTRYPOINT ["/app', 'COPY x /x\nARG HASH\nLABEL rev=$HASH\nENTRYPOINT ["/app').replace(
        "    && make install\n", "    && make install\nRUN after\n"
    )


def test_here_documents_are_no_instructions(tmp_path: Path) -> None:
    for value in ("fake /nowhere", '["fake"]'):
        name = "COPY" if value.startswith("fake") else "ENTRYPOINT"
        worked, _ = run(tmp_path, "Dockerfile", DOCKERFILE, rule(find={"instruction": name, "value": value}, replace="X"))
        assert only_row(worked).state == "not-found"
    after = edited(tmp_path, "Dockerfile", DOCKERFILE, rule(find={"instruction": "RUN", "stage": "app"}, insert_after="RUN two"))
    assert "\nEOF\nRUN two\nENV A" in after


@pytest.mark.parametrize(
    ("find", "count"),
    [
        ({"instruction": "FROM"}, 2),
        ({"instruction": "COPY"}, 2),
        ({"instruction": "COPY", "stage": "build"}, 1),
        ({"instruction": "COPY", "matches": "^--from=build"}, 1),
        ({"instruction": "ENTRYPOINT", "value": '["/app/run", "now"]'}, 1),
        ({"instruction": "ENTRYPOINT", "value": '["/app/run"]'}, 0),
        ({"instruction": "COPY", "pick": "last"}, 1),
        ({"instruction": "ENV", "stage": "final"}, 1),
        ({"instruction": "ENV", "stage": "nothing"}, 0),
        ({"instruction": "ARG"}, 0),
    ],
)
def test_what_an_instruction_find_matches(tmp_path: Path, find: dict[str, str], count: int) -> None:
    worked, _ = run(tmp_path, "Dockerfile", DOCKERFILE, rule(find=find, insert_before="# mark", count=count or 1))
    assert only_row(worked).state == ("ok" if count else "not-found")


def test_append_goes_to_the_end_of_a_stage_or_of_the_file(tmp_path: Path) -> None:
    after = edited(tmp_path, "Dockerfile", DOCKERFILE, rule(find={"stage": "build"}, append="RUN last"))
    assert "LABEL one=1\nRUN last\n\nFROM" in after
    after = edited(tmp_path, "Dockerfile", DOCKERFILE, rule(append="CMD []"))
    assert after == f"{DOCKERFILE}CMD []\n"


def test_replacing_an_instruction_keeps_the_others(tmp_path: Path) -> None:
    after = edited(tmp_path, "Dockerfile", DOCKERFILE, rule(find=ENTRYPOINT, replace='ENTRYPOINT ["/ours"]'))
    assert after == DOCKERFILE.replace('["/app/run",   "now"]', '["/ours"]')


def test_unknown_instruction_is_refused(tmp_path: Path) -> None:
    worked, _ = run(tmp_path, "Dockerfile", DOCKERFILE, rule(find=ENTRYPOINT, insert_before="CPOY a b"))
    assert only_row(worked).state == "refused"
    assert "CPOY" in only_row(worked).found


def test_changed_escape_character_is_not_guessed_at(tmp_path: Path) -> None:
    worked, _ = run(tmp_path, "Dockerfile", "# escape=`\nFROM a\n", rule(find={"instruction": "FROM"}, insert_after="RUN x"))
    assert only_row(worked).state == "not-found"
    assert "escape character" in only_row(worked).found


def test_dockerfile_parse_touches_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    edited(tmp_path, "Dockerfile", DOCKERFILE, rule(find=ENTRYPOINT, insert_before="RUN x"))
    assert list((tmp_path / "cwd").iterdir()) == []
