"""Whole phases planned and run against hosts that exist nowhere (pyinfra's @fake connector).

Ubuntu has no image in the lab, so the facts of its machines (tests/unit/hosts) are what covers it; Debian stands beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import Config, Inventory, State
from pyinfra.api.connect import connect_all
from pyinfra.api.deploy import add_deploy
from pyinfra.api.operations import run_ops
from pyinfra.api.state import StateStage

from tasks import configure, image, lock, provision, record, services, source, verify
from tests.unit.test_pure import IMAGES, settings
from twentyops import facts, plan, preflight
from twentyops.source import Source

HOSTS = Path(__file__).parent / "hosts"


@pytest.fixture
def current(monkeypatch: pytest.MonkeyPatch) -> plan.Plan:
    """A plan whose images are still to be built."""
    made = plan.draft(settings(), Source("https://example.com/twenty.git", "v1.10.0", "c" * 40, None))
    made.base_images = {name: IMAGES[name] for name in ("postgres", "redis", "caddy")}
    monkeypatch.setattr(plan, "current", lambda: made)
    return made


def world(name: str, group: str = "droplet", container: str = "", more: str = "") -> State:
    """A state with one fake host whose facts are those of tests/unit/hosts/NAME.txt, and ``more`` lines."""
    text = (HOSTS / f"{name}.txt").read_text().replace("container=", f"container={container}")
    known = {"/etc/os-release": [*text.splitlines(), *more.splitlines()]}
    host = ("@fake/host", {"fake_responses": known, "fake_delay": 0, "fake_delay_jitter": 0})
    state = State(Inventory(([host], {}), **{group: (["@fake/host"], {})}), Config())  # type: ignore[no-untyped-call]
    state.set_stage(StateStage.Connect)
    connect_all(state)
    state.set_stage(StateStage.Prepare)
    return state


def run(state: State, *deploys: Callable[..., Any]) -> list[str]:
    """Plan and run, and give every command that the host got."""
    for deploy in deploys:
        add_deploy(state, deploy)
    state.set_stage(StateStage.Execute)
    run_ops(state)
    connector: Any = state.inventory.get_host("@fake/host").connector
    return list(connector.executed_commands)


@pytest.mark.parametrize("name", sorted(path.stem for path in HOSTS.glob("*.txt")))
def test_host_state_is_read_and_passes_preflight(name: str) -> None:
    state = facts.HostState().process((HOSTS / f"{name}.txt").read_text().splitlines())
    assert f"{state['os']}-{state['os_version']}" == name
    assert state["listeners"] == {22: "sshd", 53: "systemd-resolve"}
    assert state["clock_ahead_s"] < -3600, "the recorded time is long ago"
    assert preflight.droplet({**state, "clock_ahead_s": 0.0}, settings()) == []


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("debian-12", "docker-buildx docker-cli docker-compose docker.io"),
        ("debian-13", "docker-buildx docker-cli docker-compose docker.io"),
        ("ubuntu-22.04", "docker-buildx docker-compose-v2 docker.io"),
        ("ubuntu-24.04", "docker-buildx docker-compose-v2 docker.io"),
    ],
)
def test_bare_host_is_provisioned(current: plan.Plan, name: str, packages: str) -> None:
    commands = "\n".join(run(world(name), provision.droplet))
    assert f"install --no-install-recommends {packages}" in commands
    assert "swapon" in commands
    assert "dockerd --validate" in commands
    assert commands.index("systemctl reload-or-restart twentyops-firewall") < commands.index("dockerd --validate")
    assert "systemd-timesyncd" in commands
    assert ("Pin: release" in commands or "preferences.d" in commands) == (name == "debian-12")


@pytest.mark.parametrize(
    ("service", "installed"), [("chrony", False), ("ntpsec", False), ("systemd-timesyncd", True), ("", True)]
)
def test_service_that_keeps_the_clock_stays(current: plan.Plan, service: str, installed: bool) -> None:
    commands = "\n".join(run(world("debian-13", more=f"time_service={service}" if service else ""), provision.droplet))
    assert ("systemd-timesyncd" in commands) is installed


def test_container_gets_neither_swap_nor_clock(current: plan.Plan) -> None:
    commands = "\n".join(run(world("debian-13", container="systemd-nspawn"), provision.droplet))
    assert "swapon" not in commands
    assert "systemctl start systemd-timesyncd" not in commands
    assert "dockerd --validate" in commands


def test_whole_deploy_is_planned_for_a_host_without_docker(current: plan.Plan) -> None:
    state = world("debian-13")
    for deploy in (
        lock.acquire, provision.droplet, image.known, configure.release, services.roll_out, verify.smoke_suite, record.release,
    ):  # fmt: skip
        add_deploy(state, deploy)
    host = state.inventory.get_host("@fake/host")
    changes = {
        next(iter(state.get_op_meta(op).names)).split(" | ")[-1]: state.get_op_data_for_host(host, op).operation_meta.will_change
        for op in host.op_hash_order
    }
    for name in ("Docker Engine, Compose, buildx", "Generated secrets", "Images by digest", "Release files", "Run server"):
        assert changes[name], name
    connector: Any = host.connector
    changing = re.compile(r"\b(install|pull|up --detach|mv -f|mkdir|mkswap|systemctl (restart|enable))\b")
    assert [c for c in connector.executed_commands if changing.search(c)] == [], "a plan changes nothing"


def test_unchanged_image_is_neither_built_nor_pushed(current: plan.Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    for made in current.built:
        made.digest = "sha256:" + "1" * 64
    monkeypatch.setattr("twentyops.builder.build", lambda plan, image: pytest.fail("built"))
    monkeypatch.setattr("twentyops.builder.push", lambda plan, image: pytest.fail("pushed"))
    assert run(world("debian-13", "builder"), source.tell, image.publish, image.known) == []


def test_deploy_without_image_stops_before_the_droplet_is_configured(current: plan.Plan) -> None:
    with pytest.raises(Exception, match="No hosts remaining"):
        run(world("debian-13"), image.known, configure.release)


def test_containers_are_asked_for_by_the_names_of_the_typed_answer() -> None:
    # .Id is known to the raw answer only: Docker then falls back to it, and there a created container has no Health at all
    command = str(facts.ComposeServices().command(project="twenty"))
    assert "{{.ID}}" in command
    assert "{{.Id}}" not in command
