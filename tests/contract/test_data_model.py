"""migrate-schema.ts, as it is shipped, against the stand-in over the metadata API; and its pure part by Node's own test runner."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

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


@dataclass
class Cli:
    """One stand-in with one active workspace, and the shipped command in its tree."""

    standin: Standin
    workspace: str
    admin: Api

    def run(self, *arguments: str, **changes: str | None) -> tuple[int, Any, str]:
        """Exit code, the report of ``--json``, what was said meanwhile."""
        done = self.standin.run("node", "scripts/migrate-schema.cjs", *arguments, "--json", timeout=120, changes=changes)
        return done.returncode, json.loads(done.stdout or "null"), done.stderr

    def one(self, mode: str) -> tuple[int, Any]:
        code, report, said = self.run(mode)
        assert report is not None, said
        assert len(report["workspaces"]) == 1, said
        return code, report["workspaces"][0]

    def start(self) -> Program:
        return self.standin.start("apply", "node", "scripts/migrate-schema.cjs", "apply")

    def custom_fields(self) -> int:
        return int(self.standin.psql('select count(*) from core."fieldMetadata" where "isCustom"'))

    def objects(self) -> dict[str, Any]:
        return {edge["node"]["nameSingular"]: edge["node"] for edge in self.admin.metadata(q.OBJECTS).ok()["objects"]["edges"]}

    def field(self, object_name: str, name: str) -> Any:
        return next(f for f in self.objects()[object_name]["fieldsList"] if f["name"] == name)


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
def cli(local_services: Services, request: pytest.FixtureRequest) -> Iterator[Cli]:
    name = re.sub(r"\W", "-", request.node.name)[:60]
    with local_services.standin(f"model-{name}", migrated=True) as standin:
        server = standin.tree / SERVER
        sources = sorted(OVERLAY.glob("src/data-model/**/*.ts"))
        _esbuild(local_services, *sources, "--format=cjs", f"--outbase={OVERLAY}", f"--outdir={server}/dist")
        scripts = server / "scripts"
        scripts.mkdir(exist_ok=True)
        _esbuild(local_services, OVERLAY / "scripts/migrate-schema.ts", "--format=cjs", f"--outfile={scripts}/migrate-schema.cjs")
        shutil.copy2(data_model.BAKED, scripts / data_model.BAKED.name)
        standin.start_server()
        with httpx.Client(base_url=standin.url, timeout=30) as http:
            workspace, admin = _sign_up(standin, http)
            yield Cli(standin, workspace, admin)


def test_fresh_workspace_then_nothing_left_to_do(cli: Cli) -> None:
    code, report = cli.one("verify")
    assert (code, report["status"], report["workspaceId"]) == (1, "differs", cli.workspace)
    assert cli.one("plan")[0] == 1
    code, report = cli.one("apply")
    assert (code, report["status"], report["present"]) == (0, "matched", ALL), report
    assert report["written"] == {"objects": 7, "fields": 136, "relations": 6, "changes": 1}
    code, report = cli.one("apply")
    assert (code, report["written"]) == (0, {"objects": 0, "fields": 0, "relations": 0, "changes": 0})
    code, whole, _ = cli.run("verify")
    assert (code, whole["matched"], whole["model"]) == (0, True, data_model.fingerprint(data_model.load()))
    shown = cli.standin.run("node", "scripts/migrate-schema.cjs", "verify", timeout=60)
    assert "1 workspace(s) match the data model" in shown.stdout
    assert "7/112/25/6" in shown.stdout
    _every_field_can_be_read_and_defaults_hold(cli)


def _every_field_can_be_read_and_defaults_hold(cli: Cli) -> None:
    for o in data_model.load().objects:
        names = " ".join(f.name for f in o.fields)
        made = cli.admin.records(
            f"mutation {{ create{o.nameSingular[0].upper()}{o.nameSingular[1:]}(data: {{}}) {{ id {names} }} }}"
        ).ok()
        record = next(iter(made.values()))
        for f in o.fields:
            if f.default is not None:
                assert record[f.name] == f.default, f"{o.nameSingular}.{f.name}"
        cli.admin.records(f"{{ {o.namePlural} {{ edges {{ node {{ id {names} }} }} }} }}").ok()


def test_killed_at_ten_points_it_converges(cli: Cli) -> None:
    born = cli.custom_fields()
    points = sorted(random.Random(4).sample(range(born + 1, born + 145), 10))  # noqa: S311
    for point in points:
        program = cli.start()
        deadline = time.monotonic() + 60
        while cli.custom_fields() < point and program.process.poll() is None:
            assert time.monotonic() < deadline, program.tail()
            time.sleep(0.005)
        program.process.kill()
        program.process.wait()
    code, report = cli.one("apply")
    assert (code, report["status"], report["present"]) == (0, "matched", ALL), report


def test_two_at_once_write_each_thing_once(cli: Cli) -> None:
    both = [cli.start(), cli.start()]
    assert [program.process.wait(120) for program in both] == [0, 0], "\n".join(program.tail() for program in both)
    written = [re.search(r"matched\s+7/112/25/6\s+(\S+)", program.log.read_text()) for program in both]
    assert sorted(found[1] for found in written if found) == ["0/0/0/0", "7/136/6/1"]


def test_conflicting_type_stops_that_workspace_before_anything_is_written(cli: Cli) -> None:
    person = cli.objects()["person"]["id"]
    wanted = {"objectMetadataId": person, "type": "TEXT", "name": "totalSpent", "label": "Mine"}
    cli.admin.metadata(q.CREATE_FIELD, input={"field": wanted}).ok()
    before = cli.custom_fields()
    code, report = cli.one("apply")
    assert (code, report["status"], cli.custom_fields()) == (2, "conflict", before)
    assert report["conflicts"] == ["person.totalSpent: is TEXT here, the model says NUMBER"]


def test_outcome_that_a_start_began_is_kept_up_to_date_and_none_is_made(cli: Cli, tmp_path: Path) -> None:
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
    assert cli.run("apply", APP_SECRET=None, **where)[0] == 3
    assert state.read_text() == "failed 3: APP_SECRET is not set: run this inside the server's container\n"
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


def test_wrong_usage_and_missing_settings_are_said(cli: Cli) -> None:
    assert cli.run("mend")[0] == 64
    assert cli.run("verify", "--through", "prayer")[0] == 64
    code, report, said = cli.run("verify", "--workspace", "00000000-0000-4000-8000-000000000000")
    assert (code, report["matched"]) == (3, False)
    assert "no active workspace" in said
    code, _, said = cli.run("verify", APP_SECRET=None)
    assert (code, "APP_SECRET is not set" in said) == (3, True)


def test_server_that_comes_up_late_is_waited_for(cli: Cli) -> None:
    code, _, said = cli.run("verify", "--wait", "2", NODE_PORT="9")
    assert code == 3
    assert "is not healthy after 2 s" in said
