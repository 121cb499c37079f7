"""Operations as pyinfra tests its own: a YAML file gives arguments and facts, and the commands that must follow."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyinfra.api import Config, Inventory, State
from pyinfra.api.command import PyinfraCommand, StringCommand
from pyinfra.api.host import Host
from pyinfra.context import ctx_host, ctx_state

from twentyops import operations
from twentyops.release import Manifest

CASES = sorted((Path(__file__).parent / "operations").glob("*.yaml"))


@pytest.fixture
def fake_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host that exists nowhere: facts come from the case, nothing is run."""
    state = State(Inventory((["@fake/droplet"], {})), Config())  # type: ignore[no-untyped-call]
    host = state.inventory.get_host("@fake/droplet")
    with ctx_state.use(state), ctx_host.use(host):
        yield host


def described(command: PyinfraCommand) -> Any:
    if not isinstance(command, StringCommand):
        return repr(command)
    stdin = command.connector_arguments.get("_stdin")
    return {"command": str(command), "stdin": stdin} if stdin else str(command)


def callables(operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments that an operation wants as something to call are written as plain values in a case."""
    late = {
        "pulled_images": {"references"},
        "release_files": {"directory", "content"},
        "checked_caddyfile": {"image"},
        "postgres_database": {"password"},
        "database_migrations": {"directory", "image"},
        "compose_services": {"directory", "wanted"},
        "volume_handover": {"directory"},
    }.get(operation, set())
    values = {key: tuple(v) if key in {"services", "names", "packages"} else v for key, v in arguments.items()}
    return {key: (lambda v=v: v) if key in late else v for key, v in values.items()}


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_operation(path: Path, fake_host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    case = yaml.safe_load(path.read_text())
    known: dict[str, Any] = case["facts"]
    monkeypatch.setattr(type(fake_host), "get_fact", lambda self, fact, *a, **k: known[fact.__name__])
    noops: list[str] = []
    monkeypatch.setattr(type(fake_host), "noop", lambda self, text: noops.append(text))
    function = getattr(operations, case["operation"])._inner
    found = [described(c) for c in function(**callables(case["operation"], case["arguments"]))]
    assert found == case["commands"]
    assert bool(noops) == (not case["commands"]), "an operation without commands says why (host.noop), one with commands does not"


def test_every_operation_has_a_case_with_and_without_change() -> None:
    cases: dict[str, set[bool]] = {}
    for path in CASES:
        case = yaml.safe_load(path.read_text())
        cases.setdefault(case["operation"], set()).add(bool(case["commands"]))
    ours = {
        name
        for name, value in vars(operations).items()
        if hasattr(value, "_inner") and value._inner.__module__ == operations.__name__ and not name.startswith("control_")
    }
    assert ours - {"release_record"} == set(cases)  # release_record has tests of its own: its manifest carries the time
    assert {name: kinds for name, kinds in cases.items() if kinds != {True, False}} == {}


def test_secrets_are_in_no_command_and_in_no_representation(fake_host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(fake_host), "get_fact", lambda self, fact, *a, **k: fact.default())
    secret = "correct-horse-battery"
    generators = [
        operations.secret_file._inner(path="/opt/x", content=f"{secret}\n"),
        operations.registry_login._inner(registry="r.example.com", username="u", password=secret),
        operations.release_files._inner(directory=lambda: "/opt/r", content=lambda: {"env/server.env": f"A='{secret}'\n"}),
        operations.postgres_database._inner(container="c", database="twenty", password=lambda: secret),
    ]
    for generator in generators:
        for command in generator:
            assert secret not in str(command)
            assert secret not in repr(command)


@pytest.fixture(scope="module")
def apt_keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], str]:
    """(key files: one, another, both; fingerprint of the first)."""
    place = tmp_path_factory.mktemp("keys")
    gpg = ["gpg", "--homedir", str(place), "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"]
    found: dict[str, Path] = {}
    try:
        for name in ("one", "another"):
            subprocess.run(
                [*gpg, "--quick-gen-key", f"{name} <{name}@keys.test>", "ed25519", "sign"], check=True, capture_output=True
            )
            text = subprocess.run([*gpg, "--armor", "--export", f"{name}@keys.test"], check=True, capture_output=True).stdout
            found[name] = place / f"{name}.asc"
            found[name].write_bytes(text)
        listed = subprocess.run(
            [*gpg, "--with-colons", "--list-keys", "one@keys.test"], check=True, capture_output=True, text=True
        )
    finally:
        subprocess.run(["gpgconf", "--homedir", str(place), "--kill", "all"], check=True)
    found["both"] = place / "both.asc"
    found["both"].write_bytes(found["one"].read_bytes() + found["another"].read_bytes())
    found["none"] = place / "none.asc"
    found["none"].write_text("<html>not found</html>")
    return found, next(line.split(":")[9] for line in listed.stdout.splitlines() if line.startswith("fpr"))


@pytest.mark.parametrize("served", ["one", "another", "both", "none"])
def test_docker_key_is_installed_only_if_it_is_the_one(
    apt_keys: tuple[dict[str, Path], str], served: str, tmp_path: Path
) -> None:
    files, fingerprint = apt_keys
    keyring = tmp_path / "keyrings/docker.asc"
    done = subprocess.run(
        ["sh", "-c", operations.APT_KEY, "sh", files[served].as_uri(), str(keyring), fingerprint], capture_output=True, text=True
    )
    if served == "one":
        assert done.returncode == 0, done.stderr
        assert keyring.read_bytes() == files["one"].read_bytes()
        assert keyring.stat().st_mode & 0o777 == 0o644
    else:
        assert done.returncode != 0
        assert "nothing was installed" in done.stderr
        assert fingerprint in done.stderr
        assert not keyring.exists()
    assert list(keyring.parent.iterdir()) == ([keyring] if served == "one" else [])


DOCKER = """#!/bin/sh
case "$*" in
*" ps "*) echo one two ;;
*" up "*) echo up >> {log} ;;
*Status*) n=$(wc -l < {looks}); echo look >> {looks}; printf '{states}' | sed -n "$((n * 2 + 1)),$((n * 2 + 2))p" ;;
*) printf 'one 7\\ntwo 0\\n' ;;
esac
"""


@pytest.mark.parametrize(
    ("states", "code", "says"),
    [
        (["running starting 7 one", "running healthy 0 two", "running healthy 7 one", "running healthy 0 two"], 0, ""),
        (["restarting  9 one", "running healthy 0 two", "running healthy 9 one", "running healthy 0 two"], 0, ""),
        (["restarting  10 one", "running healthy 0 two"], 1, "a container restarts again and again"),
        (["running healthy 9 one", "restarting  3 two"], 1, "a container restarts again and again"),
        # made anew by this command: Docker counts from zero
        (["restarting  3 three", "running healthy 0 two"], 1, "a container restarts again and again"),
        (["restarting  2 three", "running healthy 0 two", "running healthy 2 three", "running healthy 0 two"], 0, ""),
    ],
)
def test_restarts_before_the_deploy_do_not_count(tmp_path: Path, states: list[str], code: int, says: str) -> None:
    """The shell program of a deploy with a Docker that tells two containers' states, a pair at each look; ``one`` had 7 restarts."""
    looks, log = tmp_path / "looks", tmp_path / "log"
    looks.touch()
    for name, text in (
        ("docker", DOCKER.format(log=log, looks=looks, states="\\n".join(states) + "\\n")),
        ("flock", '#!/bin/sh\nwhile [ "$1" != docker ]; do shift; done\nexec "$@"\n'),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", operations._up("/opt/r", ["server", "worker"], 20)],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip(), done.stderr) == (code, says, "")
    assert log.read_text() == "up\n"


@pytest.mark.parametrize(("mark", "stays"), [("r/crm@new", True), ("r/crm@old", False), ("", False)])
def test_who_puts_a_release_back_says_what_became_of_the_database(
    monkeypatch: pytest.MonkeyPatch, mark: str, stays: bool
) -> None:
    images = dict.fromkeys(("server", "tenant-manager"), "r/crm@old")
    names = {field.name: "" for field in dataclasses.fields(Manifest)} | {"images": images, "id": "r1"}
    told = {"readlink": "/opt/twenty/releases/r1", "psql": mark, "cat ": json.dumps(names), "config --services": "server"}

    def remote(command: str, **_: Any) -> tuple[bool, str]:
        return True, next((text for part, text in told.items() if part in command and "flock" not in command), "")

    monkeypatch.setattr(operations, "remote", remote)
    (line,) = operations.put_back("/opt/twenty/releases/r2", ["server"])
    assert line.startswith("Release r1 was put back and serves again. Nothing was lost.")
    assert line.endswith("The database stays as the new release migrated it.") is stays
