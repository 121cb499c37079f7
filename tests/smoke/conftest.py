"""The smoke suite: promises of a running deployment, checked over SSH and from outside. Needs ``--hosts=ssh://USER@HOST``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml
from testinfra.host import Host


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a host there is nothing to check: left out of ``make test`` (the rehearsal runs it), an error when asked for."""
    smoke = [item for item in items if "tests/smoke/" in str(item.path)]
    if config.getoption("hosts") or not smoke:
        return
    if any("smoke" in str(argument) for argument in config.args):
        raise pytest.UsageError("tests/smoke needs a deployed host: pytest tests/smoke --hosts=ssh://root@HOST")
    items[:] = [item for item in items if item not in smoke]
    config.hook.pytest_deselected(items=smoke)


@pytest.fixture(scope="session")
def release_directory(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--release-directory"))


@pytest.fixture(scope="module")
def compose(host: Host, release_directory: str) -> dict[str, Any]:
    """The compose file of the release; no secret is in it."""
    found: dict[str, Any] = yaml.safe_load(host.check_output("cat %s/compose.yaml", release_directory))
    return found


@pytest.fixture(scope="module")
def containers(host: Host) -> dict[str, dict[str, Any]]:
    """``{service: docker inspect}`` of the stack, without the environment."""
    output = host.check_output("docker ps -aq --filter label=com.docker.compose.project=twenty | xargs docker inspect")
    found = {}
    for container in json.loads(output):
        container["Config"]["EnvNames"] = [v.split("=")[0] for v in container["Config"].pop("Env")]
        if container["Config"]["Labels"].get("com.docker.compose.oneoff") != "True":
            found[container["Config"]["Labels"]["com.docker.compose.service"]] = container
    return found


@pytest.fixture(scope="module")
def public(compose: dict[str, Any]) -> Iterator[httpx.Client]:
    """A visitor without a session, at the public address."""
    with httpx.Client(base_url=compose["x-twentyops"]["public_url"], timeout=15, follow_redirects=False) as client:
        yield client
