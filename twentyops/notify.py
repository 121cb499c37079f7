"""Tells people how a deploy ended: a chat's webhook (NOTIFY_WEBHOOK_URL) and e-mail (NOTIFY_EMAIL). docs/notifications.md.

``config.py`` calls ``at_end``. The end is observed where click leaves pyinfra's command: every way out passes there with its exception
(pyinfra itself ends by ``SystemExit``), after the hosts are disconnected and the lock is given back. A killed process tells nobody.

``python -m twentyops.notify`` sends a test message.
"""

from __future__ import annotations

import json
import logging
import re
import smtplib
import socket
import ssl
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formataddr, formatdate, make_msgid
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.error import HTTPError, URLError

import click
from pyinfra import logger
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import State, StateStage
from pyinfra.context import ctx_state

from twentyops import access, operations, plan, release
from twentyops.errors import Problem, Refused
from twentyops.settings import Settings, load, load_for_notifications

ANSWER_S, LONGEST_S = 10, 30
"""Seconds for each answer of the other side, and for all sending together."""
LONGEST_REASON = 300
IMPLICIT_TLS = 465
COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
CONTROL = re.compile(r"[\x00-\x1f\x7f\s]+")
LOGIN_IN_ADDRESS = re.compile(r"(?<=://)[^/@\s]+@")

Kind = Literal["deployed", "unchanged", "failed", "put back", "interrupted"]


# -- the message -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """How a live deploy ended; texts are empty where nothing is known."""

    kind: Kind
    host: str
    who: str
    seconds: float
    release: str = ""
    """Of the wanted release: its id."""
    version: str = ""
    """Of Twenty in the wanted release."""
    where: str = ""
    """Name of the operation that failed."""
    reason: str = ""
    """Why, as it was printed; all of it."""
    began: bool = True
    """Whether operations were run, as against planned."""


def first_line(text: str, secrets: list[str]) -> str:
    """A reason in one line, without secrets; a headline that ends with a colon takes the line below it along."""
    lines = [line.strip() for line in COLOUR.sub("", text).splitlines() if line.strip()]
    line = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    line = LOGIN_IN_ADDRESS.sub(f"{access.MASK}@", access.masked(line, secrets))  # before it is cut: half a secret is not found
    line = CONTROL.sub(" ", line)
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…"


def _before(outcome: Outcome) -> str:
    """What became of the release that ran before."""
    said = [line for line in outcome.reason.splitlines() if operations.OF_THE_RELEASE_BEFORE.match(line)]
    if said:
        return said[0]
    if not outcome.began:
        return "Nothing was changed."
    return "No release was put back; `make status` says what runs."


def message(outcome: Outcome, secrets: list[str]) -> str:
    """Text of the message, its first line a subject; empty for an outcome that nobody is told. Pure.

    Nobody is told of a deploy that went well and deployed what ran already: a nightly one would write each night.
    """
    if outcome.kind == "unchanged":
        return ""
    what = {
        "deployed": f"deployed release {outcome.release}",
        "failed": "the deploy failed",
        "put back": "the deploy failed, the release before was put back",
        "interrupted": "the deploy was interrupted",
    }[outcome.kind]
    wanted = f"release {outcome.release}" if outcome.release and outcome.kind != "deployed" else ""
    version = f"Twenty {outcome.version}" if outcome.version else ""
    lines = [f"Twenty on {outcome.host}: {what}"]
    if outcome.kind != "deployed":
        reason = first_line(outcome.reason, secrets)
        lines.append(": ".join(filter(None, [outcome.where and f"at {outcome.where}", reason])))
        lines.append(first_line(_before(outcome), secrets))
    about = [wanted, version, f"by {outcome.who}", f"after {outcome.seconds:.0f} s"]
    return "\n".join(filter(None, [*lines, ", ".join(filter(None, about))]))


# -- sending ---------------------------------------------------------------------------------------------------------------


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: who was given the message shall be the address that the setting names."""

    def redirect_request(self, *_: Any) -> None:
        return None


def post(url: str, text: str) -> str:
    """POST ``{"text": ...}``; a returned text says why that failed, without the address."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")  # Slack: else <!channel> calls everybody
    body = json.dumps({"text": escaped}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", "User-Agent": "twentyops"})  # noqa: S310 - the settings allow http and https only
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=ANSWER_S):
            return ""
    except HTTPError as error:
        error.close()
        if 300 <= error.code < 400:
            return f"it answered {error.code}, a redirect, which is not followed: give the final address"
        return f"it answered {error.code}"


def mail(settings: Settings, text: str) -> str:
    """Send it as the CRM sends mail: TLS from the start on port 465, else STARTTLS where the server offers it.

    A returned text says why that failed. A password is never sent without TLS, and certificates are verified.
    """
    letter = EmailMessage()
    letter["From"] = formataddr((settings.email_from_name, settings.email_from_address))
    letter["To"] = settings.notify_email
    letter["Subject"] = text.splitlines()[0]
    letter["Date"] = formatdate()
    letter["Message-ID"] = make_msgid(domain=settings.email_from_address.rpartition("@")[2] or None)
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(text + "\n")
    tls = ssl.create_default_context()
    host, port = settings.email_smtp_host, settings.email_smtp_port
    if port == IMPLICIT_TLS:
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=ANSWER_S, context=tls)
    else:
        server = smtplib.SMTP(host, port, timeout=ANSWER_S)
    with server:
        server.ehlo_or_helo_if_needed()
        encrypted = port == IMPLICIT_TLS
        if not encrypted and server.has_extn("starttls"):
            server.starttls(context=tls)
            encrypted = True
        if settings.email_smtp_user and settings.email_smtp_password:
            if not encrypted:
                return "EMAIL_SMTP_HOST offers no TLS, so the password was not sent to it"
            server.login(settings.email_smtp_user, settings.email_smtp_password.get_secret_value())
        refused = server.send_message(letter)
    return f"{len(refused)} of the recipients are refused by EMAIL_SMTP_HOST" if refused else ""


def why(error: BaseException) -> str:
    """What kept a message from being sent, without address and without what the other side said."""
    if isinstance(error, URLError) and isinstance(error.reason, BaseException):
        return why(error.reason)
    if isinstance(error, smtplib.SMTPServerDisconnected) and isinstance(error.__context__, TimeoutError):
        return why(error.__context__)
    match error:
        case ssl.SSLCertVerificationError():
            return "its certificate is not trusted"
        case TimeoutError():
            return f"no answer within {ANSWER_S} s"
        case ConnectionRefusedError():
            return "it refuses the connection"
        case socket.gaierror():
            return "its name is not known"
        case smtplib.SMTPAuthenticationError():
            return "EMAIL_SMTP_USER or EMAIL_SMTP_PASSWORD is refused"
        case smtplib.SMTPSenderRefused():
            return f"EMAIL_FROM_ADDRESS is refused ({error.smtp_code})"
        case smtplib.SMTPRecipientsRefused():
            return "every recipient is refused by EMAIL_SMTP_HOST"
        case smtplib.SMTPResponseException():
            return f"EMAIL_SMTP_HOST answered {error.smtp_code}"
        case OSError(strerror=str(text)) if text:
            return text
    return type(error).__name__


def channels(settings: Settings) -> dict[str, Callable[[str], str]]:
    """``{setting: what sends a text by it}`` of what is set."""
    found: dict[str, Callable[[str], str]] = {}
    if settings.notify_webhook_url:
        url = settings.notify_webhook_url.get_secret_value()
        found["NOTIFY_WEBHOOK_URL"] = lambda text: post(url, text)
    if settings.notify_email and settings.email_smtp_host and settings.email_from_address:
        found["NOTIFY_EMAIL"] = lambda text: mail(settings, text)
    return found


def send(settings: Settings, text: str) -> dict[str, str]:
    """Send by every way that is set, side by side, in ``LONGEST_S`` at most: ``{setting: why it was not sent}``, empty where it was."""
    ways = channels(settings)
    told = dict.fromkeys(ways, f"no end after {LONGEST_S} s")

    def by(name: str) -> None:
        try:
            told[name] = ways[name](text)
        except Exception as error:
            told[name] = why(error)

    threads = [threading.Thread(target=by, args=(name,), daemon=True) for name in ways]
    end = time.monotonic() + LONGEST_S
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return dict(told)


# -- the end of a run ------------------------------------------------------------------------------------------------------


def is_live(parameters: Mapping[str, Any]) -> bool:
    """Whether pyinfra's command line asks for a deploy that changes hosts: deploy.py itself, and no option that only shows something."""
    showing = any(parameters.get(name) for name in ("dry", "debug_facts", "debug_operations"))
    return not showing and any(Path(name).name == "deploy.py" for name in parameters.get("operations") or ())


def how(
    error: BaseException | None, stage: StateStage, *, yes: bool, failed: bool
) -> Literal["went well", "failed", "interrupted"] | None:
    """How a live run ended; ``None``: a person at the prompt decided against it, or read there why it is refused. Pure.

    + error: what ended pyinfra's command: ``SystemExit`` without a number, or with 0, also where a person pressed Ctrl-C
    + stage: how far it came
    + yes: whether it ran without asking (``-y``)
    + failed: whether an operation failed
    """
    if stage < StateStage.Execute and not yes:
        return None
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        if stage < StateStage.Disconnect:
            return "interrupted"
        return "failed" if failed else "went well"
    return "failed"


class _FirstError(logging.Handler):
    """Keeps the first error that pyinfra prints: a host that cannot be reached, a fact that cannot be read."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = self.text or COLOUR.sub("", record.getMessage()).strip()


def failed_operation(state: State) -> tuple[str, str]:
    """(name of the first operation that failed and its host, what its command said last); empty where none failed."""
    for operation in state.get_op_order():  # type: ignore[no-untyped-call]
        for host, found in state.ops.items():
            if operation in found and (meta := found[operation].operation_meta).is_complete() and meta.did_error():
                said = [line for line in [*meta.stdout_lines, *meta.stderr_lines] if line.strip()]
                name = ", ".join(sorted(state.get_op_meta(operation).names))
                return f"{name} ({host.name})", operations.failures.get((host.name, operation), said[-1] if said else "")
    return "", ""


def reason_of(error: BaseException | None, of_operation: str, first_error: str) -> str:
    """Why a run failed: what our own code said, else what a command said, else what pyinfra printed first."""
    if isinstance(error, SystemExit) and isinstance(error.code, str):
        return error.code
    if of_operation:
        return of_operation
    inner = getattr(error, "exception", error)  # pyinfra wraps what it did not expect
    if isinstance(inner, Exception) and not isinstance(inner, PyinfraError | click.ClickException):
        return f"{type(inner).__name__}: {inner}"
    return first_error or str(inner or "") or "the output of the deploy says more"


class _AtEnd(AbstractContextManager[None]):
    """Left when pyinfra's command ends."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self.yes = bool(parameters.get("yes"))
        self.began = time.monotonic()
        self.first_error = _FirstError()
        logger.addHandler(self.first_error)

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        logger.removeHandler(self.first_error)
        try:
            self._tell(error)
        except BaseException as trouble:  # Ctrl-C too: the exit code is the deploy's
            logger.warning(f"NOTIFY_WEBHOOK_URL, NOTIFY_EMAIL: the notification was not sent: {type(trouble).__name__}")

    def _tell(self, error: BaseException | None) -> None:
        state: State | None = ctx_state.get() if ctx_state.isset() else None  # type: ignore[no-untyped-call]
        ready = state if state is not None and state.initialised else None
        stage = ready.current_stage if ready else StateStage.Setup
        where, of_operation = failed_operation(ready) if ready else ("", "")
        ended = how(error, stage, yes=self.yes, failed=bool(where or (ready and ready.failed_hosts)))
        if ended is None:
            return
        try:
            settings = load()
        except Refused:
            settings = load_for_notifications()
        made = plan.made()
        reason = reason_of(error, of_operation, self.first_error.text) if ended == "failed" else ""
        outcome = Outcome(
            kind=_kind(ended, made, reason),
            host=settings.droplet_host,
            who=release.who(),
            seconds=time.monotonic() - self.began,
            release=_release_id(made),
            version=made.settings.twenty_version if made else "",
            where=where,
            reason=reason,
            began=stage >= StateStage.Execute,
        )
        secrets = access.secret_values(settings) + (list(made.secrets.values()) if made else [])
        if text := message(outcome, secrets):
            report(send(settings, text))


def _kind(ended: str, made: plan.Plan | None, reason: str) -> Kind:
    if ended == "went well":
        return "deployed" if made and made.recorded() else "unchanged"
    if ended == "interrupted":
        return "interrupted"
    return "put back" if re.search(r"^Release \S+ was put back", reason, re.MULTILINE) else "failed"


def _release_id(made: plan.Plan | None) -> str:
    """Empty where the run did not come far enough to know it, whatever was missing."""
    try:
        return made.release_id if made else ""
    except Exception:
        return ""


def report(told: Mapping[str, str]) -> None:
    """Say what was sent and what was not; pyinfra counts the second as a warning."""
    for name, problem in told.items():
        if problem:
            logger.warning(f"{name}: the notification was not sent: {problem}")
        else:
            logger.info(f"{name}: told how the deploy ended")


def at_end() -> None:
    """Tell how this run of pyinfra ends, if it is a live deploy. Called by config.py, which pyinfra loads before the settings are read."""
    command = click.get_current_context(silent=True)
    if command is not None and is_live(command.params):
        command.with_resource(_AtEnd(command.params))


def main() -> int:
    """Send a test message by every way that is set; 1 where one failed. ``Refused``: none is set."""
    settings = load()
    if not channels(settings):
        remedy = "neither NOTIFY_EMAIL nor this is set; docs/notifications.md says where the addresses come from"
        raise Refused("There is nobody to tell:", [Problem("NOTIFY_WEBHOOK_URL", remedy)])
    told = send(settings, f"Twenty on {settings.droplet_host}: a test message\nsent by {release.who()}; no deploy took place")
    for name, problem in told.items():
        print(f"{name}: not sent: {problem}" if problem else f"{name}: sent", file=sys.stderr if problem else sys.stdout)
    return 1 if any(told.values()) else 0


if __name__ == "__main__":
    access.main(main)
