"""migrate-schema.ts, as it is shipped: against the stand-in's internal API, or against a real Twenty; its pure part by Node.

A real one: ``pytest tests/contract/test_data_model.py --twenty-url=http://HOST --twenty-shell='ssh HOST docker exec -i
twenty-server-1 sh'``; with ``--twenty-kill`` (a command that ends the server by SIGKILL and starts it anew) also what becomes of
work that is killed. Each test makes workspaces of its own there, and leaves them.
"""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import shlex
import shutil
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from lab.command import wait_until
from lab.twenty import Twenty
from tests import model_records
from tests.contract import api as q
from tests.contract.api import Api
from tests.contract.native import REPOSITORY, SERVER, Program, Services, Standin
from twentyops import data_model

OVERLAY = REPOSITORY / "files/twenty/overlay/packages/twenty-server"
SUITE = REPOSITORY / "tests/data_model/planning.test.ts"
DECORATORS = '--tsconfig-raw={"compilerOptions":{"experimentalDecorators":true}}'  # as the stand-in's own build
ALL = {"objects": 7, "objectFields": 112, "extendedFields": 25, "relations": 6}


def _esbuild(services: Services, *arguments: str | Path) -> None:
    done = subprocess.run(
        [services.tree / "node_modules/.bin/esbuild", *arguments, "--platform=node", "--target=node20", DECORATORS, "--log-level=warning"],
        env={**os.environ, "PATH": services.path}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_pure_planning(local_services: Services, tmp_path: Path) -> None:
    _esbuild(local_services, SUITE, "--bundle", "--format=esm", f"--outfile={tmp_path}/planning.test.mjs")
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", tmp_path / "planning.test.mjs"],
        env={**os.environ, "PATH": local_services.path, "TWENTYOPS_DATA_MODEL": str(data_model.BAKED)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.M)
    assert passed
    assert int(passed[1]) == SUITE.read_text().count("\ntest(")


NOTHING = {"objects": 0, "fields": 0, "relations": 0, "changes": 0, "views": 0}
EVERYTHING = {"objects": 7, "fields": 136, "relations": 6, "changes": 1}


@dataclass
class Cli(ABC):
    """The shipped command, one active workspace, and its administrator."""

    workspace: str
    admin: Api

    VIEWS: ClassVar[int]
    """First views that a fresh workspace gets there."""

    @abstractmethod
    def do(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command to its end; of workspaces it sees this one."""

    @abstractmethod
    def start(self, *arguments: str) -> Program:
        """The command as a process of its own."""

    def run(self, *arguments: str) -> tuple[int, Any, str]:
        """Exit code, the report of ``--json``, what was said meanwhile."""
        done = self.do(*arguments, "--json")
        return done.returncode, json.loads(done.stdout or "null"), done.stderr

    def one(self, mode: str, *arguments: str) -> tuple[int, Any]:
        code, report, said = self.run(mode, *arguments)
        assert report is not None, said
        assert len(report.get("workspaces", [])) == 1, f"{report} {said}"
        return code, report["workspaces"][0]

    def objects(self) -> dict[str, Any]:
        return {edge["node"]["nameSingular"]: edge["node"] for edge in self.admin.metadata(q.OBJECTS).ok()["objects"]["edges"]}

    def field(self, object_name: str, name: str) -> Any:
        return next(f for f in self.objects()[object_name]["fieldsList"] if f["name"] == name)

    def custom_fields(self) -> int:
        return sum(f["isCustom"] for o in self.objects().values() for f in o["fieldsList"])


@dataclass
class StandinCli(Cli):
    """In the tree of a stand-in of the test's own, which has this one workspace."""

    standin: Standin

    VIEWS = 0  # it keeps none

    def do(self, *arguments: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
        return self.standin.run("node", "scripts/migrate-schema.cjs", *arguments, timeout=120, changes=changes)

    def run(self, *arguments: str, **changes: str | None) -> tuple[int, Any, str]:
        done = self.do(*arguments, "--json", **changes)
        return done.returncode, json.loads(done.stdout or "null"), done.stderr

    def start(self, *arguments: str) -> Program:
        return self.standin.start("apply", "node", "scripts/migrate-schema.cjs", "apply", *arguments)

    def custom_fields(self) -> int:
        return int(self.standin.psql('select count(*) from core."fieldMetadata" where "isCustom"'))


@dataclass
class RunningCli(Cli):
    """Beside a real server, which has other workspaces too."""

    twenty: Twenty
    directory: Path

    VIEWS = 10

    def script(self, *arguments: str) -> str:
        return self.twenty.command(*arguments, "--workspace", self.workspace)

    def do(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.twenty.run(self.script(*arguments), through="process" if "process" in arguments else "")

    def start(self, *arguments: str, before: str = "") -> Program:
        shell = self.twenty.process_shell if "process" in arguments and self.twenty.process_shell else self.twenty.shell
        log = self.directory / f"apply-{len(list(self.directory.iterdir()))}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=sink, stderr=subprocess.STDOUT)
        assert process.stdin is not None
        process.stdin.write(f"{before}\n{self.script('apply', *arguments)}\n".encode())
        process.stdin.close()
        return Program("apply", process, log)


def _sign_up(standin: Standin, http: httpx.Client) -> tuple[str, Api]:
    api = Api(http)
    signed = api.metadata(q.SIGN_UP, email="owner@example.com", password="long-enough-1").ok()
    agnostic = signed["signUp"]["tokens"]["accessOrWorkspaceAgnosticToken"]["token"]
    made = api.with_token(agnostic).metadata(q.NEW_WORKSPACE).ok()["signUpInNewWorkspace"]

    def exchange() -> Api:
        answer = api.metadata(q.EXCHANGE, loginToken=made["loginToken"]["token"], origin=standin.url).ok()
        return api.with_token(answer["getAuthTokensFromLoginToken"]["tokens"]["accessOrWorkspaceAgnosticToken"]["token"])

    exchange().metadata(q.ACTIVATE, data={"displayName": "Model"}).ok()
    return made["workspace"]["id"], exchange()


@pytest.fixture
def standin_cli(local_services: Services, request: pytest.FixtureRequest) -> Iterator[StandinCli]:
    name = re.sub(r"\W", "-", request.node.name)[:60]
    with local_services.standin(f"model-{name}", migrated=True) as standin:
        server = standin.tree / SERVER
        sources = sorted(OVERLAY.glob("src/data-model/**/*.ts"))
        _esbuild(local_services, *sources, "--format=cjs", f"--outbase={OVERLAY}", f"--outdir={server}/dist")
        scripts = server / "scripts"
        scripts.mkdir(exist_ok=True)
        _esbuild(local_services, OVERLAY / "scripts/migrate-schema.ts", "--format=cjs", f"--outfile={scripts}/migrate-schema.cjs")
        shutil.copy2(data_model.BAKED, scripts / data_model.BAKED.name)
        standin.settings["TWENTYOPS_INTERNAL_SECRET"] = secrets.token_urlsafe(32)
        standin.start_server()
        with httpx.Client(base_url=standin.url, timeout=30) as http:
            workspace, admin = _sign_up(standin, http)
            yield StandinCli(workspace, admin, standin)


@pytest.fixture
def running_cli(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], RunningCli]]:
    """Gives the command beside the real server, each time for a new workspace."""
    option = request.config.getoption
    twenty = Twenty(tuple(shlex.split(option("--twenty-shell"))), tuple(shlex.split(option("--twenty-process-shell"))))
    with httpx.Client(base_url=option("--twenty-url"), timeout=60) as http:

        def make() -> RunningCli:
            tenant = twenty.tenant("Model")
            return RunningCli(tenant.workspace, Api(http, twenty.token(tenant)), twenty, tmp_path)

        yield make


@pytest.fixture
def cli(request: pytest.FixtureRequest) -> Cli:
    """On the real server where one is given, else on a stand-in."""
    if request.config.getoption("--twenty-shell"):
        make: Callable[[], RunningCli] = request.getfixturevalue("running_cli")
        return make()
    found: StandinCli = request.getfixturevalue("standin_cli")
    return found


def test_fresh_workspace_then_nothing_left_to_do(cli: Cli) -> None:
    code, report = cli.one("verify")
    assert (code, report["status"], report["workspaceId"]) == (1, "differs", cli.workspace)
    assert cli.one("plan")[0] == 1
    code, report = cli.one("apply")
    assert (code, report["status"], report["present"]) == (0, "matched", ALL), report
    assert report["written"] == {**EVERYTHING, "views": cli.VIEWS}
    code, report = cli.one("apply")
    assert (code, report["written"]) == (0, NOTHING)
    code, whole, _ = cli.run("verify")
    assert (code, whole["matched"], whole["model"]) == (0, True, data_model.fingerprint(data_model.load()))
    shown = cli.do("verify")
    assert "1 workspace(s) match the data model" in shown.stdout
    assert "7/112/25/6" in shown.stdout


def test_records_of_every_object_with_every_field_and_relations_from_both_sides(cli: Cli) -> None:
    assert cli.one("apply")[0] == 0

    def ask(query: str, **variables: Any) -> dict[str, Any]:
        return cli.admin.records(query, **variables).body

    made = model_records.make_one_of_each(ask)
    assert len(made) == 10
    model_records.read_all(ask, made)
    model_records.use_without_our_fields(ask)


def test_killed_at_ten_points_it_converges(standin_cli: StandinCli) -> None:
    cli = standin_cli
    born = cli.custom_fields()
    points = sorted(random.Random(4).sample(range(born + 1, born + 145), 10))  # noqa: S311
    for point in points:
        server = cli.standin.running[-1]
        program = cli.start()
        deadline = time.monotonic() + 60
        while cli.custom_fields() < point and program.process.poll() is None:
            assert time.monotonic() < deadline, program.tail()
            time.sleep(0.005)
        server.process.kill()
        server.process.wait()
        assert program.process.wait(60) == 3, program.tail()
        cli.standin.start_server()
    code, report = cli.one("apply")
    assert (code, report["status"], report["present"]) == (0, "matched", ALL), report


def test_two_at_once_write_each_thing_once(cli: Cli) -> None:
    both = [cli.start(), cli.start()]
    assert [program.process.wait(120) for program in both] == [0, 0], "\n".join(program.tail() for program in both)
    written = [re.search(r"matched\s+7/112/25/6\s+(\S+)", program.log.read_text()) for program in both]
    assert sorted(found[1] for found in written if found) == ["0/0/0/0/0", f"7/136/6/1/{cli.VIEWS}"]


def test_conflicting_type_stops_that_workspace_before_anything_is_written(cli: Cli) -> None:
    person = cli.objects()["person"]["id"]
    wanted = {"objectMetadataId": person, "type": "TEXT", "name": "totalSpent", "label": "Mine"}
    cli.admin.metadata(q.CREATE_FIELD, input={"field": wanted}).ok()
    before = cli.custom_fields()
    code, report = cli.one("apply")
    assert (code, report["status"], cli.custom_fields()) == (2, "conflict", before)
    assert report["conflicts"] == ["person.totalSpent: is TEXT here, the model says NUMBER"]


def test_outcome_that_a_start_began_is_kept_up_to_date_and_none_is_made(standin_cli: StandinCli, tmp_path: Path) -> None:
    cli = standin_cli
    state = tmp_path / "twentyops-data-model"
    where: dict[str, str | None] = {"TWENTYOPS_STATE_DIR": str(tmp_path)}
    assert cli.run("apply", **where)[0] == 0
    assert list(tmp_path.iterdir()) == []
    state.write_text("running since 2026-11-23T09:00:00Z\n")
    for only_asks in (["verify"], ["plan"], ["apply", "--workspace", cli.workspace]):
        cli.run(*only_asks, **where)
    assert state.read_text().startswith("running since")
    assert cli.run("apply", **where)[0] == 0
    assert state.read_text() == f"matched: 1 workspace(s), model {data_model.fingerprint(data_model.load())}\n"
    assert cli.run("apply", TWENTYOPS_INTERNAL_SECRET=None, **where)[0] == 3
    assert state.read_text() == "failed 3: TWENTYOPS_INTERNAL_SECRET is not set: run this inside the server's container\n"
    assert [file.name for file in tmp_path.iterdir()] == [state.name]


def test_changes_of_people_to_ours_are_put_right_and_theirs_stay(cli: Cli) -> None:
    assert cli.one("apply")[0] == 0
    product = cli.objects()["sallaProduct"]["id"]
    wanted = {"objectMetadataId": product, "type": "TEXT", "name": "shelf", "label": "Shelf"}
    cli.admin.metadata(q.CREATE_FIELD, input={"field": wanted}).ok()
    status = cli.field("sallaProduct", "status")
    ids = {o["value"]: o["id"] for o in status["options"]}
    options = [{**o, "label": f"{o['label']}!"} for o in status["options"]]
    options.append({"value": "LOST", "label": "Lost", "color": "gray", "position": 3})
    update = {"options": options, "defaultValue": "'LOST'", "label": "Mine"}
    mutation = "mutation ($input: UpdateOneFieldMetadataInput!) { updateOneField(input: $input) { id } }"
    cli.admin.metadata(mutation, input={"id": status["id"], "update": update}).ok()
    code, report = cli.one("apply")
    assert (code, report["written"]["changes"]) == (0, 1), report
    assert sorted(report["leftAlone"]) == ["sallaProduct.shelf (TEXT)", "sallaProduct.status option LOST"]
    after = cli.field("sallaProduct", "status")
    assert [o["label"] for o in after["options"]] == ["Active", "Draft", "Archived", "Lost"]
    assert {o["value"]: o["id"] for o in after["options"] if o["value"] in ids} == ids
    assert after["defaultValue"] == "'ACTIVE'"
    assert cli.field("sallaProduct", "shelf")["type"] == "TEXT"


def test_wrong_usage_and_missing_settings_are_said(standin_cli: StandinCli) -> None:
    cli = standin_cli
    assert cli.run("mend")[0] == 64
    assert cli.run("verify", "--through", "prayer")[0] == 64
    code, report, said = cli.run("verify", "--workspace", "00000000-0000-4000-8000-000000000000")
    assert (code, report["matched"]) == (3, False)
    assert "no active workspace" in said
    code, _, said = cli.run("verify", TWENTYOPS_INTERNAL_SECRET=None)
    assert (code, "TWENTYOPS_INTERNAL_SECRET is not set" in said) == (3, True)
    code, _, said = cli.run("verify", "--wait", "30", TWENTYOPS_INTERNAL_SECRET="another")
    assert (code, "the server answered 401" in said) == (3, True), "a refusal is not tried again"


def test_server_that_comes_up_late_is_waited_for(standin_cli: StandinCli) -> None:
    cli = standin_cli
    code, _, said = cli.run("verify", "--wait", "2", NODE_PORT="9")
    assert code == 3
    assert "is not healthy after 2 s" in said


def test_server_in_trouble_is_asked_again_at_its_start_and_only_then(standin_cli: StandinCli) -> None:
    answers = [500, 503, 200]
    asked: list[int] = []

    class InTrouble(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = 200
            if self.path == "/internal/data-model":
                status = answers[min(len(asked), len(answers) - 1)]
                asked.append(status)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"workspaces": []}')

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), InTrouble)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = str(server.server_address[1])
    try:
        code, _, said = standin_cli.run("apply", NODE_PORT=port)
        assert (code, asked) == (3, [500]), said
        asked.clear()
        code, report, said = standin_cli.run("apply", "--wait", "30", NODE_PORT=port)
        assert (code, asked, report["matched"]) == (0, [500, 503, 200], True), said
        assert "the server answered 500" in said
    finally:
        server.shutdown()
        server.server_close()


VIEWS = """query { getCoreViews { name type key objectMetadataId viewFields { id fieldMetadataId position isVisible }
  viewGroups { fieldValue position } viewSorts { fieldMetadataId direction } } }"""
HIDE = "mutation ($input: UpdateViewFieldInput!) { updateCoreViewField(input: $input) { id } }"


def _views(cli: Cli, object_name: str) -> dict[str, dict[str, Any]]:
    """``{type: view}`` of an object as a page asks for them, each with ``columns``: names of what it shows, in order."""
    asked = next(o for name, o in cli.objects().items() if name == object_name)
    names = {f["id"]: f["name"] for f in asked["fieldsList"]}
    found = {}
    for view in cli.admin.metadata(VIEWS).ok()["getCoreViews"]:
        if view["objectMetadataId"] == asked["id"]:
            shown = sorted((f for f in view["viewFields"] if f["isVisible"]), key=lambda f: f["position"])
            sorts = [(names[s["fieldMetadataId"]], s["direction"]) for s in view["viewSorts"]]
            found[view["type"]] = view | {"columns": [names[f["fieldMetadataId"]] for f in shown], "sorts": sorts, "names": names}
    return found


def test_first_views_are_as_the_model_says_and_belong_to_the_people_from_then_on(
    running_cli: Callable[[], RunningCli],
) -> None:
    cli = running_cli()
    assert cli.one("apply")[0] == 0
    model = data_model.load()
    for group in model.objects:
        assert group.firstView is not None
        views = _views(cli, group.nameSingular)
        assert views["TABLE"]["columns"] == ["name", *group.firstView.columns]
        if group.firstView.sort:
            assert views["TABLE"]["sorts"] == [(group.firstView.sort.field, "DESC")]
        assert ("KANBAN" in views) == (group.firstView.board is not None), group.nameSingular
        if group.firstView.board:
            wanted = next(f.options for f in group.fields if f.name == group.firstView.board) or []
            columns = sorted(views["KANBAN"]["viewGroups"], key=lambda column: column["position"])
            assert [column["fieldValue"] for column in columns] == [option.value for option in wanted]
    for extension in model.extends:
        assert extension.firstView is not None
        shown = _views(cli, extension.object)["TABLE"]["columns"]
        assert shown[: len(extension.firstView.columns) + 1] == ["name", *extension.firstView.columns]

    orders = _views(cli, "sallaOrder")["TABLE"]
    hidden = next(f["id"] for f in orders["viewFields"] if orders["names"][f["fieldMetadataId"]] == "total")
    cli.admin.metadata(HIDE, input={"id": hidden, "update": {"isVisible": False}}).ok()
    code, report = cli.one("apply")
    assert (code, report["written"]) == (0, NOTHING)
    assert "total" not in _views(cli, "sallaOrder")["TABLE"]["columns"]
    code, report = cli.one("apply", "--views")
    assert (code, report["written"]) == (0, {**NOTHING, "views": cli.VIEWS})
    again = _views(cli, "sallaOrder")
    assert again["TABLE"]["columns"] == orders["columns"]
    assert len(again) == 2, "no second board"


# --- killed on a real server: nothing is left that the next run does not put right ---------------------------------------

ENOUGH = 4  # kills of ten that must have left something half made, or nothing was shown


def _left_and_put_right(cli: RunningCli) -> str:
    """What a kill left in the workspace, as counts; then the workspace is as it should be."""
    wait_until(lambda: cli.twenty.run("true", 60).returncode == 0, 120, "nothing runs where the server ran")
    code, left = cli.one("verify", "--wait", "120")
    code, after = cli.one("apply")
    assert (code, after["status"], after["present"]) == (0, "matched", ALL), f"after {left['present']}: {after}"
    code, again = cli.one("apply")
    assert (code, again["written"]) == (0, NOTHING)
    print(f"left {left['status']} {'/'.join(map(str, left['present'].values()))}, put right in {after['seconds']:.1f} s")
    half_made = left["status"] == "differs" and any(left["present"].values())
    return "/".join(map(str, left["present"].values())) if half_made else ""


# Beside the command, in its own shell: it goes by what the command says that it writes, as no clock tells how long a boot takes.
KILLER = """exec 2>/tmp/twentyops-killed.log
( for _ in $(seq 3000); do grep -q '{begun}' /tmp/twentyops-killed.log && break; sleep 0.05; done
  sleep {after:.2f}; kill -9 $$ ) 2>/dev/null &"""
BEGUN = [*(f"object {number}/7" for number in range(1, 8)), "136 fields", "136 fields", "6 relations"]


def test_command_killed_at_ten_points_converges(running_cli: Callable[[], RunningCli]) -> None:
    chance = random.Random()  # noqa: S311
    left = []
    for begun in BEGUN:
        after = chance.uniform(0, 1.5 if "fields" in begun else 0.4)
        print(f"killed {after:.2f} s after '{begun}':", end=" ")
        cli = running_cli()
        program = cli.start("--through", "process", before=KILLER.format(begun=begun, after=after))
        program.process.wait(300)
        left.append(_left_and_put_right(cli))
    assert sum(map(bool, left)) >= ENOUGH, left


def test_server_killed_at_ten_points_converges(running_cli: Callable[[], RunningCli], pytestconfig: pytest.Config) -> None:
    began = time.monotonic()
    code, report = running_cli().one("apply", "--through", "server")
    last = time.monotonic() - began
    assert code == 0, report
    first = last - report["seconds"]
    chance = random.Random()  # noqa: S311
    left = []
    for tenth in reversed(range(10)):
        point = first + max(0.0, last - first) * (tenth + chance.random()) / 10
        print(f"killed after {point:.2f} s:", end=" ")
        cli = running_cli()
        program = cli.start("--through", "server")
        time.sleep(point)
        subprocess.run(pytestconfig.getoption("--twenty-kill"), shell=True, check=True, timeout=300)  # noqa: S602
        if program.process.wait(300) == 0:
            last = min(last, point)  # it was done by then: a quicker machine than a moment ago
        left.append(_left_and_put_right(cli))
    assert sum(map(bool, left)) >= ENOUGH, left
