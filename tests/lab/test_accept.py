"""``make accept`` without a lab: the table, what is kept, exit codes, suites that are killed, the watch on memory, doors, kept images."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from lab import rehearse
from lab.accept import bare, kept, place, recorder, results, run, upstream
from lab.accept.door import Door
from lab.accept.memory import WATCH, Watch
from lab.accept.results import Case, Memory, Result, Shelf
from lab.accept.suites import SUITES, Allowed, Suite, by_name
from lab.command import wait_until
from lab.identity import OTHER_PROJECT, PROJECT, Identity, LabError
from lab.world import Lab, quiet
from twentyops import stack
from twentyops.image import Image

# --- suites of our own, asked of nothing ------------------------------------------------------------------------------

PASSING = "passed('test_one'); passed('test_two')"
FAILING = "passed('test_good'); failed('test_bad', 'AssertionError: one is not two')"
SKIPPING = "passed('test_ok'); skipped('test_subdomains', 'asks another mode')"
BROKEN = "code = 3"
NOTHING = "code = 5"
HANGING = """
passed("test_quick")
pathlib.Path(sys.argv[1]).with_name("reached").touch()
time.sleep(60)
"""
KILLED = "passed('test_a'); os.kill(os.getpid(), signal.SIGKILL)"
# plays pytest with the recorder: runs the "test file", which says what became of its tests
FAKE_PYTEST = """
import json, os, pathlib, signal, sys, time
sys.argv[1:] = [word for word in sys.argv[1:] if word.endswith(".py")][-1:]
code = 0
def write(**line):
    with open(os.environ["ACCEPT_RECORD"], "a") as file:
        file.write(json.dumps(line) + "\\n")
def tell(outcome, test, reason=""):
    global code
    write(test=f"{sys.argv[1]}::{test}", outcome=outcome, seconds=0.1, reason=reason)
    print(f"{test} {outcome.upper()}", flush=True)
    code = 1 if outcome == "failed" else code
def passed(test): tell("passed", test)
def failed(test, reason): tell("failed", test, reason)
def skipped(test, reason): tell("skipped", test, reason)
exec(pathlib.Path(sys.argv[1]).read_text())
write(exit=code)
sys.exit(code)
"""


class FakePlace:
    """A place that is always as a suite wants it, or says why not."""

    name, public_url, ssh_config = "fake", "http://fake.test", Path("/dev/null")
    ssh: tuple[str, ...] = ("ssh", "fake")
    gateway = "10.77.9.1"

    def __init__(self, directory: Path) -> None:
        self.directory, self.release = directory, "r1"
        self.had: list[str] = []
        self.trouble: dict[str, Exception] = {}
        self.away = 0
        self.edit = ""

    def door(self, service: str, port: int, project: str = "twenty") -> str:
        return f"{service}.{project}.test:{port}"

    def secret(self, name: str) -> str:
        return f"the {name}"

    def clerk(self) -> Mapping[str, str]:
        return {"admin": "http://clerk.test/_admin", "admin_token": "token"}

    def tree(self) -> Path:
        return Path("/a/patched/tree")

    def builder(self) -> tuple[str, ...]:
        return ("ssh", "builder")

    def contexts(self) -> Mapping[str, str]:
        return {"node:24-alpine": "mirror.test/node:24-alpine"}

    def bare(self) -> Mapping[str, str]:
        return {"url": "http://bare.test", "redis_url": "redis://bare.test", "app_secret": "secret"}

    def have(self, suite: Suite) -> list[str]:
        self.had.append(suite.name)
        if suite.name in self.trouble:
            raise self.trouble[suite.name]
        return []

    def used(self) -> None:
        pass

    def edited(self) -> str:
        return self.edit

    def put_away(self) -> None:
        self.away += 1


def no_watch() -> Watch:
    return Watch([sys.executable, "-c", "print('{\"twenty-server-1\": [1048576, 4194304, 0, false]}')"], rest=0.05)


class House:
    """Writes suites into a directory and asks them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.place = FakePlace(directory / "accept")
        self.said: list[str] = []

    def suite(self, name: str, text: str, **more: Any) -> Suite:
        file = self.directory / "suites" / f"test_{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return Suite(name, f"about {name}", (str(file),), **more)

    def accept(self, *suites: Suite, again: bool = False) -> int:
        self.place.had.clear()
        return run.accept(suites, self.place, self.said.append, no_watch, again=again)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    fake = tmp_path / "fake_pytest"
    fake.write_text(FAKE_PYTEST)
    monkeypatch.setattr(run, "PYTEST", (*run.PYTEST[:2], sys.executable, "-I", "-S", str(fake)))
    # fingerprints name files relative to the project
    monkeypatch.setattr("lab.accept.suites.PROJECT", tmp_path)
    return House(tmp_path)


def row(text: str, name: str) -> list[str]:
    return next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()


def test_all_good_is_0_and_one_row_a_suite(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    assert house.accept(house.suite("one", PASSING), house.suite("two", PASSING)) == 0
    told = capfd.readouterr().out
    assert row(told, "one")[:5] == ["one", "ok", "2", "0", "0"]
    assert "server 1/4" in told, "peak memory of each container"
    assert "test_one PASSED" in told, "progress while it runs"
    assert house.place.away == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (FAILING, "1 failed"),
        (SKIPPING, "1 skipped that a real server could have answered"),
        (BROKEN, "pytest ended with 3"),
        (NOTHING, "ran no test"),
    ],
)
def test_what_does_not_count_as_shown_is_1_and_says_why(
    house: House, capfd: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    assert house.accept(house.suite("good", PASSING), house.suite("odd", text)) == 1
    told = capfd.readouterr().out
    assert row(told, "good")[1] == "ok"
    assert row(told, "odd")[1] in {"FAILED", "NOT"}
    assert why in told


def test_failures_and_skips_are_listed_with_their_reasons(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    allowed = (Allowed("another mode", "the lab has one address"),)
    assert house.accept(house.suite("skips", SKIPPING, allowed=allowed)) == 0
    assert "asks another mode (the lab has one address)" in capfd.readouterr().out
    assert house.accept(house.suite("fails", FAILING)) == 1
    assert "test_bad: AssertionError: one is not two" in capfd.readouterr().out


def test_a_suite_that_is_not_in_the_checkout_does_not_count(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    coming = Suite("coming", "not written yet", (str(house.directory / "test_coming.py"),))
    assert house.accept(coming) == 1
    assert "is not in this checkout" in capfd.readouterr().out


def test_left_out_tests_are_not_counted(house: House, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    suite = house.suite("some", SKIPPING)
    found = run.command(replace(suite, left_out=(f"{suite.tests[0]}::test_subdomains",)), house.place)
    assert f"--deselect={suite.tests[0]}::test_subdomains" in found


# --- continuing -------------------------------------------------------------------------------------------------------


def test_what_has_a_result_is_not_asked_again_unless_told_so(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    one, bad = house.suite("one", PASSING), house.suite("bad", FAILING)
    assert house.accept(one, bad) == 1
    capfd.readouterr()
    assert house.accept(one, bad) == 1, "a kept failure is still a failure"
    assert house.place.had == []
    assert row(capfd.readouterr().out, "one")[:3] == ["one", "ok", "2"]
    assert house.accept(one, bad, again=True) == 1
    assert house.place.had == ["one", "bad"]


def test_another_release_and_a_changed_test_are_asked_anew(house: House) -> None:
    one = house.suite("one", PASSING)
    assert house.accept(one) == 0
    house.suite("one", FAILING)
    assert house.accept(one) == 1
    house.suite("one", PASSING)
    house.place.release = "r2"
    assert house.accept(one) == 0
    assert house.place.had == ["one"]


def test_the_default_sizes_come_first_whatever_the_tables_order(house: House) -> None:
    large = house.suite("large", PASSING, sizes={"SERVER_MEMORY_MB": "4096"})
    assert house.accept(large, house.suite("small", PASSING)) == 0
    assert house.place.had == ["small", "large"]


def test_a_deploy_that_fails_ends_the_run_and_the_rest_is_not_asked(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    one, two, three = (house.suite(name, PASSING) for name in ("one", "two", "three"))
    house.place.trouble["two"] = place.DeployFailed("the deploy failed with exit 1")
    assert house.accept(one, two, three) == 1
    assert house.place.had == ["one", "two"]
    assert row(capfd.readouterr().out, "three")[1:3] == ["NOT", "SHOWN"]
    house.place.trouble.clear()
    assert house.accept(one, two, three) == 0
    assert house.place.had == ["two", "three"]


def test_a_suite_whose_wishes_cannot_be_met_leaves_the_others(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    one, two = house.suite("one", PASSING), house.suite("two", PASSING)
    house.place.trouble["one"] = LabError("no second server")
    assert house.accept(one, two) == 1
    assert "could not be asked: no second server" in capfd.readouterr().out
    house.place.trouble.clear()
    assert house.accept(one, two) == 0, "it was not kept as a result"
    assert house.place.had == ["one"]


def test_an_interrupted_run_keeps_what_it_has_and_goes_on_with_the_rest(
    house: House, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, slow, three = house.suite("one", PASSING), house.suite("slow", HANGING), house.suite("three", PASSING)
    before = signal.signal(signal.SIGTERM, run._as_interruption)

    def interrupt() -> None:
        wait_until((house.directory / "suites" / "reached").exists, 60, "the slow test was not reached")
        os.kill(os.getpid(), signal.SIGTERM)

    killer = threading.Thread(target=interrupt)
    killer.start()
    try:
        assert house.accept(one, slow, three) == run.INTERRUPTED
    finally:
        killer.join()
        signal.signal(signal.SIGTERM, before)
    told = capfd.readouterr().out
    assert row(told, "slow")[1:4] == ["NOT", "SHOWN", "-"]
    assert "was not asked" in told
    kept_result = Result.model_validate_json((house.place.directory / "r1" / "slow.json").read_text())
    assert (kept_result.ended, kept_result.passed) == (False, 1), "what was found until then is on the disk"
    house.suite("slow", PASSING)
    assert house.accept(one, slow, three) == 0
    assert house.place.had == ["slow", "three"]


def test_a_suite_that_is_killed_is_no_result_but_what_it_found_is_told(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    killed = house.suite("killed", KILLED)
    assert house.accept(killed, house.suite("after", PASSING)) == 1
    told = capfd.readouterr().out
    assert row(told, "killed")[1:5] == ["NOT", "SHOWN", "1", "0"]
    assert "was broken off" in told
    assert row(told, "after")[1] == "ok"
    house.suite("killed", PASSING)
    assert house.accept(killed) == 0


def test_a_damaged_result_is_asked_anew(house: House) -> None:
    one = house.suite("one", PASSING)
    assert house.accept(one) == 0
    (house.place.directory / "r1" / "one.json").write_text("{")
    assert house.accept(one) == 0
    assert house.place.had == ["one"]


def test_figures_that_passed_tests_print_are_in_the_table(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    one = house.suite("one", "write(test='t.py::test_burst', outcome='passed', seconds=1.0, reason='', printed=['p99 0.2 s'])")
    assert house.accept(one) == 0
    assert "  test_burst: p99 0.2 s" in capfd.readouterr().out.splitlines()


# --- what is recorded -------------------------------------------------------------------------------------------------


def test_every_outcome_is_a_line_as_soon_as_it_is_known(tmp_path: Path) -> None:
    (tmp_path / "test_all.py").write_text(
        textwrap.dedent("""
        import pytest
        @pytest.fixture
        def bad(): raise RuntimeError("no set-up")
        @pytest.fixture
        def late():
            yield
            raise RuntimeError("no end")
        def test_set_up(bad): pass
        def test_end(late): pass
        def test_skip(): pytest.skip("why not")
        @pytest.mark.xfail(reason="known")
        def test_expected(): assert False
        def test_fine():
            for n in range(30): print(f"figure {n}", "x" * 500)
        """)
    )
    record = tmp_path / "record.jsonl"
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "lab.accept.recorder",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        str(tmp_path / "test_all.py"),
    ]
    subprocess.run(
        argv,
        cwd=PROJECT,
        env={**os.environ, recorder.VARIABLE: str(record), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        check=False,
        capture_output=True,
    )
    found = {line["test"].split("::")[-1]: line for line in results.recorded(record) if "outcome" in line}
    assert {name: line["outcome"] for name, line in found.items()} == {
        "test_set_up": "failed", "test_end": "failed", "test_skip": "skipped", "test_expected": "skipped", "test_fine": "passed",
    }  # fmt: skip
    assert found["test_set_up"]["reason"] == "setup: RuntimeError: no set-up"
    assert found["test_skip"]["reason"] == "why not"
    assert found["test_expected"]["reason"].startswith("expected to fail")
    assert [len(line) for line in found["test_fine"]["printed"]] == [recorder.WIDEST] * recorder.MOST_LINES
    assert found["test_end"]["printed"] == []
    assert results.recorded(record)[0] == {"collected": 5}
    with record.open("a") as file:
        file.write('{"test": "cut o')
    assert results.recorded(record)[-1] == {"exit": 1}


# --- memory -----------------------------------------------------------------------------------------------------------


def test_the_watch_comes_back_when_the_connection_breaks(tmp_path: Path) -> None:
    """Each connection tells one figure and breaks, the second at once and without a word."""
    script = tmp_path / "ssh"
    script.write_text(
        textwrap.dedent(f"""\
        #!/bin/sh
        cat >/dev/null
        n=$(($(cat {tmp_path}/n 2>/dev/null || echo 0) + 1)); echo $n >{tmp_path}/n
        [ $n = 2 ] && exit 255
        echo "{{\\"twenty-server-1\\": [${{n}}000000, 8000000, $n, false], \\"bare-redis-1\\": [5, 0, 0, false]}}"
        echo 'half a li'
        """)
    )
    script.chmod(0o755)
    with Watch([str(script)], rest=0.01) as watch:
        wait_until(lambda: watch.samples >= 3, 20, "no third sample")
    assert watch.gaps >= 3
    found = watch.memory()
    assert found["server"].peak >= 4_000_000
    assert found["server"].limit == 8_000_000
    assert found["server"].restarts >= 3, "counted from the begin of the suite"
    assert found["bare-redis-1"].limit == 0


def test_a_watch_that_never_connects_does_not_hold_anybody_up() -> None:
    began = time.monotonic()
    with Watch(["/no/such/program"], rest=0.01, first=0.1) as watch:
        wait_until(lambda: watch.gaps > 1, 10, "it did not try again")
    assert time.monotonic() - began < 5
    assert results.memory(watch.memory()) == "not seen"


@pytest.mark.parametrize("version", [1, 2])
def test_the_watching_program_reads_both_kinds_of_control_groups(tmp_path: Path, version: int) -> None:
    container = "c" * 64
    docker = tmp_path / "var/lib/docker/containers" / container
    docker.mkdir(parents=True)
    told = {"Name": "/twenty-server-1", "RestartCount": 2, "State": {"OOMKilled": True}}
    (docker / "config.v2.json").write_text(json.dumps(told))
    groups = (
        tmp_path / "sys/fs/cgroup" / (f"memory/docker/{container}" if version == 1 else f"system.slice/docker-{container}.scope")
    )
    groups.mkdir(parents=True)
    names = ("memory.usage_in_bytes", "memory.limit_in_bytes") if version == 1 else ("memory.current", "memory.max")
    for name, value in zip(names, (1000, 2000), strict=True):
        (groups / name).write_text(f"{value}\n")
    (groups / "memory.stat").write_text("anon 1\ninactive_file 300\n" + ("total_inactive_file 300\n" if version == 1 else ""))
    text = WATCH.replace("/sys/fs", f"{tmp_path}/sys/fs").replace("/var/lib/docker", f"{tmp_path}/var/lib/docker")
    with subprocess.Popen([sys.executable, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(text)
        process.stdin.close()
        assert json.loads(process.stdout.readline()) == {"twenty-server-1": [700, 2000, 2, True]}
        process.kill()


def test_memory_in_words_has_the_fullest_first() -> None:
    found = {
        "caddy": Memory(peak=20 << 20, limit=96 << 20),
        "server": Memory(peak=1280 << 20, limit=1280 << 20, restarts=2, oom_killed=True),
        "bare-server-1": Memory(peak=1 << 20),
    }
    assert results.memory(found) == "server 1280/1280 (started again 2x, out of memory), caddy 20/96, bare-server-1 1"


# --- the ways to the server -------------------------------------------------------------------------------------------


@pytest.fixture
def page() -> Iterator[str]:
    """A little web server; ``host:port``."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_a_door_leads_to_the_container_that_is_there_now(tmp_path: Path, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``ssh`` is played by a program that connects its standard input and output to the address after -W."""
    monkeypatch.setattr("lab.accept.door.FRESH", 0.0)
    ssh = tmp_path / "ssh"
    ssh.write_text(
        f"#!{sys.executable}\n"
        "import os, socket, sys, threading\n"
        "host, _, port = sys.argv[sys.argv.index('-W') + 1].partition(':')\n"
        "there = socket.create_connection((host, int(port)), timeout=5)\n"
        "there.settimeout(None)\n"
        "def pump(read, write, end):\n"
        "    while data := read(65536): write(data)\n"
        "    end()\n"
        "threading.Thread(target=pump, args=(lambda n: os.read(0, n), there.sendall, lambda: there.shutdown(1)), daemon=True).start()\n"
        "pump(there.recv, lambda data: os.write(1, data), lambda: None)\n"
    )
    ssh.chmod(0o755)
    targets = [page]
    door = Door([str(ssh), "droplet"], lambda: targets[-1], tmp_path / "control")
    try:
        with httpx.Client(base_url=f"http://{door.address}", trust_env=False, timeout=10) as client:
            assert [client.get("/").text for _ in range(3)] == ["ok"] * 3
        targets.append("")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://{door.address}", trust_env=False, timeout=10)
        targets.append(page)
        assert httpx.get(f"http://{door.address}", trust_env=False, timeout=10).text == "ok"
    finally:
        door.close()


def test_the_bare_server_keeps_the_releases_limits_and_loses_clerk_ports_and_names() -> None:
    from tests.unit.test_pure import IMAGES, SECRETS, settings

    release = yaml.safe_load(stack.compose_file(settings(), IMAGES, SECRETS))
    made = bare.compose(release)
    assert made["name"] == bare.PROJECT != release["name"]
    assert {"postgres", "server", "worker", "migrate"} <= set(made["services"])
    assert not [name for name in made["services"] if name.startswith(("caddy", "tenant-manager"))]
    for name, service in made["services"].items():
        assert "ports" not in service, name
        assert "labels" not in service, name
        assert service["mem_limit"] == release["services"][name]["mem_limit"]
        assert set(service.get("networks", [])) <= set(made["networks"])
        assert service.get("env_file", bare.HOME).startswith(bare.HOME)
    named = {
        volume.partition(":")[0] for s in made["services"].values() for volume in s.get("volumes", []) if isinstance(volume, str)
    }
    assert {name for name in named if not name.startswith("/")} <= set(made["volumes"])


def test_variables_of_clerk_are_those_that_the_bare_server_does_not_get() -> None:
    import re

    from tests.unit.test_pure import SECRETS, settings

    server = stack.env_files(settings(), SECRETS)["server"]
    gone = {name for name in server if re.match(bare.CLERKS, name)}
    assert {"NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY", "CLERK_SECRET_KEY", "TWENTYOPS_INTERNAL_SECRET"} <= gone
    assert {"APP_SECRET", "PG_DATABASE_URL", "REDIS_URL"} <= set(server) - gone


def test_the_queues_address_leads_through_a_door_with_its_login() -> None:
    assert bare.through("redis://redis:6379", "127.0.0.1:7") == "redis://127.0.0.1:7"
    assert bare.through("redis://:p%40ss@queue:6379/1", "127.0.0.1:7") == "redis://:p%40ss@127.0.0.1:7/1"


def test_what_does_not_run_well_is_named() -> None:
    well = "".join(f"{name} Up 2 minutes (healthy)\n" for name in stack.SERVICES)
    assert place.tampered(well) == []
    ill = well.replace("server Up 2 minutes (healthy)\n", "server Up 2 minutes (unhealthy)\n", 1).replace(
        "caddy Up 2 minutes (healthy)\n", ""
    )
    assert place.tampered(ill) == ["server: Up 2 minutes (unhealthy)", "caddy: not there"]


# --- what is refused, and the table of suites -------------------------------------------------------------------------


def test_the_standin_and_sizes_of_the_callers_own_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="TWENTY_SOURCE=DIR make accept"):
        place.check_source("")
    with pytest.raises(LabError, match="stand-in"):
        place.check_source(str(PROJECT / "lab/standin"))
    place.check_source(str(tmp_path))
    with pytest.raises(LabError, match="SERVER_MEMORY_MB"):
        place.check_sizes({"SERVER_MEMORY_MB": "4096"})
    place.check_sizes({})


def test_an_unknown_suite_is_refused_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="browser"):
        by_name(["brwoser"])
    assert [suite.name for suite in by_name(["tenants", "smoke"])] == ["smoke", "tenants"]
    assert by_name([]) == SUITES


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_each_suite_is_whole(suite: Suite, tmp_path: Path) -> None:
    from twentyops.settings import NAMES

    assert bool(suite.sizes) == bool(suite.why_larger)
    assert set(suite.sizes) | set(suite.settings({}, "10.77.9.1")) <= set(NAMES)
    argv = run.command(suite, FakePlace(tmp_path))
    assert all(isinstance(word, str) for word in argv)
    environ = run.environment(suite, FakePlace(tmp_path), tmp_path / "record")
    assert environ[recorder.VARIABLE] == str(tmp_path / "record")
    assert suite.deploys or not set(environ) & set(NAMES)
    for test in (*suite.left_out, *suite.tests):
        file, _, name = test.partition("::")
        if (PROJECT / file).exists() and name:
            assert f"def {name}(" in (PROJECT / file).read_text(), test
    assert run.describe([suite])[0].startswith(suite.name)


def test_names_of_suites_are_their_files_names() -> None:
    names = [suite.name for suite in SUITES]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalnum() for name in names)


def test_a_checkout_that_deploys_otherwise_is_another_release(tmp_path: Path) -> None:
    for part in ("deploy.py", "tasks/a.py", "docs/a.md"):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        (tmp_path / part).write_text("1")
    first = place.code_hash(tmp_path)
    (tmp_path / "docs/a.md").write_text("2")
    assert place.code_hash(tmp_path) == first
    (tmp_path / "tasks/a.py").write_text("2")
    assert place.code_hash(tmp_path) != first


def test_the_lab_of_another_checkout_is_opened_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OTHER_PROJECT, str(tmp_path))
    with pytest.raises(LabError) as refused:
        Lab.open("nothing", quiet)
    assert str(Identity("nothing", tmp_path).state_dir) in str(refused.value)
    with pytest.raises(LabError) as refused:
        Lab.open("nothing", quiet, PROJECT)
    assert str(tmp_path) not in str(refused.value)


# --- images that survive the lab --------------------------------------------------------------------------------------


class Storage:
    """A registry's storage on the disk, written as the registry writes it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def blob(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        file = self.directory / kept.ROOT / "blobs/sha256" / digest[:2] / digest / "data"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return f"sha256:{digest}"

    def image(self, repository: str, tag: str, *layers: bytes) -> str:
        document = {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"digest": self.blob(b"{}")},
            "layers": [{"digest": self.blob(layer)} for layer in layers],
        }
        return self.tagged(repository, tag, document)

    def tagged(self, repository: str, tag: str, document: dict[str, Any]) -> str:
        digest = self.blob(json.dumps(document).encode())
        link = self.directory / kept.ROOT / "repositories" / repository / "_manifests/tags" / tag / "current/link"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.write_text(digest)
        return digest


def image(tag: str) -> Image:
    return Image("an image", "10.77.0.1:5000/ours/crm", tag, tag * 2, lambda: Path(), "Dockerfile", dict)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_built_image_and_its_build_cache_are_laid_into_the_next_registry(tmp_path: Path, cache: Path) -> None:
    first, next_one = Storage(tmp_path / "first"), tmp_path / "next"
    digest = first.image("ours/crm", "t1", b"layer one", b"layer two")
    cached = {"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [{"digest": first.blob(b"x"), "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}]}  # fmt: skip
    first.tagged("ours/crm", "buildcache", cached)
    first.image("ours/crm", "other", b"of another tree")
    assert len(kept.keep(first.directory, [image("t1")])) == 2
    assert kept.keep(first.directory, [image("t1")]) == [], "what is kept already costs nothing"
    import shutil

    shutil.rmtree(first.directory)
    assert len(kept.restore(next_one, [image("t1")])) == 2
    assert kept.restore(next_one, [image("t1")]) == []
    assert kept._tag(next_one, "ours/crm", "t1") == digest
    assert kept._tag(next_one, "ours/crm", "buildcache")
    assert kept._tag(next_one, "ours/crm", "other") == ""
    blobs = [file.read_bytes() for file in (next_one / kept.ROOT / "blobs").rglob("data")]
    assert {b"layer one", b"layer two", b"x"} <= set(blobs)


def test_what_is_incomplete_is_not_taken_for_an_image(tmp_path: Path, cache: Path) -> None:
    first = Storage(tmp_path / "first")
    first.image("ours/crm", "t1", b"layer one")
    next((first.directory / kept.ROOT / "blobs").rglob("data")).unlink()
    assert kept.keep(first.directory, [image("t1")]) == []
    assert kept.restore(tmp_path / "next", [image("t1")]) == []


def test_only_the_last_trees_are_kept(tmp_path: Path, cache: Path) -> None:
    first = Storage(tmp_path / "first")
    for number in range(kept.TREES + 3):
        first.image("ours/crm", f"t{number}", b"%d" % number)
        kept.keep(first.directory, [image(f"t{number}")])
        os.utime(kept.shelf() / f"t{number}", (number, number))
    left = sorted(path.name for path in kept.shelf().iterdir())
    assert f"t{kept.TREES + 2}" in left
    assert "t0" not in left
    assert len(left) <= kept.TREES + 1


def test_a_kept_image_outlives_what_the_registry_writes_later(tmp_path: Path, cache: Path) -> None:
    """The registry writes its link files in place; the shelf has its own."""
    first = Storage(tmp_path / "first")
    digest = first.image("ours/crm", "t1", b"one")
    kept.keep(first.directory, [image("t1")])
    first.image("ours/crm", "t1", b"two")
    assert kept._tag(kept.shelf() / "t1", "ours/crm", "t1") == digest


# --- judging ----------------------------------------------------------------------------------------------------------


def result(**more: Any) -> Result:
    return Result(**{"suite": "s", "release": "r", "tests": "t", "ended": True, "exit_code": 0, "passed": 1, **more})


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (result(), True),
        (result(skipped=[Case(test="a::test_allowed", reason="x")]), True),
        (result(skipped=[Case(test="a::test_allowed"), Case(test="a::test_other")]), False),
        (result(failed=[Case(test="a::test_x")], exit_code=1), False),
        (result(passed=0), False),
        (result(passed=0, skipped=[Case(test="a::test_allowed")]), False),
        (result(ended=False, exit_code=None), False),
        (result(exit_code=3), False),
        (result(exit_code=2), False),
        (None, False),
    ],
)
def test_only_a_whole_run_without_failures_and_unexpected_skips_is_shown(found: Result | None, shown: bool) -> None:
    suite = Suite("s", "about", ("tests/smoke",), allowed=(Allowed("test_allowed", "because"),))
    assert bool(results.problems(suite, found)) is not shown


def test_a_shelf_is_of_one_release(tmp_path: Path) -> None:
    suite = Suite("s", "about", ("tests/smoke",))
    Shelf(tmp_path, "r").save(suite, result(tests=suite.fingerprint()))
    assert Shelf(tmp_path, "r").load(suite)
    assert Shelf(tmp_path, "q").load(suite) is None
    assert (tmp_path / "r" / "s.json").stat().st_mode & 0o777 == 0o600


def test_long_lists_of_failures_end_with_their_number() -> None:
    suite = Suite("s", "about", ("tests/smoke",))
    many = [Case(test=f"test_{n}", reason="no") for n in range(results.MANY + 5)]
    told = results.table([(suite, result(failed=many, exit_code=1))])
    assert "  failed: and 5 more, see the log" in told


# --- what must not look like a pass ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({"exit_code": 1}, "pytest ended with 1, and no failure was recorded"),
        ({"process_exit": 139}, "pytest's process ended with 139, its record says 0"),
        ({"collected": 3, "outcomes": 1}, "2 of 3 collected tests have no outcome"),
        ({"memory": {"server": Memory(peak=1, oom_killed=True)}}, "the kernel killed in server for memory"),
        ({"memory": {"worker": Memory(peak=1, restarts=2)}}, "worker was restarted 2x"),
        ({"edited": "the code that deploys was edited while it ran"}, "the code that deploys was edited while it ran"),
    ],
)
def test_a_run_that_contradicts_itself_or_lost_a_container_is_not_ok(found: dict[str, Any], why: str) -> None:
    suite = Suite("s", "about", ("tests/smoke",))
    assert results.problems(suite, result()) == []
    assert results.problems(suite, result(**found)) == [why]


def test_a_suite_that_changes_the_deployment_may_restart_containers() -> None:
    suite = Suite("s", "about", ("tests/burst",), deploys=True)
    assert results.problems(suite, result(memory={"server": Memory(peak=1, restarts=1, oom_killed=True)})) == []


def test_collected_tests_are_compared_without_files_that_could_not_be_collected() -> None:
    lines: list[dict[str, Any]] = [
        {"test": "tests/a.py", "outcome": "failed", "reason": "no module", "collecting": True},
        {"collected": 2},
        {"test": "tests/b.py::test_one", "outcome": "passed"},
        {"test": "tests/b.py::test_two", "outcome": "skipped"},
        {"exit": 1},
    ]
    found = Result(suite="s", release="r", tests="t").read(lines)
    assert (found.collected, found.outcomes, len(found.failed)) == (2, 2, 1)


def test_a_pytest_that_dies_after_its_record_is_not_ok(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    """A crash while Python ends: the record is whole by then."""
    crash = "import atexit\npassed('test_one'); atexit.register(os._exit, 7)"
    assert house.accept(house.suite("crash", crash)) == 1
    assert "pytest's process ended with 7, its record says 0" in capfd.readouterr().out


def test_a_kill_before_the_watch_is_none_of_the_suites() -> None:
    watch = no_watch()
    watch._take({"twenty-server-1": (1, 2, 3, True), "twenty-worker-1": (1, 2, 0, False)})
    watch._take({"twenty-server-1": (1, 2, 3, True), "twenty-worker-1": (1, 2, 0, True)})
    assert {name: told.oom_killed for name, told in watch.memory().items()} == {"server": False, "worker": True}


def test_containers_of_one_service_are_counted_together() -> None:
    watch = no_watch()
    watch._take({"twenty-server-1": (9, 9, 0, False), "twenty-server-2": (1, 9, 0, False)})
    watch._take({"twenty-server-1": (9, 9, 0, False), "twenty-server-2": (1, 9, 2, True)})
    assert watch.memory() == {"server": Memory(peak=9, limit=9, restarts=2, oom_killed=True)}


@pytest.mark.parametrize("file", ["tests/tenants/conftest.py", "lab/clerk/app.py", "tests/clerk/pure.ts", "lab/accept/suites.py"])
def test_what_a_suite_imports_from_elsewhere_belongs_to_its_tests(house: House, tmp_path: Path, file: str) -> None:
    suite = house.suite("one", PASSING)
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("1")
    before = suite.fingerprint()
    (tmp_path / file).write_text("2")
    assert suite.fingerprint() != before


def test_an_edit_while_a_suite_runs_is_not_kept_under_the_old_release(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    one = house.suite("one", PASSING)
    house.place.edit = "the code that deploys was edited while it ran"
    assert house.accept(one) == 1
    assert "the code that deploys was edited while it ran" in capfd.readouterr().out
    house.place.edit = ""
    assert house.accept(one) == 0
    assert house.place.had == ["one"], "the first result was not kept"
    itself = house.suite("itself", f"{PASSING}; pathlib.Path(sys.argv[1]).open('a').write('# edited')")
    assert house.accept(itself) == 1
    assert "its tests were edited while it ran" in capfd.readouterr().out


def test_no_deploy_of_an_edited_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = deployment(monkeypatch, code="a" * 64)
    monkeypatch.setattr(place, "code_hash", lambda: "b" * 64)
    assert "edited" in there.edited()
    with pytest.raises(place.DeployFailed, match="edited"):
        there._deploy({})


def deployment(monkeypatch: pytest.MonkeyPatch, *, code: str = "", as_it_is: bool = False) -> place.Deployment:
    """A deployment of which only a part is there; no lab."""
    made = object.__new__(place.Deployment)
    made.as_it_is, made.say, made.plan, made.release = as_it_is, quiet, None, "r"
    made._code, made._bare, made._bare_begun, made._doors = code, None, False, {}
    made._sockets = place.tempfile.TemporaryDirectory(prefix="accept-test-")
    monkeypatch.setattr(made, "run", lambda *_, **__: "", raising=False)
    monkeypatch.setattr(made, "lab", type("Lab", (), {"identity": Identity("nothing", Path("/tmp"))})(), raising=False)
    return made


def test_a_second_server_that_began_is_removed_whatever_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[str] = []

    def fails(*_: object) -> dict[str, str]:
        raise LabError("no migration")

    monkeypatch.setattr(bare, "start", fails)
    monkeypatch.setattr(bare, "stop", lambda _run: stopped.append("stopped"))
    for end in ("put_away", "close"):
        there = deployment(monkeypatch)
        with pytest.raises(LabError, match="no migration"):
            there.bare()
        getattr(there, end)()
        getattr(there, end)()
        assert stopped == ["stopped"], end
        stopped.clear()


def test_no_second_server_in_the_lab_of_another_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bare, "start", lambda *_: pytest.fail("it was started"))
    there = deployment(monkeypatch, as_it_is=True)
    with pytest.raises(LabError, match="second server"):
        there.bare()
    there.close()


def test_what_a_suite_needed_is_put_away_although_its_options_fail(house: House) -> None:
    def options(_place: Any) -> list[str]:
        raise LabError("no second server")

    assert house.accept(house.suite("one", PASSING, options=options)) == 1
    assert house.place.away == 1


# --- nothing is left running ------------------------------------------------------------------------------------------

STUBBORN = """
import os, pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "600"])
here = pathlib.Path(sys.argv[1])
here.with_suffix(".new").write_text(f"{os.getpid()} {child.pid}")
here.with_suffix(".new").rename(here)
if "end" in sys.argv: sys.exit(3)
print("line", flush=True)
time.sleep(600)
"""


def running(pid: int) -> bool:
    from lab import process

    return process.alive(pid)


def stubborn(tmp_path: Path, *words: str) -> tuple[list[str], Path]:
    script, pids = tmp_path / "stubborn.py", tmp_path / "pids"
    script.write_text(STUBBORN)
    return [sys.executable, "-I", "-S", str(script), str(pids), *words], pids


def interrupted(pids: Path, signals: list[signal.Signals]) -> threading.Thread:
    def act() -> None:
        wait_until(pids.exists, 60, "it did not start")
        for number in signals:
            time.sleep(0.5)
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=act)
    thread.start()
    return thread


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGHUP], [signal.SIGINT], [signal.SIGINT, signal.SIGINT]])
def test_an_interrupted_suite_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: list[signal.Signals]
) -> None:
    """pytest does not end by itself, and has a child of its own; a second Ctrl-C waits for nobody."""
    monkeypatch.setattr(run, "ENDS_WITHIN", 1.0 if len(signals) == 1 else 60.0)
    argv, pids = stubborn(tmp_path)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run.catch_signals()
    thread = interrupted(pids, signals)
    began = time.monotonic()
    try:
        with pytest.raises((KeyboardInterrupt, run.Interrupted)):
            run._stream(argv, dict(os.environ), tmp_path / "log")
    finally:
        thread.join()
        for number, handler in before.items():
            signal.signal(number, handler)
    assert time.monotonic() - began < 30
    wait_until(lambda: not any(running(int(pid)) for pid in pids.read_text().split()), 10, "a process is left")


def test_a_suite_that_ends_takes_its_children_along_and_its_exit_code_is_told(tmp_path: Path) -> None:
    argv, pids = stubborn(tmp_path, "end")
    argv = ["sh", "-c", '"$@" > /dev/null 2>&1', "sh", *argv]  # the child holds no pipe of ours
    assert run._stream(argv, dict(os.environ), tmp_path / "log") == 3
    wait_until(lambda: not any(running(int(pid)) for pid in pids.read_text().split()), 10, "a process is left")


def test_who_ignores_a_closed_terminal_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
        run.catch_signals()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is run._as_interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_logs_and_records_are_for_their_owner_alone(house: House) -> None:
    one = house.suite("one", PASSING)
    shelf = house.place.directory / "r1"
    shelf.mkdir(parents=True)
    (shelf / "one.log").touch(mode=0o644)
    assert house.accept(one) == 0
    assert {file.name: file.stat().st_mode & 0o777 for file in shelf.iterdir()} == dict.fromkeys(
        ("one.json", "one.jsonl", "one.log"), 0o600
    )


PYINFRA = """#!{python}
import os, pathlib, signal, sys, time
here = pathlib.Path(__file__)
def give_back(*_):
    os.write(1, b"--> Disconnecting from hosts...")
    time.sleep(0.5)
    here.with_name("lock").unlink()
    sys.exit(0)
signal.signal(signal.SIGINT, give_back)
here.with_name("lock").touch()
print("--> Starting operation: Lock | Take", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("stopped", [run.Interrupted, KeyboardInterrupt])
def test_a_deploy_that_is_stopped_gives_its_lock_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: type[BaseException]
) -> None:
    """pyinfra gives the lock back after SIGINT; SIGTERM would kill it at once. A terminal's Ctrl-C reaches it without us."""
    pyinfra = tmp_path / "pyinfra"
    pyinfra.write_text(PYINFRA.replace("{python}", f"{sys.executable} -IS"))
    pyinfra.chmod(0o755)
    monkeypatch.setattr(rehearse.settings, "write", lambda _lab, **_changes: tmp_path / "settings")
    monkeypatch.setattr(rehearse, "TOLD_WITHIN", 0.2)

    def line(_self: object, _text: str, _now: float) -> None:
        assert (tmp_path / "lock").exists()
        raise stopped

    monkeypatch.setattr(rehearse.Phases, "line", line)
    python = sys.executable
    try:
        sys.executable = str(tmp_path / "python")
        with pytest.raises(stopped):
            rehearse.deploy(type("NoLab", (), {"machines": {}})())
    finally:
        sys.executable = python
    assert not (tmp_path / "lock").exists()


# --- burst ------------------------------------------------------------------------------------------------------------


def test_burst_has_room_for_twelve_and_few_enough_places_to_fill_them_all() -> None:
    """tests/burst/test_lab.py needs 12 places beside its own tenant, and fills every place that is left only up to 14."""
    (burst,) = by_name(["burst"])
    places = int(burst.settings({}, "10.77.9.1")["MAX_TENANTS"])
    assert 12 <= places - 1 <= 14


Anything = Callable[..., Any]


# --- upstream's own tests ---------------------------------------------------------------------------------------------


def test_test_files_beside_and_importing_what_is_touched_are_found(tmp_path: Path) -> None:
    files = {
        "packages/twenty-server/src/auth/auth.service.ts": "",
        "packages/twenty-server/src/auth/auth.service.spec.ts": "import { AuthService } from './auth.service';",
        "packages/twenty-server/src/auth/__tests__/other.spec.ts": "import x from '../auth.service';",
        "packages/twenty-server/src/user/user.spec.ts": "import {\n  A,\n} from 'src/auth/auth.service';",
        "packages/twenty-server/src/user/far.spec.ts": "import { A } from 'src/auth/auth.service.helper';",
        "packages/twenty-server/src/user/mock.spec.ts": "jest.mock('src/auth/auth.service');",
        "packages/twenty-server/src/user/no-test.ts": "import { A } from 'src/auth/auth.service';",
        "packages/twenty-front/src/modules/auth/hooks/useAuth.ts": "",
        "packages/twenty-front/src/modules/auth/hooks/__tests__/useAuth.test.tsx": "",
        "packages/twenty-front/src/pages/__tests__/a.test.tsx": "import { useAuth } from '@/auth/hooks/useAuth';",
        "packages/twenty-front/src/pages/__tests__/b.test.tsx": "import { useAuth } from '@/auth/hooks/useAuthor';",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    touched = ["packages/twenty-server/src/auth/auth.service.ts", "packages/twenty-front/src/modules/auth/hooks/useAuth.ts"]
    found = upstream.specs(tmp_path, touched)
    assert {name: [Path(test).name for test in tests] for name, tests in found.items()} == {
        "twenty-server": ["other.spec.ts", "auth.service.spec.ts", "mock.spec.ts", "user.spec.ts"],
        "twenty-front": ["useAuth.test.tsx", "a.test.tsx"],
    }


def test_jests_answers_are_read_file_by_file(tmp_path: Path) -> None:
    good, bad = ({"status": status, "fullName": f"It {status}"} for status in ("passed", "failed"))
    told = [
        {
            "name": "/app/packages/twenty-server/src/a.spec.ts",
            "status": "passed",
            "message": "",
            "assertionResults": [good, good],
        },
        {
            "name": "/app/packages/twenty-server/src/b.spec.ts",
            "status": "failed",
            "message": "no",
            "assertionResults": [good, bad],
        },
        {"name": "/app/packages/twenty-server/src/c.spec.ts", "status": "failed", "message": "no module", "assertionResults": []},
    ]
    (tmp_path / "twenty-server.json").write_text(json.dumps({"testResults": told}))
    assert upstream.read(tmp_path) == {
        "packages/twenty-server/src/a.spec.ts": upstream.Answer(2, (), ""),
        "packages/twenty-server/src/b.spec.ts": upstream.Answer(1, ("It failed",), "no"),
        "packages/twenty-server/src/c.spec.ts": upstream.Answer(0, (), "no module"),
    }


def test_the_stages_that_run_them_stand_after_upstreams_own() -> None:
    text = upstream.dockerfile("FROM node AS common-deps\n", {"twenty-server": ["packages/twenty-server/src/a b.spec.ts"]})
    assert text.index("AS common-deps") < text.index("AS upstream-tests") < text.index("AS upstream-results")
    assert "--runTestsByPath 'src/a b.spec.ts'" in text


def test_a_jest_that_could_not_run_fails_and_one_whose_tests_failed_does_not(tmp_path: Path) -> None:
    (tmp_path / "packages/p").mkdir(parents=True)
    jest = tmp_path / "node_modules/.bin/jest"
    jest.parent.mkdir(parents=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "node").write_text('#!/bin/sh\nexec sh "$@"\n')
    (programs / "node").chmod(0o755)
    for text, code in (("exit 1", 1), ("for a; do case $a in --outputFile=*) echo {} >${a#*=};; esac; done; exit 1", 0)):
        jest.write_text(text)
        done = subprocess.run(
            ["sh", "-c", upstream.jest("p", ["packages/p/a.spec.ts"], str(tmp_path / "out.json"))],
            cwd=tmp_path, env={"PATH": f"{programs}:{os.environ['PATH']}"}, check=False,
        )  # fmt: skip
        assert done.returncode == code
