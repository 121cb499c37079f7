"""TWENTY_ENV_<NAME>: Twenty's list is read from the tree, holes stay closed, and values reach the right containers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_pure import IMAGES, SECRETS, settings
from tests.unit.test_settings import GOOD, refusal, write
from twentyops import access, plan, release, source, stack, twenty_env
from twentyops.errors import Refused
from twentyops.registry import Registry
from twentyops.settings import NAMES, load
from twentyops.twenty_env import LIST, REFUSED, Variable

HERE = Path(__file__).parents[2]
TEXT = """
import { Something } from 'somewhere';

export class Another {
  @ConfigVariablesMetadata({ type: ConfigVariableType.STRING })
  NOT_OF_THE_CLASS: string;
}

export class ConfigVariables {
  @ConfigVariablesMetadata({
    group: Group.ONE,
    description: 'a brace } and a name: isSensitive: true',
    type: ConfigVariableType.NUMBER,
  })
  @Positive()
  APPLES_LIMIT = 1_000;

  // @ConfigVariablesMetadata({ type: ConfigVariableType.STRING })
  // COMMENTED_OUT: string;

  @Check((env) => env.PEARS)
  @ConfigVariablesMetadata({ isSensitive: true, options: ['a', 'b'], type: ConfigVariableType.STRING })
  PEAR_KEY?: string;

  @ConfigVariablesMetadata({ type: ConfigVariableType.BOOLEAN, isSensitive: false })
  PEARS: boolean;
  @ConfigVariablesMetadata({ type: ConfigVariableType.STRING })
  PEAR_TOKEN_EXPIRES_IN = '30m';

  @ConfigVariablesMetadata({ type: ConfigVariableType.ENUM })
  APPLE_KIND: Kind = Kind.RED;

  helper = 1;
}
"""
KNOWN = twenty_env.parse(TEXT)


def tree(tmp_path: Path) -> Path:
    for name, text in ((LIST, TEXT), (source.DOCKERFILE, "FROM scratch\n")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def told(known: dict[str, Variable] | None = None, /, **given: str) -> dict[str, str]:
    made = settings(**{f"TWENTY_ENV_{name}": value for name, value in given.items()})
    return {p.setting.removeprefix("TWENTY_ENV_"): p.remedy for p in twenty_env.problems(made, KNOWN if known is None else known)}


def test_list_of_a_tree_is_read() -> None:
    assert {
        "APPLES_LIMIT": Variable("APPLES_LIMIT", False, "NUMBER", "1_000"),
        "PEAR_KEY": Variable("PEAR_KEY", True, "STRING", ""),
        "PEARS": Variable("PEARS", False, "BOOLEAN", ""),
        "PEAR_TOKEN_EXPIRES_IN": Variable("PEAR_TOKEN_EXPIRES_IN", False, "STRING", "30m"),
        "APPLE_KIND": Variable("APPLE_KIND", False, "ENUM", "Kind.RED"),
    } == KNOWN
    assert twenty_env.parse("export class Another {}") == twenty_env.parse("") == twenty_env.parse("}{ no code") == {}


@pytest.mark.skipif(not Path(os.environ.get("TWENTY_SOURCE") or "?").is_dir(), reason="TWENTY_SOURCE names no real checkout")
def test_list_of_a_real_tree_is_read() -> None:
    text = (Path(os.environ["TWENTY_SOURCE"]) / LIST).read_text()
    known = twenty_env.parse(text)
    assert len(known) == text.count("@ConfigVariablesMetadata(") > 100
    assert known["APP_SECRET"].sensitive
    assert not known["LOG_LEVELS"].sensitive
    for name, variable in known.items():
        assert variable.type in {"BOOLEAN", "NUMBER", "STRING", "ENUM", "ARRAY"}, name
        assert not name.endswith(("_EXPIRES_IN", "_COOL_DOWN")) or twenty_env.seconds(variable.default), name
    assert told(known, LOG_LEVELS="error", API_RATE_LIMITING_LONG_LIMIT="9", MESSAGING_PROVIDER_GMAIL_ENABLED="true") == {}
    assert told(known, ACCESS_TOKEN_EXPIRES_IN="15m") == {}
    assert "LOG_LEVELS?" in told(known, LOG_LEVEL="error")["LOG_LEVEL"]


def test_list_is_read_from_a_directory_and_from_a_commit(tmp_path: Path) -> None:
    directory = tree(tmp_path)
    assert twenty_env.read(source.Source(str(directory), "", "tree:1", None)) == KNOWN
    git = ["git", "-C", str(directory), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "x"]):
        subprocess.run([*git, *arguments], check=True)
    (directory / LIST).write_text("export class ConfigVariables {}")
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    at = source.Source(str(directory), "", commit, directory / ".git")
    assert twenty_env.read(at) == KNOWN
    assert source.read_file(at, "no/such/file") is None


def test_names_come_from_environment_file_and_command(tmp_path: Path) -> None:
    environ = write(tmp_path, "TWENTY_ENV_APPLES_LIMIT=1\nTWENTY_ENV_PEARS=true\n")
    command = "printf 'TWENTY_ENV_PEAR_KEY=\" abc \"\\n'"
    made = load({**GOOD, **environ, "TWENTY_ENV_PEARS": "false", "SECRETS_COMMAND": command})
    assert {name: value.get_secret_value() for name, value in made.twenty_env.items()} == {
        "APPLES_LIMIT": "1",
        "PEARS": "false",
        "PEAR_KEY": "abc",
    }
    assert "TWENTY_ENV" not in NAMES
    assert load(GOOD).twenty_env == {}


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("TWENTY_ENV_PEAR_KEY", "", "empty"),
        ("TWENTY_ENV_PEAR_KEY", "changeme", "placeholder"),
        ("TWENTY_ENV_PEAR_KEY", "a\nb", "control character"),
        ("TWENTY_ENV_", "x", "names no variable"),
        ("TWENTY_ENV_A-B", "x", "names no variable"),
    ],
)
def test_value_is_checked_as_its_neighbours_are(name: str, value: str, part: str) -> None:
    assert part in refusal({name: value})[name]


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("APPLE_LIMIT", "1", "did you mean TWENTY_ENV_APPLES_LIMIT?"),
        ("NODE_TLS_REJECT_UNAUTHORIZED", "0", "no such variable"),
        ("LD_PRELOAD", "/x.so", "no such variable"),
        ("DEBUG", "abc", "no such variable"),
        ("NOT_OF_THE_CLASS", "abc", "no such variable"),
        ("NODE_OPTIONS", "--inspect", "set by this project"),
        ("PGHOST", "abc", "set by this project"),
        ("SOURCE_CODE_URL", "abc", "set by this project"),
        ("STORAGE_S3_NAME", "abc", "give STORAGE_S3_NAME, without"),
        ("EMAIL_SMTP_PASSWORD", "abc", "give EMAIL_SMTP_PASSWORD, without"),
        ("SERVER_URL", "http://x", "give SERVER_URL, without"),
        ("CLERK_AUTHORIZED_PARTIES", "http://x", "set by this project"),
        ("TWENTYOPS_TENANTS_MAY_REACH", "10.0.0.0/8", "set by this project"),
        ("MAX_TENANTS", "3", "give MAX_TENANTS, without"),
        ("SERVERLESS_TYPE", "local", "tenant's own code"),
        ("IS_CONFIG_VARIABLES_IN_DB_ENABLED", "true", "the database could override"),
        ("AUTH_PASSWORD_ENABLED", "true", "Clerk alone"),
        ("APPLES_LIMIT", "many", "is a number"),
        ("PEARS", "yes", "true or false"),
        ("PEAR_TOKEN_EXPIRES_IN", "31m", "may be shortened only"),
        ("PEAR_TOKEN_EXPIRES_IN", "soon", "is a time"),
        ("PEAR_KEY", GOOD["CLERK_SECRET_KEY"], "value of another secret"),
    ],
)
def test_refused_with_the_reason_and_without_the_value(name: str, value: str, part: str) -> None:
    remedy = told(**{name: value})[name]
    assert part in remedy
    assert len(value) < 6 or value not in remedy


def test_what_is_known_and_harmless_is_let_through() -> None:
    good = {"APPLES_LIMIT": "5", "PEARS": "true", "PEAR_KEY": "a key", "PEAR_TOKEN_EXPIRES_IN": "30m", "APPLE_KIND": "GREEN"}
    assert told(**good) == {}


def test_everything_that_the_deploy_sets_is_refused() -> None:
    made = settings()
    ours = twenty_env.owned(made)
    files = stack.env_files(made, SECRETS)
    assert set(files["server"]) | set(files["worker"]) | set(files["migrate"]) <= ours
    assert all(twenty_env.refusal(name, ours) for name in ours)
    assert twenty_env.owned(settings(TWENTY_ENV_PEARS="true")) == ours


def test_tree_without_a_list_takes_no_variable_and_an_unknown_source_hides_no_hole() -> None:
    assert "no list of variables" in told({}, PEARS="true")["..."]
    made = settings(TWENTY_ENV_PEARS="true", TWENTY_ENV_NODE_ENV="development")
    assert [p.setting for p in twenty_env.problems(made, None)] == ["TWENTY_ENV_NODE_ENV"]
    assert twenty_env.problems(settings(), {}) == []


def test_preflight_tells_them_with_its_other_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Registry, "check_login", lambda self: None)
    monkeypatch.setattr(Registry, "digest", lambda *arguments, **named: "sha256:" + "1" * 64)
    given = {"TWENTY_SOURCE": str(tree(tmp_path)), "TWENTY_ENV_APPLE_LIMIT": "1", "TWENTY_ENV_SIGN_IN_PREFILLED": "true"}
    with pytest.raises(Refused) as caught:
        plan.make(settings(**given))
    assert [p.setting for p in caught.value.problems] == ["TWENTY_ENV_APPLE_LIMIT", "TWENTY_ENV_SIGN_IN_PREFILLED"]
    made = plan.make(settings(TWENTY_SOURCE=given["TWENTY_SOURCE"], TWENTY_ENV_APPLES_LIMIT="1"))
    assert set(made.settings.twenty_env) == {"APPLES_LIMIT"}


def test_server_worker_and_migrations_get_them_and_nobody_else() -> None:
    made = settings(TWENTY_ENV_PEAR_KEY="k$y '\"", TWENTY_ENV_NODE_ENV="development")
    files = stack.env_files(made, SECRETS)
    assert {service for service, values in files.items() if "PEAR_KEY" in values} == {"server", "worker", "migrate"}
    assert files["worker"]["PEAR_KEY"] == "k$y '\""
    assert {files[service]["NODE_ENV"] for service in ("server", "worker", "migrate")} == {"production"}, "ours wins"


def test_changed_value_is_another_release_and_replaces_server_and_worker() -> None:
    before, after = settings(TWENTY_ENV_PEAR_KEY="one"), settings(TWENTY_ENV_PEAR_KEY="two")
    images = {**IMAGES, "redis-cache": IMAGES["redis"], "worker": IMAGES["server"]}
    hashes = [release.config_hash(stack.render(made, images, SECRETS)) for made in (before, after)]
    assert hashes[0] != hashes[1]
    services = [stack.service_hashes(made, images, SECRETS) for made in (before, after)]
    assert {name for name in services[0] if services[0][name] != services[1][name]} == {"server", "worker"}


def test_values_are_masked_in_output_and_hidden_in_representations() -> None:
    made = settings(TWENTY_ENV_PEAR_KEY="first-part,second-part")
    assert "first-part" not in repr(made) + str(made.model_dump())
    log = "a first-part,second-part b second-part c"
    assert access.masked(log, access.secret_values(made)) == "a ***** b ***** c"


def test_documented_table_is_the_one_of_the_code() -> None:
    text = (HERE / "docs" / "twenty-env.md").read_text()
    assert text.endswith(twenty_env.table() + "\n"), "write it anew: python -m twentyops.twenty_env"
    assert all(f"`{pattern}`" in twenty_env.table() for pattern in REFUSED)
