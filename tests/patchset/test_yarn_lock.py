"""Lock entries: only what the tree's lock lacks, where yarn itself would write it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.patchset.helpers import edited, only_row, rule, run

HEAD = "# made by a tool\n\n__metadata:\n  version: 8\n  cacheKey: 10c0\n\n"


def entry(key: str, resolution: str, *depends: str) -> str:
    version = resolution.rsplit(":", 1)[1]
    lines = [f'"{key}":', f"  version: {version}", f'  resolution: "{resolution}"']
    if depends:
        lines += ["  dependencies:", *(f"    {item}" for item in depends)]
    return "\n".join([*lines, "  checksum: 10c0/0123", "  languageName: node", "  linkType: hard", ""])


def workspace(*depends: str) -> str:
    lines = [
        '"front@workspace:packages/front":',
        "  version: 0.0.0-use.local",
        '  resolution: "front@workspace:packages/front"',
    ]
    if depends:
        lines += ["  dependencies:", *(f"    {item}" for item in depends)]
    return "\n".join([*lines, "  languageName: unknown", "  linkType: soft", ""])


def lock(*blocks: str) -> str:
    return HEAD + "\n".join(blocks)


ALPHA = entry("alpha@npm:^1.0.0", "alpha@npm:1.2.0")
DEQUAL = entry("dequal@npm:2.0.3", "dequal@npm:2.0.3")
ZED = entry("zed@npm:^3.0.0, zed@npm:~3.1.0", "zed@npm:3.1.4")
FRONT = workspace('"@apollo/client": "npm:^3.0.0"', 'zed: "npm:^3.0.0"')

CLERK = entry("@clerk/react@npm:^5.0.0", "@clerk/react@npm:5.6.0", '"@clerk/shared": "npm:^3.0.0"', 'zed: "npm:^3.0.0"')
SHARED = entry("@clerk/shared@npm:^3.0.0", "@clerk/shared@npm:3.4.0", 'dequal: "npm:^2.0.0"', 'swr: "npm:2.3.4"')
DEQUAL_2 = entry("dequal@npm:^2.0.0", "dequal@npm:2.0.3")
SWR = entry("swr@npm:2.3.4", "swr@npm:2.3.4")
POOL = "\n".join([CLERK, SHARED, DEQUAL_2, SWR])

RULE = rule(find={"workspace": "front"}, lock={"dependencies": {"@clerk/react": "npm:^5.0.0"}, "entries": POOL})
FRONT_AFTER = workspace('"@apollo/client": "npm:^3.0.0"', '"@clerk/react": "npm:^5.0.0"', 'zed: "npm:^3.0.0"')


def test_whole_entries_go_to_their_sorted_place_and_equal_resolutions_join(tmp_path: Path) -> None:
    after = edited(tmp_path, "yarn.lock", lock(ALPHA, DEQUAL, FRONT, ZED), RULE)
    joined = entry("dequal@npm:2.0.3, dequal@npm:^2.0.0", "dequal@npm:2.0.3")
    assert after == lock(CLERK, SHARED, ALPHA, joined, FRONT_AFTER, SWR, ZED)


def test_what_upstream_resolves_already_is_left_alone(tmp_path: Path) -> None:
    newer = entry("@clerk/shared@npm:^3.0.0", "@clerk/shared@npm:3.9.9")
    after = edited(tmp_path, "yarn.lock", lock(newer, ALPHA, FRONT, ZED), RULE)
    assert after == lock(CLERK, newer, ALPHA, FRONT_AFTER, ZED)  # no swr, no dequal: nothing needs them


def test_entry_beyond_the_last_one(tmp_path: Path) -> None:
    after = edited(
        tmp_path,
        "yarn.lock",
        lock(FRONT),
        rule(
            find={"workspace": "front"},
            lock={"dependencies": {"zzz": "npm:1"}, "entries": entry("zzz@npm:1", "zzz@npm:1.0.0")},
        ),
    )
    assert after == lock(
        workspace('"@apollo/client": "npm:^3.0.0"', 'zed: "npm:^3.0.0"', 'zzz: "npm:1"'),
        entry("zzz@npm:1", "zzz@npm:1.0.0"),
    )


def test_workspace_without_dependencies(tmp_path: Path) -> None:
    after = edited(
        tmp_path,
        "yarn.lock",
        lock(ALPHA, workspace()),
        rule(find={"workspace": "front"}, lock={"dependencies": {"alpha": "npm:^1.0.0"}, "entries": ""}),
    )
    assert after == lock(ALPHA, workspace('alpha: "npm:^1.0.0"'))


def test_joining_that_changes_the_order_moves_the_entry(tmp_path: Path) -> None:
    blocks = [entry("b@npm:^2.0.0", "b@npm:2.1.0"), entry("b@npm:^3", "b@npm:3.0.0"), FRONT]
    pool = entry("b@npm:*", "b@npm:3.0.0")
    after = edited(
        tmp_path,
        "yarn.lock",
        lock(*blocks),
        rule(find={"workspace": "front"}, lock={"dependencies": {"b": "npm:*"}, "entries": pool}),
    )
    assert after == lock(
        entry("b@npm:*, b@npm:^3", "b@npm:3.0.0"),
        entry("b@npm:^2.0.0", "b@npm:2.1.0"),
        workspace('"@apollo/client": "npm:^3.0.0"', 'b: "npm:*"', 'zed: "npm:^3.0.0"'),
    )


def test_resolutions_of_the_root_decide_which_entry_answers(tmp_path: Path) -> None:
    pinned = {"resolutions": {"swr": "2.9.9", "@clerk/shared/dequal": "npm:2.0.3"}}
    forced = entry("swr@npm:2.9.9", "swr@npm:2.9.9")
    after = edited(tmp_path, "yarn.lock", lock(DEQUAL, FRONT, forced, ZED), RULE, more={"package.json": json.dumps(pinned)})
    assert after == lock(CLERK, SHARED, DEQUAL, FRONT_AFTER, forced, ZED)


def test_dependency_on_another_range_is_a_conflict(tmp_path: Path) -> None:
    text = lock(ALPHA, workspace('"@clerk/react": "npm:^4.0.0"'))
    worked, _ = run(tmp_path, "yarn.lock", text, RULE)
    assert only_row(worked).state == "conflict"
    assert "@clerk/react npm:^4.0.0 already; the rule wants npm:^5.0.0" in only_row(worked).found


def test_entry_that_nobody_has_is_named(tmp_path: Path) -> None:
    bare = rule(find={"workspace": "front"}, lock={"dependencies": {"@clerk/react": "npm:^5.0.0"}, "entries": CLERK})
    worked, _ = run(tmp_path, "yarn.lock", lock(FRONT, ZED), bare)
    assert only_row(worked).state == "not-found"
    assert "@clerk/shared@npm:^3.0.0 (needed by @clerk/react)" in only_row(worked).found


def test_lock_of_another_yarn_is_not_guessed_at(tmp_path: Path) -> None:
    old = 'alpha@^1.0.0:\n  version "1.2.0"\n\n"front@workspace:packages/front":\n  version: 0\n'
    worked, _ = run(tmp_path, "yarn.lock", old, RULE)
    assert only_row(worked).state == "not-found"
    assert "no lock entry as yarn 2 and later" in only_row(worked).found


def test_workspace_that_is_not_there(tmp_path: Path) -> None:
    worked, _ = run(tmp_path, "yarn.lock", lock(ALPHA), RULE)
    assert only_row(worked).state == "not-found"
