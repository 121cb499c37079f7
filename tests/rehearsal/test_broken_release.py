"""A release that does not work: the deploy says which service, shows its words and the remedy, and what served before serves on."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab.registry import Registry
from lab.world import Lab
from tests.rehearsal import driver
from tests.rehearsal.conftest import Deployed, standin_copy
from twentyops import stack

DOCKERFILE = "packages/twenty-docker/twenty/Dockerfile"
BEFORE_THIS = "# uid 1000, no root\nUSER 1000\n"


@dataclass(frozen=True)
class Broken:
    """One way to break Twenty: lines for the last stage of its Dockerfile, and what the operator must be told."""

    name: str
    lines: str
    says: list[str]
    put_back: bool = False
    """whether containers were replaced already, so that the release before had to be put back"""
    user: str = "1000"
    settings: dict[str, str] = field(default_factory=dict)


CASES = [
    Broken(
        "server dies at its start",
        """RUN printf 'console.log("no licence for the moon"); process.exit(3)' > dist/src/main.js""",
        ["Run server", "server: ", "server | no licence for the moon", "Next: mend the cause and deploy again"],
        put_back=True,
    ),
    Broken(
        "server never healthy",
        "ENV STANDIN_UNHEALTHY=true",
        ["Run server", "server: running, ", "server | ", "Next: mend the cause and deploy again"],
        put_back=True,
        settings={"HEALTH_TIMEOUT_S": "15"},
    ),
    Broken(
        "worker takes no jobs",
        # it answers for its connections, as the real one does, and nothing else
        """RUN printf 'console.log("worker sleeps"); require("http").createServer((q, r) => r.end("ok")).listen(3010)' > dist/src/queue-worker/queue-worker.js""",
        ["Run worker", "worker: running, ", "no worker took a job", "worker | worker sleeps", "Next: mend the cause"],
        put_back=True,
        settings={"HEALTH_TIMEOUT_S": "30"},
    ),
    Broken(
        "tenant manager dies at its start",
        "ENV HARMLESS=1",
        ["Run tenant-manager", "tenant-manager: ", "Next: mend the cause and deploy again"],
        put_back=True,
        settings={"TENANT_MANAGER_MEMORY_MB": "32", "HEALTH_TIMEOUT_S": "60"},
    ),
    Broken(
        "migration fails",
        "ENV STANDIN_FAIL_MIGRATION=1",
        [
            "The migrations of database twenty failed",
            "standinMissing",
            "Server, worker, tenant manager and proxy were not touched",
            "Whole log: /opt/twenty/migrate.log",
            "Next: docs/runbook/migration-failed.md",
        ],
    ),
    Broken(
        "version that the upgrade does not know",
        "ENV APP_VERSION=banana",
        ["The migrations of database twenty failed", "APP_VERSION is 'banana'", "Nothing was changed"],
    ),
    Broken(
        "smoke check fails",
        "RUN true",
        ["The smoke suite found broken promises", "test_container_is_confined", "-server]: ", "is not recorded"],
        put_back=True,
        user="0",
    ),
    Broken(
        "build step fails",
        "RUN echo 'cannot compile the moon' && false",
        [
            "image could not be built",
            "cannot compile the moon",
            "a step of the Dockerfile failed",
            "whole log: /var/lib/twentyops/build/",
        ],
    ),
    Broken(
        "build runs out of memory",
        "RUN echo 'bundling' && exit 137",
        ["image could not be built", "the build ran out of memory", "BUILDER_HOST"],
    ),
    Broken(
        "build runs out of space",
        "RUN cat /etc/passwd > /dev/full",
        ["image could not be built", "the builder's disk is full: docker builder prune"],
    ),
]


def served(deployed: Deployed) -> str:
    """Image of the server that answers at the public address."""
    with urllib.request.urlopen(f"http://{deployed.droplet.address}/healthz", timeout=10) as answer:
        assert (answer.status, json.load(answer)["status"]) == (200, "ok")
    found = driver.inspect(deployed.droplet)
    assert {name: c["State"]["Health"]["Status"] for name, c in found.items()} == {
        f"twenty-{service}-1": "healthy" for service in stack.SERVICES
    }
    assert found["twenty-server-1"]["Config"]["Image"] == found["twenty-worker-1"]["Config"]["Image"]
    return str(found["twenty-server-1"]["Config"]["Image"])


@pytest.mark.parametrize("broken", CASES, ids=lambda broken: broken.name.replace(" ", "-"))
def test_broken_release(deployed: Deployed, tmp_path: Path, broken: Broken) -> None:
    source = standin_copy(tmp_path, "as it was")
    dockerfile = source / DOCKERFILE
    text = dockerfile.read_text()
    assert BEFORE_THIS in text
    dockerfile.write_text(text.replace(BEFORE_THIS, f"{broken.lines}\n{BEFORE_THIS.replace('1000', broken.user)}"))
    before = served(deployed), driver.manifest(deployed.droplet)

    run = deployed.target.having(TWENTY_SOURCE=str(source), **broken.settings).run()
    assert run.exit_code == 1, str(run)
    for part in broken.says:
        assert part in run.text, str(run)
    assert "Traceback" not in run.text, str(run)
    put_back = f"Release {before[1]['id']} was put back and serves again. Nothing was lost." in run.text
    assert put_back == broken.put_back, str(run)

    assert (served(deployed), driver.manifest(deployed.droplet)) == before
    assert driver.lock(deployed.droplet) == ""


@pytest.fixture
def read_only_registry(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The lab's registry, but nobody may push."""
    config = Registry.config

    def read_only(self: Registry, *arguments: Any) -> str:
        told = json.loads(config(self, *arguments))
        told["storage"]["maintenance"] = {"readonly": {"enabled": True}}
        return json.dumps(told)

    lab.registry.stop()
    with monkeypatch.context() as patch:
        patch.setattr(Registry, "config", read_only)
        lab.registry.start(lab.say)
    yield
    lab.registry.stop()
    lab.registry.start(lab.say)


def test_refused_push(deployed: Deployed, read_only_registry: None, tmp_path: Path) -> None:
    before = served(deployed), driver.containers(deployed.droplet)
    run = deployed.target.having(TWENTY_SOURCE=str(standin_copy(tmp_path, "not pushed"))).run()
    assert run.exit_code == 1, str(run)
    assert "the registry refused the push of" in run.text, str(run)
    assert "REGISTRY_USERNAME" in run.text, str(run)
    assert (served(deployed), driver.containers(deployed.droplet)) == before
    assert driver.lock(deployed.droplet) == ""


def test_good_release_deploys_again(deployed: Deployed) -> None:
    before = served(deployed), driver.manifest(deployed.droplet)
    run = deployed.target.run()
    assert run.exit_code == 0, str(run)
    assert run.counts[1] == 0
    assert (served(deployed), driver.manifest(deployed.droplet)) == before
    again = deployed.target.run()
    assert (again.exit_code, again.counts[:2]) == (0, (0, 0)), str(again)


def test_failed_releases_leave_nothing_behind_but_their_files(deployed: Deployed) -> None:
    names = deployed.droplet.ssh("docker ps --all --format '{{.Names}}'").stdout.split()
    assert sorted(names) == [f"twenty-{service}-1" for service in sorted(stack.SERVICES)]
