"""The project's own patchset: it fits trees with Twenty's shape, and the migrate script keeps its promises."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.patchset.helpers import write_tree
from twentyops import data_model
from twentyops.patchset import MARKER, Patchset, apply, plan

HERE = Path(__file__).parents[2]
STANDIN = HERE / "lab" / "standin"
DOCKER = "packages/twenty-docker/twenty"

# Ours, in the shape of Twenty's: same paths, same stage, same entrypoint function.
MINI: dict[str, str] = {
    # what the stand-in leaves out is left out here too
    "package.json": json.dumps({"twentyops": json.loads((STANDIN / "package.json").read_text())["twentyops"]}),
    f"{DOCKER}/Dockerfile": (
        "FROM node:24-alpine AS common-deps\nRUN yarn && make\n\n"
        "FROM node:24-alpine AS twenty\n"
        f"COPY ./{DOCKER}/entrypoint.sh /app/entrypoint.sh\n"
        "RUN mkdir -p /app/.local-storage && \\\n    chown -R 1000:1000 /app\n"
        "ARG APP_VERSION\nUSER 1000\n"
        'CMD ["node", "dist/src/main"]\nENTRYPOINT ["/app/entrypoint.sh"]\n'
    ),
    f"{DOCKER}/entrypoint.sh*": (
        "#!/bin/sh\nset -e\n\n"
        "setup_and_migrate_db() {\n"
        '    [ "${DISABLE_DB_MIGRATIONS}" != true ] || return\n'
        "    yarn database:setup\n"
        "    yarn command:prod upgrade\n"
        '    echo "upgraded"\n'
        "}\n\nsetup_and_migrate_db\n\n"
        'exec "$@"\n'
    ),
}


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    write_tree(root / "source", {**MINI})
    apply(root / "source", root / "out")
    return root / "out"


def trees() -> list[object]:
    absent = pytest.mark.skipif(not STANDIN.joinpath(DOCKER).is_dir(), reason="the stand-in Twenty is not in this tree")
    real = os.environ.get("TWENTY_SOURCE", "")
    no_real = pytest.mark.skipif(not Path(real or "?").is_dir(), reason="TWENTY_SOURCE names no real Twenty checkout")
    return [pytest.param(STANDIN, marks=absent, id="stand-in"), pytest.param(Path(real), marks=no_real, id="real")]


@pytest.mark.parametrize("source", trees())
def test_patchset_fits_the_tree_and_knows_itself_again(source: Path, tmp_path: Path) -> None:
    worked = apply(source, tmp_path / "out")
    assert "ok" in {row.state for row in worked.rows} <= {"ok", "left-out"}  # left-out: where the stand-in is no Twenty
    assert plan(tmp_path / "out").already_patched


@pytest.mark.parametrize("later", ["", "\n\n# more\nFROM twenty AS twenty-dev\nRUN dev\n"])
def test_image_gets_the_scripts_late_and_the_label_last(tmp_path: Path, later: str) -> None:
    name = f"{DOCKER}/Dockerfile"
    write_tree(tmp_path / "source", {**MINI, name: MINI[name] + later})
    apply(tmp_path / "source", tmp_path / "out")
    text = (tmp_path / "out" / name).read_text()
    assert text.endswith(later)
    before = MINI[name].splitlines()
    lines = text.removesuffix(later).splitlines()
    assert [line for line in lines[:-3] if line not in before] == [
        line for line in lines[:-3] if "cache" in line or "chown" in line or "dist/front" in line
    ]
    copy, argument, label = lines[-3:]
    assert copy.startswith("COPY --chmod=0755 ")
    assert copy.endswith(" /app/")
    assert (argument, label) == (
        "ARG TWENTYOPS_CONTENT_HASH",
        "LABEL org.opencontainers.image.revision=$TWENTYOPS_CONTENT_HASH",
    )
    for path in copy.split()[2:-1]:
        assert (tmp_path / "out" / path).is_file()
    assert (tmp_path / "out" / MARKER).is_file()


def test_what_we_add_carries_its_licence() -> None:
    patchset = Patchset.load()
    for path, ours in patchset.overlay.items():
        if path.endswith("/twentyops-data-model.json"):  # JSON has no comments; it is written from a file that carries it
            assert "SPDX-License-Identifier: AGPL-3.0-only" in data_model.MODEL.read_text()[:200]
            continue
        assert b"SPDX-License-Identifier: AGPL-3.0-only" in ours.data[:200], path
    for rules in (patchset.root / "rules").glob("*.yaml"):
        assert rules.read_text().startswith("# SPDX-License-Identifier: AGPL-3.0-only\n"), rules.name


# --- the migrate script ----------------------------------------------------------------------------------------------

SHELLS = [
    pytest.param(shell, marks=pytest.mark.skipif(shutil.which(shell[0]) is None, reason=f"no {shell[0]} here"), id=shell[0])
    for shell in (["dash"], ["bash"], ["busybox"])
]

# Stands for node and yarn: says what it was called with, then does what a file of that name says.
FAKE = """#!/bin/sh
echo "$(basename "$0") $*" >>"$WORLD/calls"
for name in "$(basename "$0") $*"; do
    plan="$WORLD/$(printf '%s' "$name" | tr ' /' '__' | sed 's/.*twentyops-migrations.cjs/state/')"
done
if [ -f "$plan.once" ]; then . "$plan.once"; rm "$plan.once"; exit 0; fi
if [ -f "$plan" ]; then . "$plan"; fi
"""


@dataclass
class World:
    """A patched entrypoint with pretended node and yarn."""

    root: Path
    shell: list[str]

    def says(self, call: str, script: str) -> None:
        """What a call does, as shell: ``state`` is the question for pending migrations."""
        (self.root / call.replace(" ", "_")).write_text(script)

    def run(self, *arguments: str, **settings: str) -> tuple[int, str]:
        """Exit code and output of the entrypoint."""
        environment = {
            "PATH": f"{self.root}/bin:{os.environ['PATH']}",
            "WORLD": str(self.root),
            "APP_VERSION": "1.11.0",
            "PG_DATABASE_URL": "postgres://u:hidden-password@db/x",
            "TMPDIR": str(self.root / "tmp"),
            **settings,
        }
        shell = [*self.shell, "sh"] if self.shell == ["busybox"] else self.shell
        done = subprocess.run(
            [*shell, f"{self.root}/entrypoint.sh", *(arguments or ("twentyops-migrate",))],
            env=environment,
            cwd=self.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert "hidden-password" not in done.stdout
        assert list((self.root / "tmp").iterdir()) == [], "temporary files are left"
        return done.returncode, done.stdout

    @property
    def calls(self) -> list[str]:
        """Every call of node and yarn so far."""
        path = self.root / "calls"
        return path.read_text().replace(f"{self.root}/", "").splitlines() if path.exists() else []


@pytest.fixture(params=SHELLS)
def world(request: pytest.FixtureRequest, tmp_path: Path, patched: Path) -> World:
    for name in ("entrypoint.sh", "twentyops-migrate.sh", "twentyops-migrations.cjs"):
        text = (patched / DOCKER / name).read_text()
        (tmp_path / name).write_text(text.replace("/app/", f"{tmp_path}/"))
    start = "scripts/twentyops-data-model-start.sh"
    write_tree(tmp_path, {start: (patched / "packages/twenty-server" / start).read_text()})
    write_tree(tmp_path, {"packages/twenty-server/dist/front.index.html": "<html></html>"})
    for name in ("node", "yarn"):
        write_tree(tmp_path, {f"bin/{name}*": FAKE})
    (tmp_path / "tmp").mkdir()
    made = World(tmp_path, request.param)
    made.says("state", "printf 'known\\t3\\n'")
    return made


REACH, STATE = "node twentyops-migrations.cjs reach", "node twentyops-migrations.cjs"
SETUP, UPGRADE = "yarn database:setup", "yarn command:prod upgrade"
MIGRATE, CRON = "yarn database:migrate:prod", "yarn command:prod cron:register:all"


def test_good_run_in_order(world: World) -> None:
    code, output = world.run(DISABLE_DB_MIGRATIONS="true")
    assert code == 0, output
    assert world.calls == [REACH, SETUP, UPGRADE, STATE, CRON]
    assert "[1/3] Twenty 1.11.0" in output
    assert "proved: all 3 core migrations are in the database" in output
    assert output.endswith("twentyops-migrate: done\n")


def test_any_other_command_takes_upstreams_way(world: World) -> None:
    code, output = world.run("echo", "twentyops-migrate")
    assert (code, output) == (0, "upgraded\ntwentyops-migrate\n")
    assert world.calls == [SETUP, UPGRADE]


DATA_MODEL = "node scripts/migrate-schema.ts apply --wait 300"


def _told(world: World, state: str) -> bool:
    deadline = time.monotonic() + 20
    file = world.root / "state-of/twentyops-data-model"
    while not (file.exists() and file.read_text() == state):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (0, "matched\n"),
        (2, "failed 2: the command ended before it could say why; see the container's log\n"),
        (137, "failed 137: the command ended before it could say why; see the container's log\n"),
    ],
)
def test_server_starts_with_the_data_model_beside_it_whatever_becomes_of_that(world: World, code: int, state: str) -> None:
    (world.root / "state-of").mkdir()
    world.says(DATA_MODEL.replace("/", "_"), f"exit {code}\n")
    assert world.run("node", "dist/src/main", TWENTYOPS_STATE_DIR=str(world.root / "state-of"))[0] == 0
    assert _told(world, state)
    assert sorted(world.calls) == sorted([SETUP, UPGRADE, DATA_MODEL, "node dist/src/main"])


def test_what_the_command_itself_says_of_the_outcome_is_kept(world: World) -> None:
    state = world.root / "state-of"
    state.mkdir()
    said = "failed 2: w conflict (person.totalSpent: is TEXT here, the model says NUMBER)"
    world.says(
        DATA_MODEL.replace("/", "_"),
        f"grep -q '^running since 2' {state}/twentyops-data-model && echo '{said}' >{state}/twentyops-data-model; exit 2\n",
    )
    assert world.run("node", "dist/src/main", TWENTYOPS_STATE_DIR=str(state))[0] == 0
    assert _told(world, said + "\n")


@pytest.mark.parametrize(
    ("command", "switch", "state"),
    [
        ("dist/src/main", "true", {"twentyops-data-model": "off: DISABLE_CUSTOM_SCHEMA_MIGRATION is true\n"}),
        ("dist/src/queue-worker/queue-worker", "", {}),
        ("dist/src/command/command", "", {}),
    ],
)
def test_data_model_is_not_applied_by_others_nor_when_switched_off(
    world: World, command: str, switch: str, state: dict[str, str]
) -> None:
    (world.root / "state-of").mkdir()
    settings = {"TWENTYOPS_STATE_DIR": str(world.root / "state-of"), "DISABLE_CUSTOM_SCHEMA_MIGRATION": switch}
    script = ["sh", str(world.root / "scripts/twentyops-data-model-start.sh"), "node", command]
    done = subprocess.run(script, env={"PATH": os.environ["PATH"], **settings}, cwd=world.root, timeout=20, check=True)
    assert done.returncode == 0
    assert world.calls == []
    assert {file.name: file.read_text() for file in (world.root / "state-of").iterdir()} == state


@pytest.mark.parametrize("version", ["", "v1.11.0", "1.11", "latest", "1.11.0; rm -rf /", "1.11.0\nx"])
def test_version_that_is_none_is_refused_before_anything_runs(world: World, version: str) -> None:
    code, output = world.run(APP_VERSION=version)
    assert code == 64
    assert "APP_VERSION is '" in output
    assert "Nothing was changed" in output
    assert world.calls == []


def test_missing_database_address(world: World) -> None:
    assert world.run(PG_DATABASE_URL="")[0] == 64
    assert world.calls == []


def test_psql_gets_no_password_as_an_argument(world: World) -> None:
    entrypoint = world.root / "entrypoint.sh"
    ask = """    there=$(psql -tAc "select 'a b'" "${PG_DATABASE_URL}")\n    yarn database:setup"""
    entrypoint.write_text(entrypoint.read_text().replace("    yarn database:setup", ask))
    write_tree(world.root, {"bin/psql*": FAKE})
    address = {"PGHOST": "db", "PGUSER": "u", "PGDATABASE": "x"}
    assert world.run(PGPASSWORD="hidden-password", **address)[0] == 0
    assert [call for call in world.calls if "psql" in call] == ["psql -tAc select 'a b'"]
    assert world.run()[0] == 0
    assert world.calls.count("psql -tAc select 'a b' postgres://u:hidden-password@db/x") == 1, "without PGPASSWORD as upstream"


def test_service_out_of_reach_stops_before_the_upgrade(world: World) -> None:
    world.says("state_reach", "echo 'Redis is out of reach' >&2; exit 1")
    code, output = world.run()
    assert code == 69
    assert "Redis is out of reach" in output
    assert world.calls == [REACH]


def test_failing_step_stops_the_function_at_once(world: World) -> None:
    world.says(SETUP, "exit 7")
    code, output = world.run()
    assert code == 67
    assert "exit code 7" in output
    assert world.calls == [REACH, SETUP]  # not the upgrade: errors stop it as in the entrypoint


def test_pending_without_a_workspace_is_migrated_and_proved(world: World) -> None:
    world.says("state.once", "printf 'known\\t3\\npending\\tOurs1\\npending\\tOurs2\\n'")
    code, output = world.run()
    assert code == 0, output
    assert "running them now: Ours1, Ours2" in output
    assert world.calls == [REACH, SETUP, UPGRADE, STATE, MIGRATE, STATE, CRON]


def test_pending_after_everything_is_named(world: World) -> None:
    world.says("state", "printf 'known\\t3\\npending\\tOurs1\\n'")
    code, output = world.run()
    assert code == 65
    assert "still pending: Ours1" in output
    assert CRON not in world.calls


def test_migration_that_fails(world: World) -> None:
    world.says("state", "printf 'known\\t3\\npending\\tOurs1\\n'")
    world.says(MIGRATE, "exit 1")
    assert world.run()[0] == 65


def test_pending_with_a_workspace_is_never_forced(world: World) -> None:
    world.says(
        "state",
        "printf 'known\\t3\\npending\\tOurs1\\nworkspace\\tw1\\tACTIVE\\t1.7.0\\nbehind\\tw1 (version 1.7.0)\\n'",
    )
    code, output = world.run()
    assert code == 65
    assert "Ours1" in output
    assert "w1 (version 1.7.0)" in output
    assert MIGRATE not in world.calls


def test_workspace_left_behind(world: World) -> None:
    world.says("state", "printf 'known\\t3\\nworkspace\\tw1\\tACTIVE\\t-\\nbehind\\tw1 (version none)\\n'")
    code, output = world.run()
    assert code == 68
    assert "not upgraded to 1.11.0: w1 (version none)" in output
    assert CRON not in world.calls


def test_upgrade_that_reports_success_and_logs_an_error(world: World) -> None:
    world.says(UPGRADE, "printf '[Nest] 1 \\033[31mERROR\\033[39m \\033[33m[UpgradeCommand] \\033[39mNo such version\\n'")
    code, output = world.run()
    assert code == 67
    assert "ended with exit code 0 but reported errors" in output
    assert CRON not in world.calls


def test_state_that_cannot_be_told_proves_nothing(world: World) -> None:
    world.says("state", "echo 'no data source' >&2; exit 1")
    code, output = world.run()
    assert code == 69
    assert "no data source" in output


@pytest.mark.parametrize("script", ["exit 3", "echo 'ERROR [CronRegisterAllCommand] Failed to register'"])
def test_cron_jobs_that_are_not_registered(world: World, script: str) -> None:
    world.says(CRON, script)
    code, output = world.run()
    assert code == 66
    assert "The database is migrated" in output


def test_script_alone_says_how_to_start_it(world: World) -> None:
    done = subprocess.run(["sh", str(world.root / "twentyops-migrate.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 70
    assert "docker run IMAGE twentyops-migrate" in done.stderr


# --- the question for the state of the database ----------------------------------------------------------------------

NODE = pytest.mark.skipif(shutil.which("node") is None, reason="no node here; the rehearsal runs it in the image")

TYPEORM = """
class DataSource {
  constructor(options) { this.options = options; }
  async initialize() {
    if (process.env.FAIL) throw new Error(process.env.FAIL);
    require('fs').writeFileSync('options.json', JSON.stringify(this.options));
  }
  async query() { return JSON.parse(process.env.ROWS || '[]'); }
  async destroy() {}
}
class MigrationExecutor {
  async getAllMigrations() { return JSON.parse(process.env.ALL); }
  async getPendingMigrations() { return JSON.parse(process.env.PENDING || '[]'); }
}
module.exports = { DataSource, MigrationExecutor };
"""


def ask(tmp_path: Path, patched: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    write_tree(
        tmp_path,
        {
            "package.json": "{}",
            "node_modules/typeorm/index.js": TYPEORM,
            "dist/src/database/typeorm/core/core.datasource.js": (
                "const { DataSource } = require('typeorm');"
                "exports.other = 1; exports.connectionSource = new DataSource({ type: 'postgres', entities: ['x'],"
                " migrations: ['m'], migrationsTableName: 't', dropSchema: true });"
            ),
        },
    )
    return subprocess.run(
        ["node", str(patched / DOCKER / "twentyops-migrations.cjs"), *arguments],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "APP_VERSION": "1.11.0", "ALL": '[{"name":"A"},{"name":"B"}]', **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@NODE
def test_state_is_told_by_the_data_source_of_twenty(tmp_path: Path, patched: Path) -> None:
    rows = (
        '[{"id":"w1","status":"ACTIVE","version":"1.11.3"},{"id":"w2","status":"SUSPENDED","version":null},'
        '{"id":"w3","status":"ACTIVE","version":"1.9.9"},{"id":"w4","status":"ACTIVE","version":"2.0.0"}]'
    )
    done = ask(tmp_path, patched, PENDING='[{"name":"B"}]', ROWS=rows)
    assert done.stdout.splitlines() == [
        "known\t2",
        "pending\tB",
        "workspace\tw1\tACTIVE\t1.11.3",
        "workspace\tw2\tSUSPENDED\t-",
        "behind\tw2 (version none)",
        "workspace\tw3\tACTIVE\t1.9.9",
        "behind\tw3 (version 1.9.9)",
        "workspace\tw4\tACTIVE\t2.0.0",
    ]
    assert done.returncode == 0
    options = (tmp_path / "options.json").read_text()
    assert '"entities":[]' in options
    assert '"dropSchema":false' in options
    assert '"migrationsTableName":"t"' in options


@NODE
def test_data_source_that_is_nowhere_is_said_so(tmp_path: Path, patched: Path) -> None:
    ask(tmp_path, patched)
    shutil.move(tmp_path / "dist/src/database", tmp_path / "dist/database")
    command = ["node", str(patched / DOCKER / "twentyops-migrations.cjs")]
    environment = {"PATH": os.environ["PATH"], "APP_VERSION": "2.0.0", "ALL": '[{"name":"A"}]'}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "known\t1\n")
    shutil.rmtree(tmp_path / "dist")
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no data source in" in done.stderr


@NODE
@pytest.mark.parametrize(
    ("settings", "words"),
    [({"ALL": "[]"}, "holds no core migration at all"), ({"FAIL": "connection refused"}, "connection refused")],
)
def test_state_that_cannot_be_told_is_an_error(tmp_path: Path, patched: Path, settings: dict[str, str], words: str) -> None:
    done = ask(tmp_path, patched, **settings)
    assert done.returncode == 1
    assert done.stdout == ""
    assert words in done.stderr


@NODE
def test_reach_names_the_service_and_hides_the_password(tmp_path: Path, patched: Path) -> None:
    text = (patched / DOCKER / "twentyops-migrations.cjs").read_text()
    impatient = write_tree(tmp_path / "other", {f"{DOCKER}/twentyops-migrations.cjs": text.replace("15_000", "1")})
    done = ask(tmp_path, impatient, "reach", PG_DATABASE_URL="postgres://u:secret@127.0.0.1:1/x")
    assert done.returncode == 1
    assert "the database (PG_DATABASE_URL) at 127.0.0.1:1 is out of reach: ECONNREFUSED" in done.stderr
    assert "secret" not in done.stderr
