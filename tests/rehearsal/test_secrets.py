"""No secret's value in what a deploy prints, in process lists, in files where it does not belong, or in an image."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.rehearsal import driver, secrets
from tests.rehearsal.conftest import BareDroplet, Deployed
from twentyops import stack

DEBUG_LOG = driver.PROJECT / "pyinfra-debug.log"


@pytest.fixture(scope="module")
def values(deployed: Deployed) -> dict[str, str]:
    """Every secret that the watched deploy had to do with."""
    return secrets.control_machine_secrets(deployed.target) | secrets.droplet_secrets(deployed.droplet)


def test_the_search_finds_what_is_there(values: dict[str, str]) -> None:
    assert len(values) >= 9
    for name, value in values.items():
        assert set(secrets.shown(values, [f"a {value} b"])) >= {name}


def test_first_deploy_as_talkative_as_can_be(deployed: Deployed, values: dict[str, str]) -> None:
    run = deployed.first
    assert run.exit_code == 0, str(run)
    # it was talkative: commands and their output are there
    assert ">>> " in run.text
    assert len(run.text) > 20_000
    assert secrets.shown(values, [run.stdout, run.stderr]) == {}


def test_process_lists(deployed: Deployed, values: dict[str, str]) -> None:
    """Of the whole first deploy, with the build of the image."""
    seen = deployed.processes.seen
    assert deployed.processes.samples > 40
    for there in ["pyinfra inventory.py", "docker pull", "twentyops-migrate"] + ["docker buildx build"] * deployed.was_bare:
        assert any(there in line for line in seen), f"the sampler never saw {there}"
    assert secrets.shown(values, seen) == {}


@pytest.mark.parametrize("arguments", [("deploy.py", "-y", "--json"), ("deploy.py", "-y", "--debug-all", "-vvv")], ids=" ".join)
def test_later_deploy(deployed: Deployed, values: dict[str, str], arguments: tuple[str, ...]) -> None:
    run = deployed.target.run(*arguments)
    assert run.exit_code == 0, str(run)
    assert secrets.shown(values, [run.stdout, run.stderr]) == {}


@pytest.mark.parametrize(
    "arguments",
    [
        ("debug-inventory",),
        ("debug-inventory", "--json"),
        ("deploy.py", "--debug-operations", "--json"),
        ("deploy.py", "--debug-facts", "-vvv"),
        ("deploy.py", "--dry", "--diff", "-vvv", "--json"),
        ("fact", "twentyops.facts.RegistryLogins", "--json"),
    ],
    ids=" ".join,
)
def test_looking_without_changing(deployed: Deployed, values: dict[str, str], arguments: tuple[str, ...]) -> None:
    run = deployed.target.run(*arguments)
    assert run.exit_code == 0, str(run)
    assert secrets.shown(values, [run.stdout, run.stderr]) == {}


def test_plan_for_a_bare_host(deployed: Deployed, bare: BareDroplet) -> None:
    target = bare("planned")
    run = target.run("deploy.py", "--dry", "--diff", "-vvv", "--json")
    assert run.exit_code == 0, str(run)
    assert secrets.shown(secrets.control_machine_secrets(target), [run.stdout, run.stderr]) == {}


def test_changed_configuration_shows_no_secret_in_its_differences(deployed: Deployed, values: dict[str, str]) -> None:
    """An env file that somebody edited is put right, without a word of what was in it."""
    deployed.droplet.ssh("f=/opt/twenty/current/env/server.env; cp -p $f /root/kept && sed -i '1d' $f")
    try:
        run = deployed.target.run("tasks/configure.py", "-y", "-vvv", "--diff", "--limit", "droplet")
        assert run.exit_code == 0, str(run)
        assert run.counts[0] == 1, str(run)
        assert deployed.droplet.ssh("cmp /root/kept /opt/twenty/current/env/server.env", check=False).returncode == 0
    finally:
        deployed.droplet.ssh("rm -f /root/kept")
    assert secrets.shown(values, [run.stdout, run.stderr]) == {}


CRASH = """
from pyinfra import host

from tasks import configure
from twentyops import operations, plan


def crash():
    current = plan.current()
    assert configure.read_secrets(current) is None
    settings, secrets, files = current.settings, current.secrets, current.files()
    raise RuntimeError(f"nobody expected this of {settings!r} and {current!r}")


if "droplet" in host.groups:
    from tasks import preflight

    preflight.check()
    operations.control_step(name="Crash", function=crash, description="never")
"""


def test_crash_of_the_tool_itself(deployed: Deployed, values: dict[str, str], tmp_path: Path) -> None:
    """pyinfra shows a traceback and leaves it in a file when something unexpected happens; with all secrets at hand."""
    (tmp_path / "crash.py").write_text(CRASH)
    DEBUG_LOG.unlink(missing_ok=True)
    run = deployed.target.run(str(tmp_path / "crash.py"), "-y", "-vvv", "--diff", "--debug", "--limit", "droplet")
    log = DEBUG_LOG.read_text()
    DEBUG_LOG.unlink()
    assert run.exit_code == 1, str(run)
    assert "nobody expected this of " in run.text
    assert "nobody expected this of " in log
    assert secrets.shown(values, [run.stdout, run.stderr, log]) == {}


def test_files_of_the_droplet(deployed: Deployed, values: dict[str, str]) -> None:
    """Secrets lie in root's own files: those that were generated, the env files of releases, Docker's login; nowhere else."""
    found = secrets.files_with(deployed.droplet, values)
    assert set(found.values()) == {"600 root"}
    current = deployed.droplet.ssh("readlink -f /opt/twenty/current").stdout.strip()
    belongs = {f"{current}/env/{service}.env" for service in ("postgres", "server", "worker", "migrate", "tenant-manager")}
    belongs |= {f"/opt/twenty/secrets/{name}" for name in stack.SECRETS}
    belongs.add("/root/.docker/config.json")
    assert belongs <= set(found)
    assert [path for path in set(found) - belongs if not re.fullmatch(r"/opt/twenty/releases/[^/]+/env/[\w-]+\.env", path)] == []


def test_files_of_the_builder(deployed: Deployed, values: dict[str, str]) -> None:
    builder = deployed.builder
    assert secrets.files_with(builder, values) == {"/root/.docker/config.json": "600 root"}


def test_journals(deployed: Deployed, values: dict[str, str]) -> None:
    for machine in (deployed.droplet, deployed.builder):
        text = machine.ssh("journalctl --no-pager --all").stdout
        assert "sshd" in text
        assert secrets.shown(values, [text]) == {}, machine


def test_containers_log(deployed: Deployed, values: dict[str, str]) -> None:
    text = deployed.droplet.ssh("for c in $(docker ps --all --quiet); do docker logs $c 2>&1; done").stdout
    assert "stand-in for Twenty" in text
    assert secrets.shown(values, [text]) == {}


def test_docker_tells_none(deployed: Deployed, values: dict[str, str]) -> None:
    for machine in (deployed.droplet, deployed.builder):
        assert secrets.in_docker(machine, values) == {}, machine


def test_image_layers(deployed: Deployed, values: dict[str, str]) -> None:
    size, found = secrets.in_layers(deployed.target.lab, deployed.target.settings()["IMAGE_NAME"], values)
    assert size > 50_000_000
    assert found == {}
