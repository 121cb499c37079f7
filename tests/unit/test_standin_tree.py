"""The stand-in's tree by itself: what the patchset hooks onto, and that no address of a registry slipped in."""

from __future__ import annotations

import json
import re
from pathlib import Path

from dockerfile_parse import DockerfileParser

TREE = Path(__file__).parents[2] / "lab" / "standin"
DOCKER = TREE / "packages" / "twenty-docker" / "twenty"


def test_lock_file_names_versions_and_hashes_but_no_addresses() -> None:
    lock = json.loads((TREE / "package-lock.json").read_text())
    packages = {
        name: entry for name, entry in lock["packages"].items() if name.startswith("node_modules/") and not entry.get("link")
    }
    assert len(packages) > 100
    assert not [name for name, entry in packages.items() if "resolved" in entry]
    assert not [name for name, entry in packages.items() if not entry.get("integrity", "").startswith("sha512-")]


def test_dockerfile_has_upstreams_stages_and_ends_as_upstream() -> None:
    parser = DockerfileParser(fileobj=(DOCKER / "Dockerfile").open("rb"), cache_content=True)
    steps = [(step["instruction"], step["value"]) for step in parser.structure]
    assert [value for instruction, value in steps if instruction == "FROM"] == [
        "node:24-alpine AS common-deps",
        "common-deps AS twenty-server-build",
        "common-deps AS twenty-front-build",
        "node:24-alpine AS twenty",
    ]
    last = steps[max(index for index, (instruction, _) in enumerate(steps) if instruction == "FROM") :]
    assert ("COPY", "./packages/twenty-docker/twenty/entrypoint.sh /app/entrypoint.sh") in last
    assert ("WORKDIR", "/app/packages/twenty-server") in last
    assert ("USER", "1000") in last
    assert last[-2:] == [("CMD", '["node", "dist/src/main"]'), ("ENTRYPOINT", '["/app/entrypoint.sh"]')]


def test_entrypoint_keeps_the_lines_that_rules_look_for() -> None:
    lines = (DOCKER / "entrypoint.sh").read_text().splitlines()
    for line in ("setup_and_migrate_db() {", "register_background_jobs() {", "setup_and_migrate_db",
                 "register_background_jobs", 'exec "$@"', "    yarn command:prod upgrade"):  # fmt: skip
        assert lines.count(line) == 1, line
    assert lines[-1] == 'exec "$@"'


def test_page_has_one_configuration_block() -> None:
    page = (TREE / "packages" / "twenty-front" / "index.html").read_text()
    assert len(re.findall(r"<!-- BEGIN: Twenty Config -->.*?<!-- END: Twenty Config -->", page, re.DOTALL)) == 1
