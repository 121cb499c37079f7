"""How a deploy's end is told: the message, the ways to send it, and what the real pyinfra command leads to (against ``@local`` alone)."""

from __future__ import annotations

import datetime
import ipaddress
import logging
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import StateStage

from tests.listeners import Heard, mail_server, webhook
from tests.unit.test_settings import GOOD
from twentyops import access, notify, operations
from twentyops.errors import Problem, Refused
from twentyops.settings import Settings, load, load_for_notifications

PROJECT = Path(__file__).parent.parent.parent
PYINFRA = Path(sys.executable).with_name("pyinfra")
MAIL = {
    "NOTIFY_EMAIL": "ops@example.com,night@example.com",
    "EMAIL_DRIVER": "smtp",
    "EMAIL_SMTP_HOST": "127.0.0.1",
    "EMAIL_FROM_ADDRESS": "crm@example.com",
    "EMAIL_FROM_NAME": "The CRM",
    "EGRESS_ALLOW": "",
}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(notify, "ANSWER_S", 1)


@pytest.fixture
def heard() -> Iterator[Heard]:
    with webhook() as listener:
        yield listener


def mailing(port: int, **changed: str) -> Settings:
    """Settings of mail to a server on loopback, which as the CRM's relay would be refused: containers cannot reach it."""
    settings = load({**GOOD, **MAIL, "EMAIL_SMTP_HOST": "mail.example.com", "EMAIL_SMTP_PORT": str(port), **changed})
    return settings.model_copy(update={"email_smtp_host": "127.0.0.1"})


# -- the message -----------------------------------------------------------------------------------------------------------


def outcome(kind: notify.Kind, **more: object) -> notify.Outcome:
    return notify.Outcome(kind, "10.77.0.11", "ann@ci", 131.6, **more)  # type: ignore[arg-type]


def test_deployed_release_is_told() -> None:
    text = notify.message(outcome("deployed", release="aaaa-bbbb", version="1.10.0"), [])
    assert text == "Twenty on 10.77.0.11: deployed release aaaa-bbbb\nTwenty 1.10.0, by ann@ci, after 132 s"


def test_unchanged_deploy_is_not_told() -> None:
    assert notify.message(outcome("unchanged", release="aaaa-bbbb"), []) == ""


def test_failure_says_where_why_and_what_became_of_the_release_before() -> None:
    before = "Release r1-r1 was put back and serves again. Nothing was lost."
    reason = f"server: running, unhealthy after 180 s at most\n  server | boom\n{before}\nNext: mend"
    text = notify.message(outcome("put back", where="Services | Run server (droplet)", reason=reason, release="r2-r2"), [])
    assert text.splitlines() == [
        "Twenty on 10.77.0.11: the deploy failed, the release before was put back",
        "at Services | Run server (droplet): server: running, unhealthy after 180 s at most",
        before,
        "release r2-r2, by ann@ci, after 132 s",
    ]


def test_refusal_names_its_first_setting_and_that_nothing_was_changed() -> None:
    reason = str(Refused("Preflight refused 10.77.0.11, nothing was changed:", [Problem("SERVER_URL", "port 80 is taken")]))
    text = notify.message(outcome("failed", reason=reason, began=False), [])
    assert "Preflight refused 10.77.0.11, nothing was changed: SERVER_URL port 80 is taken\nNothing was changed." in text


def test_release_that_could_not_be_put_back_is_said() -> None:
    text = notify.message(outcome("failed", reason="x\nRelease r1 could not be put back: no space"), [])
    assert "Release r1 could not be put back: no space" in text
    assert "No release was put back" in notify.message(outcome("failed", reason="x"), [])
    assert "was interrupted" in notify.message(outcome("interrupted"), [])


def test_secrets_are_masked_before_the_reason_is_cut() -> None:
    secret = "s3cret/" + "x" * 40
    reason = f"{'a' * 290} {secret} \x1b[31mred\x1b[0m"
    line = notify.first_line(reason, [secret])
    assert len(line) <= notify.LONGEST_REASON
    assert "s3cret" not in line
    assert (
        notify.first_line("cannot clone https://bob:t0ken@git.example.com/x", [])
        == "cannot clone https://*****@git.example.com/x"
    )
    assert notify.first_line("\n a\tb\x07c \n d", []) == "a b c"


def test_lines_of_put_back_are_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the operation words them: nothing, put back, not put back."""

    def said(current: str, *, works: bool) -> str:
        def remote(command: str, **_: object) -> tuple[bool, str]:
            if "readlink" in command:
                return True, current
            return (works or "test -f" in command), ""

        monkeypatch.setattr(operations, "remote", remote)
        (line,) = operations.put_back("/opt/twenty/releases/new", ["server"])
        return line

    none, good, bad = (
        said("", works=True),
        said("/opt/twenty/releases/old", works=True),
        said("/opt/twenty/releases/old", works=False),
    )
    assert [bool(operations.OF_THE_RELEASE_BEFORE.match(line)) for line in (none, good, bad)] == [True] * 3
    assert [notify._kind("failed", None, f"why\n{line}") for line in (none, good, bad)] == ["failed", "put back", "failed"]


# -- how a run ended -------------------------------------------------------------------------------------------------------

S = StateStage


class WrappedError(click.ClickException):
    """As pyinfra's own of this name, whose import would change the standard library in the tests' process."""

    def __init__(self, exception: Exception) -> None:
        super().__init__(str(exception))
        self.exception = exception


@pytest.mark.parametrize(
    ("error", "stage", "yes", "failed", "ended"),
    [
        (SystemExit(0), S.Disconnect, False, False, "went well"),
        (SystemExit(0), S.Disconnect, True, True, "failed"),  # --no-wait: pyinfra ends with 0
        (SystemExit(1), S.Disconnect, False, True, "failed"),  # a person went on after a failure
        (WrappedError(PyinfraError("No hosts remaining!")), S.Execute, True, True, "failed"),
        (WrappedError(PyinfraError("No hosts remaining!")), S.Connect, True, True, "failed"),
        (SystemExit("Preflight refused"), S.Prepare, True, False, "failed"),
        (SystemExit("Settings refused"), S.Setup, True, False, "failed"),
        (SystemExit("Preflight refused"), S.Prepare, False, False, None),  # a person reads it
        (SystemExit(0), S.Prepare, False, False, None),  # "no" at the prompt
        (SystemExit(0), S.Execute, False, False, "interrupted"),  # pyinfra's answer to Ctrl-C
        (SystemExit(0), S.Prepare, True, False, "interrupted"),
        (KeyboardInterrupt(), S.Execute, False, False, "interrupted"),
    ],
)  # fmt: skip
def test_how_a_run_ended(error: BaseException, stage: StateStage, yes: bool, failed: bool, ended: str | None) -> None:
    assert notify.how(error, stage, yes=yes, failed=failed) == ended


@pytest.mark.parametrize(
    ("operations", "more", "live"),
    [
        (("deploy.py",), {}, True),
        (("./deploy.py",), {"yes": True}, True),
        (("deploy.py",), {"dry": True}, False),
        (("deploy.py",), {"debug_facts": True}, False),
        (("deploy.py",), {"debug_operations": True}, False),
        (("tasks/services.py",), {}, False),
        (("debug-inventory",), {}, False),
        (("fact", "server.LinuxName"), {}, False),
    ],
)
def test_which_runs_count(operations: tuple[str, ...], more: dict[str, bool], live: bool) -> None:
    assert notify.is_live({"operations": operations, **more}) is live


def test_reason_is_what_our_code_said_before_what_pyinfra_says() -> None:
    lost = WrappedError(PyinfraError("No hosts remaining!"))
    assert notify.reason_of(SystemExit("ours"), "", "printed") == "ours"
    assert notify.reason_of(lost, "the operation's", "printed") == "the operation's"
    assert notify.reason_of(lost, "", "printed") == "printed"
    assert notify.reason_of(lost, "", "") == "No hosts remaining!"
    crash = WrappedError(RuntimeError("nobody expected this"))
    assert notify.reason_of(crash, "", "") == "RuntimeError: nobody expected this"


# -- sending ---------------------------------------------------------------------------------------------------------------


def test_webhook_gets_the_text_in_slacks_form(heard: Heard) -> None:
    settings = load({**GOOD, "NOTIFY_WEBHOOK_URL": heard.url})
    assert notify.send(settings, "a < b & <!channel>\nsecond") == {"NOTIFY_WEBHOOK_URL": ""}
    assert heard.bodies == [{"text": "a &lt; b &amp; &lt;!channel&gt;\nsecond"}]
    assert heard.paths == ["/services/T0/B0/a-secret-part"]


def test_mail_arrives_with_subject_and_text() -> None:
    with mail_server() as mailed:
        assert notify.send(mailing(mailed.port), "Twenty on x: deployed\nby ann") == {"NOTIFY_EMAIL": ""}
    (letter,) = mailed.letters
    assert letter["Subject"] == "Twenty on x: deployed"
    assert letter["From"] == "The CRM <crm@example.com>"
    assert letter["To"] == "ops@example.com, night@example.com"
    assert letter.get_content().splitlines() == ["Twenty on x: deployed", "by ann"]
    assert [c[8:] for c in mailed.commands if c.upper().startswith("RCPT TO:")] == ["<ops@example.com>", "<night@example.com>"]


def test_both_are_told_and_one_that_fails_does_not_stop_the_other(heard: Heard) -> None:
    heard.status = 500
    with mail_server() as mailed:
        settings = mailing(mailed.port, NOTIFY_WEBHOOK_URL=heard.url)
        assert notify.send(settings, "x") == {"NOTIFY_WEBHOOK_URL": "it answered 500", "NOTIFY_EMAIL": ""}
    assert len(mailed.letters) == 1


def test_redirect_is_not_followed(heard: Heard) -> None:
    with webhook(status=307, location=heard.url) as elsewhere:
        told = notify.send(load({**GOOD, "NOTIFY_WEBHOOK_URL": elsewhere.url}), "x")
    assert told == {"NOTIFY_WEBHOOK_URL": "it answered 307, a redirect, which is not followed: give the final address"}
    assert heard.bodies == []


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def test_refused_connection_and_silence_only_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    port = unused_port()
    told = notify.send(mailing(port, NOTIFY_WEBHOOK_URL=f"http://127.0.0.1:{port}/a-secret-part"), "x")
    assert told == dict.fromkeys(("NOTIFY_WEBHOOK_URL", "NOTIFY_EMAIL"), "it refuses the connection")
    with webhook(delay_s=3) as slow, mail_server(silent=True) as silent:
        began = time.monotonic()
        told = notify.send(mailing(silent.port, NOTIFY_WEBHOOK_URL=slow.url), "x")
        assert told == dict.fromkeys(("NOTIFY_WEBHOOK_URL", "NOTIFY_EMAIL"), "no answer within 1 s")
        assert time.monotonic() - began < 2.9, "side by side"
        monkeypatch.setattr(notify, "ANSWER_S", 5)
        monkeypatch.setattr(notify, "LONGEST_S", 0.5)
        assert notify.send(mailing(silent.port), "x") == {"NOTIFY_EMAIL": "no end after 0.5 s"}


def test_recipients_that_are_refused_are_counted() -> None:
    with mail_server(refuse="night@") as mailed:
        assert notify.send(mailing(mailed.port), "x") == {"NOTIFY_EMAIL": "1 of the recipients are refused by EMAIL_SMTP_HOST"}
        assert len(mailed.letters) == 1
    with mail_server(refuse="@example.com") as mailed:
        assert notify.send(mailing(mailed.port), "x") == {"NOTIFY_EMAIL": "every recipient is refused by EMAIL_SMTP_HOST"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File with a key and a certificate for 127.0.0.1 that only itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("certificate") / "both.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "from the start"])
def test_password_travels_over_verified_tls_only(
    certificate: Path, tls: ssl.SSLContext, implicit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = {"EMAIL_SMTP_USER": "crm", "EMAIL_SMTP_PASSWORD": "m4il-pass"}
    with mail_server(tls, implicit=implicit) as mailed:
        if implicit:
            monkeypatch.setattr(notify, "IMPLICIT_TLS", mailed.port)
        assert notify.send(mailing(mailed.port, **login), "x") == {"NOTIFY_EMAIL": "its certificate is not trusted"}
        assert not any(c.startswith("AUTH") for c in mailed.commands)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert notify.send(mailing(mailed.port, **login), "x") == {"NOTIFY_EMAIL": ""}
        assert any(c.startswith("AUTH") for c in mailed.commands)
        assert len(mailed.letters) == 1


def test_password_is_not_sent_without_tls() -> None:
    with mail_server() as mailed:
        told = notify.send(mailing(mailed.port, EMAIL_SMTP_USER="crm", EMAIL_SMTP_PASSWORD="m4il-pass"), "x")
    assert told == {"NOTIFY_EMAIL": "EMAIL_SMTP_HOST offers no TLS, so the password was not sent to it"}
    assert not any(c.startswith("AUTH") for c in mailed.commands)


def test_webhooks_certificate_is_verified(tls: ssl.SSLContext) -> None:
    with webhook(tls) as heard:
        settings = load({**GOOD, "NOTIFY_WEBHOOK_URL": heard.url.replace("http:", "https:")})
        assert notify.send(settings, "x") == {"NOTIFY_WEBHOOK_URL": "its certificate is not trusted"}
    assert heard.bodies == []


def test_warning_names_the_setting_and_not_the_address(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("pyinfra"), "propagate", True)
    notify.report({"NOTIFY_WEBHOOK_URL": "it answered 404", "NOTIFY_EMAIL": ""})
    assert "NOTIFY_WEBHOOK_URL: the notification was not sent: it answered 404" in caplog.text


# -- settings --------------------------------------------------------------------------------------------------------------


def test_refused_settings_still_say_whom_to_tell(heard: Heard) -> None:
    environ = {**GOOD, "NOTIFY_WEBHOOK_URL": heard.url, "REGISTRY_PASSWORD": "", "EMAIL_SMTP_PORT": "none"}
    with pytest.raises(Refused):
        load(environ)
    settings = load_for_notifications(environ)
    assert settings.droplet_host == GOOD["DROPLET_HOST"]
    assert list(notify.channels(settings)) == ["NOTIFY_WEBHOOK_URL"]
    assert notify.channels(load_for_notifications({**environ, "NOTIFY_WEBHOOK_URL": "nonsense"})) == {}
    assert notify.channels(load_for_notifications({**GOOD, "NOTIFY_EMAIL": "ops@example.com"})) == {}, "no mail server"


def test_webhooks_address_is_a_secret() -> None:
    url = "https://hooks.example.com/services/T0/B0/abcdef"
    settings = load({**GOOD, "NOTIFY_WEBHOOK_URL": url})
    assert url not in repr(settings)
    assert url in access.secret_values(settings)


# -- the real commands -----------------------------------------------------------------------------------------------------


def command(
    argv: list[str], empty: Path, cwd: Path = PROJECT, answer: str = "", **environ: str | None
) -> subprocess.CompletedProcess[str]:
    """A command with settings of its own; ``empty``: a place for its settings file."""
    file = empty / "empty.env"
    file.touch()
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    ours = {"TWENTYOPS_LAB": "1", "TWENTYOPS_ENV_FILE": str(file), "no_proxy": "127.0.0.1", "PYTHONPATH": str(PROJECT)}
    full = {name: value for name, value in {**kept, **GOOD, **ours, **environ}.items() if value is not None}
    return subprocess.run(argv, cwd=cwd, env=full, input=answer, capture_output=True, text=True, timeout=120, check=False)


def test_test_message_is_sent_on_demand(heard: Heard, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "twentyops.notify"]
    nobody = command(argv, tmp_path)
    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert "NOTIFY_WEBHOOK_URL  neither NOTIFY_EMAIL nor this is set" in nobody.stderr
    sent = command(argv, tmp_path, NOTIFY_WEBHOOK_URL=heard.url)
    assert (sent.returncode, sent.stdout, sent.stderr) == (0, "NOTIFY_WEBHOOK_URL: sent\n", "")
    assert heard.texts[0].startswith("Twenty on 10.77.0.11: a test message\n")
    heard.status = 404
    failed = command(argv, tmp_path, NOTIFY_WEBHOOK_URL=heard.url)
    assert (failed.returncode, failed.stderr) == (1, "NOTIFY_WEBHOOK_URL: not sent: it answered 404\n")


CONFIG = """
from pyinfra import config
from twentyops import notify
config.FAIL_PERCENT = 0
notify.at_end()
"""
RECORDED = """
from types import SimpleNamespace
from twentyops import operations, plan
of = SimpleNamespace(recorded=lambda: True, release_id="r2-r2", secrets={"a": "made-on-the-droplet"}, settings=SimpleNamespace(twenty_version="1.10.0"))
plan.made = lambda: of
"""
FAILING = RECORDED + (
    "operations.control_step(name='Run server', function=lambda: 'server: no made-on-the-droplet and no r-3f0a9c77\\n  log\\n"
    "Release r1-r1 was put back and serves again. Nothing was lost.', description='x')\n"
)
INTERRUPTED = """
import os, signal, time
from twentyops import operations
def wait():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(20)
operations.control_step(name="Wait", function=wait, description="x")
"""


@pytest.mark.parametrize(
    ("deploy", "arguments", "code", "says"),
    [
        (RECORDED, ["-y"], 0, ["Twenty on 10.77.0.11: deployed release r2-r2", "Twenty 1.10.0, by "]),
        ("", ["-y"], 0, []),
        (RECORDED, ["-y", "--dry"], 0, []),
        (RECORDED, [], 0, []),  # "no" at the prompt
        (
            FAILING, ["-y"], 1,
            [
                "Twenty on 10.77.0.11: the deploy failed, the release before was put back\nat Run server (@local): server: no ***** and no *****\n",
                "Release r1-r1 was put back and serves again. Nothing was lost.\nrelease r2-r2, Twenty 1.10.0, by ",
            ],
        ),
        (
            "from pyinfra.operations import server\nserver.shell(name='Foreign', commands=['echo first >&2; echo E: the last >&2; false'])", ["-y"], 1,
            ["the deploy failed\nat Foreign (@local): E: the last\nNo release was put back; `make status` says what runs.\n"],
        ),
        ("raise SystemExit('Preflight refused x:\\n  A  b')", ["-y"], 1, ["the deploy failed\nPreflight refused x: A b\nNothing was changed.\n"]),
        ("raise SystemExit('Preflight refused x:\\n  A  b')", [], 1, []),  # a person reads it
        ("raise RuntimeError('nobody expected r-3f0a9c77')", ["-y"], 1, ["RuntimeError: nobody expected *****\nNothing was changed."]),
        (INTERRUPTED, ["-y"], 0, ["Twenty on 10.77.0.11: the deploy was interrupted\n"]),
    ],
    ids=["deployed", "unchanged", "dry", "no", "put back", "foreign command", "preflight", "preflight before a person", "crash", "Ctrl-C"],
)  # fmt: skip
def test_run_of_pyinfra(heard: Heard, tmp_path: Path, deploy: str, arguments: list[str], code: int, says: list[str]) -> None:
    (tmp_path / "config.py").write_text(CONFIG)
    (tmp_path / "deploy.py").write_text(deploy)
    argv = [str(PYINFRA), "@local", "deploy.py", *arguments]
    run = command(argv, tmp_path, tmp_path, answer="no\n", NOTIFY_WEBHOOK_URL=heard.url)
    assert run.returncode == code, run.stderr
    assert len(heard.texts) == bool(says), run.stderr
    for part in says:
        assert part in heard.texts[0], run.stderr
    assert heard.url not in run.stdout + run.stderr
    assert ("NOTIFY_WEBHOOK_URL: told how the deploy ended" in run.stderr) == bool(says)


def test_host_that_cannot_be_reached_is_told(heard: Heard, tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(CONFIG)
    (tmp_path / "deploy.py").write_text("")
    (tmp_path / "inventory.py").write_text(f"droplet = [('127.0.0.1', {{'ssh_port': {unused_port()}}})]")
    run = command([str(PYINFRA), "inventory.py", "deploy.py", "-y"], tmp_path, tmp_path, NOTIFY_WEBHOOK_URL=heard.url)
    assert run.returncode == 1
    assert "the deploy failed\n" in heard.texts[0]
    assert "127.0.0.1" in heard.texts[0].splitlines()[1], heard.texts
    assert "Nothing was changed." in heard.texts[0]


def test_failed_notification_leaves_the_exit_code_and_warns(heard: Heard, tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(CONFIG)
    (tmp_path / "deploy.py").write_text(RECORDED)
    heard.status = 500
    argv = [str(PYINFRA), "@local", "deploy.py", "-y", "--debug-all"]
    run = command(argv, tmp_path, tmp_path, NOTIFY_WEBHOOK_URL=heard.url)
    assert run.returncode == 0, run.stderr
    assert "NOTIFY_WEBHOOK_URL: the notification was not sent: it answered 500" in run.stderr
    assert "a-secret-part" not in run.stdout + run.stderr


def test_refused_settings_of_the_project_itself_are_told(heard: Heard, tmp_path: Path) -> None:
    """The project's own config.py and inventory.py; the run ends before any host."""
    argv = [str(PYINFRA), "inventory.py", "deploy.py", "-y"]
    run = command(argv, tmp_path, REGISTRY_PASSWORD=None, NOTIFY_WEBHOOK_URL=heard.url)
    assert run.returncode == 1
    assert "REGISTRY_PASSWORD" in run.stderr
    assert "Connecting" not in run.stderr
    (text,) = heard.texts
    assert "the deploy failed\nSettings refused, nothing was changed: REGISTRY_PASSWORD missing;" in text
