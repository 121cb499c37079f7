"""The droplet for an operator's commands (``ops/``): reached as a deploy reaches it, with nothing printed but what the command says."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

from pydantic import SecretStr
from pyinfra.api import Config, Inventory, State
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host
from pyinfra.context import ctx_host, ctx_state

from twentyops import release, ssh
from twentyops.errors import Refused
from twentyops.settings import Settings
from twentyops.source import cache_directory
from twentyops.stack import HOME

UNREACHED = 255
"""OpenSSH's exit code where it did not come to the command."""
MASK = "*****"
SHORTEST_SECRET = 6
"""Shorter values are no secrets of ours, and masking them would eat half of a log."""


def hosts(settings: Settings) -> dict[str, list[tuple[str, dict[str, object]]]]:
    """``{DROPLET, BUILDER: pyinfra's hosts with their data}``; the builder only where it is another machine. ``Refused``: see ``ssh``."""
    ssh.explain_connection_errors()
    config = ssh.write_config(settings, cache_directory() / "ssh")
    return {login.prefix: [(login.host, ssh.host_data(login, config))] for login in ssh.logins(settings)}


@contextmanager
def droplet(settings: Settings) -> Iterator[Host]:
    """The droplet, connected, as ``pyinfra.host``: facts and ``operations.remote`` ask it. ``ConnectError`` with the setting to look at."""
    names = hosts(settings)["DROPLET"]
    state = State(Inventory((names, {}), droplet=(names, {})), Config())  # type: ignore[no-untyped-call]
    host = state.inventory.get_host(names[0][0])
    with ctx_state.use(state), ctx_host.use(host):
        host.connect(show_errors=False, raise_exceptions=True)
        try:
            yield host
        finally:
            host.disconnect()


def ssh_command(settings: Settings, command: str, *, terminal: bool = False) -> list[str]:
    """OpenSSH's command line that runs a shell command on the droplet as root; with ``terminal`` a person types into it."""
    ((_, data),) = hosts(settings)["DROPLET"]
    root = f"sudo -n sh -c {shlex.quote(command)}" if data.get("_sudo") else f"sh -c {shlex.quote(command)}"
    return ["ssh", "-F", str(data["ssh_config_file"]), *(["-t"] if terminal else ["-T"]), str(data["ssh_name"]), root]


def secret_values(settings: Settings) -> list[str]:
    """Values of the settings that are secrets, all of TWENTY_ENV among them; of a list the whole and its parts."""
    found = [value for name in Settings.model_fields if isinstance(value := getattr(settings, name), SecretStr)]
    texts = [value.get_secret_value() for value in (*found, *settings.twenty_env.values())]
    return texts + [part.strip() for text in texts if "," in text for part in text.split(",")]


def masked(text: str, secrets: list[str]) -> str:
    """A text with stars in place of secrets, also where an address has them percent-encoded."""
    forms = {form for secret in secrets if len(secret) >= SHORTEST_SECRET for form in (secret, quote(secret, safe=""))}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


def audit_line(what: str) -> str:
    """Shell command that says in the droplet's audit log who did what."""
    line = f"{release.now()} {release.who()} {what}"
    return f"umask 077; printf '%s\\n' {shlex.quote(line)} >> {HOME}/audit.log"


def main(command: Callable[[], int]) -> None:
    """Run an operator's command: its number is the exit code, refusals and failed connections are one message without a traceback."""
    try:
        code = command()
        sys.stdout.flush()
    except (Refused, ConnectError) as error:
        code = 1
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more at its end
        code = 0
    raise SystemExit(code)
