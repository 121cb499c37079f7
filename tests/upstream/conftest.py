"""Upstream's own unit tests around what the patchset touches, on the patched tree: ``pytest tests/upstream --upstream-tree=DIR``.

``DIR`` is a patched tree (``python -m twentyops.patchset apply SRC --out DIR``); they run in it when it is installed (``yarn``, then
``nx build twenty-shared twenty-ui``), or with ``--upstream-builder`` in a build on a machine with Docker, as ``make accept`` does.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from lab.accept import upstream


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("upstream")
    group.addoption("--upstream-tree", default="", help="upstream: a patched tree of Twenty")
    group.addoption("--upstream-builder", default="", help="upstream: command of ssh up to the name of a machine with Docker")
    group.addoption(
        "--upstream-contexts", default="{}", help='upstream: images there, JSON: {"node:24-alpine": "mirror/node:24-alpine"}'
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a tree there is nothing to run: left out of ``make test``, an error when asked for."""
    mine = [item for item in items if "tests/upstream/" in str(item.path)]
    if config.getoption("--upstream-tree") or not mine:
        return
    if any("upstream" in str(argument) for argument in config.args):
        raise pytest.UsageError("tests/upstream needs a patched tree of Twenty: pytest tests/upstream --upstream-tree=DIR")
    items[:] = [item for item in items if item not in mine]
    config.hook.pytest_deselected(items=mine)


def _wanted(config: pytest.Config) -> dict[str, list[str]]:
    tree = Path(config.getoption("--upstream-tree"))
    return upstream.specs(tree, upstream.touched(tree))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "spec" in metafunc.fixturenames:
        given = metafunc.config.getoption("--upstream-tree")
        found = sorted(test for tests in _wanted(metafunc.config).values() for test in tests) if given else ["-"]
        metafunc.parametrize("spec", found)


@pytest.fixture(scope="session")
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, upstream.Answer]:
    """All of them are run at once: most of the time goes into the installation."""
    config, results = request.config, tmp_path_factory.mktemp("upstream")
    tree, builder = Path(config.getoption("--upstream-tree")), str(config.getoption("--upstream-builder"))
    if builder:
        contexts = json.loads(config.getoption("--upstream-contexts"))
        upstream.in_builder(shlex.split(builder), tree, contexts, _wanted(config), results)
    else:
        upstream.in_tree(tree, _wanted(config), results)
    return upstream.read(results)
