"""SSH as this project wants it: one configuration for every client, pinned host keys, no Nagle delay, refusals that say what to do.

The configuration is an OpenSSH file of ours: what the settings say first, then the operator's own ~/.ssh/config (aliases, ProxyJump,
keys). pyinfra, testinfra and the tunnel to the builder all read it. Measured on 2 cores: TCP_NODELAY alone takes a no-change run from
4.3 s to 1.6 s.
"""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import paramiko
from pyinfra.api.exceptions import ConnectError
from pyinfra.connectors.ssh import SSHConnector

from twentyops.errors import Problem, Refused
from twentyops.settings import Settings

LONGEST_TMPDIR = 60
REMEDIES = (
    ("does not match", "its host key is not the pinned one: if the machine was made anew, compare and update {prefix}_HOST_KEY"),
    ("No host key", "its host key is of another type than the pinned one: pin the line that `ssh-keyscan {host}` prints"),
    ("Authentication", "it refuses the key: check {prefix}_SSH_USER and {prefix}_SSH_KEY, and that the public half is in its authorized_keys"),
    ("", "it cannot be reached: check {prefix}_HOST, {prefix}_SSH_PORT, and that the machine runs"),
)  # fmt: skip


def no_delay_transport(sock: Any, **arguments: Any) -> paramiko.Transport:
    """A transport that sends small packets at once. Source: measured on pyinfra 3.10 (41 ms lost per command otherwise).

    A function, because pyinfra's debug-inventory can show functions and fails on classes.
    """
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return paramiko.Transport(sock, **arguments)


def _fingerprint(key: Path) -> str:
    """SHA256:... of a key file, for which no passphrase is asked; empty where OpenSSH cannot read it."""
    told = subprocess.run(
        ["ssh-keygen", "-l", "-E", "sha256", "-f", str(key)], capture_output=True, text=True, check=False
    ).stdout
    return next((word for word in told.split() if word.startswith("SHA256:")), "")


def _has_passphrase(key: Path) -> bool:
    tried = subprocess.run(["ssh-keygen", "-y", "-P", "", "-f", str(key)], capture_output=True, text=True, check=False)
    return tried.returncode != 0 and "passphrase" in tried.stderr


def agent_key(fingerprint: str) -> paramiko.AgentKey | None:
    """The key of the SSH agent with that fingerprint, None where it has none or there is no agent."""
    return next((key for key in paramiko.Agent().get_keys() if key.fingerprint == fingerprint), None)


def fingerprint_in_agent(prefix: str, key: Path) -> str:
    """Fingerprint of the agent's key for a file with a passphrase; empty where the file alone will do. ``Refused``: nobody can open it.

    pyinfra would ask for the passphrase in the middle of a run, for which nobody may be there.
    """
    if not _has_passphrase(key):
        return ""
    fingerprint = _fingerprint(key)
    if agent_key(fingerprint):
        return fingerprint
    remedy = f"{key} has a passphrase, and no SSH agent holds it: ssh-add {shlex.quote(str(key))}, or name a key without one for runs without a person"
    raise Refused("Settings refused, nothing was changed:", [Problem(f"{prefix}_SSH_KEY", remedy)])


def in_config(path: str | Path) -> str:
    """A path as OpenSSH's configuration takes it for itself: blanks quoted, percent signs doubled (they stand for host, user, ...)."""
    return f'"{path}"'.replace("%", "%%")


@dataclass(frozen=True)
class Login:
    """How the settings say that a machine is reached; None is left to ~/.ssh/config."""

    prefix: str
    """Of its settings: DROPLET or BUILDER."""
    host: str
    host_key: str
    user: str | None
    port: int | None
    key: Path | None


def logins(settings: Settings) -> list[Login]:
    """The droplet's, and the builder's where that is another machine than this one."""
    names = ["droplet"] if settings.builder_is_local else ["droplet", "builder"]

    def given(name: str) -> Any:
        return getattr(settings, name) if name in settings.model_fields_set else None

    return [
        Login(
            prefix=name.upper(),
            host=getattr(settings, f"{name}_host"),
            host_key=getattr(settings, f"{name}_host_key"),
            user=given(f"{name}_ssh_user"),
            port=given(f"{name}_ssh_port"),
            key=getattr(settings, f"{name}_ssh_key"),
        )
        for name in names
    ]


def reachable_name(login: Login) -> str:
    """The name for command lines: the host, or one of our own for an IPv6 address, whose colons testinfra takes for a port."""
    return f"twentyops-{login.prefix.lower()}" if ":" in login.host else login.host


def config_text(found: list[Login], known_hosts: Path, operators: Path) -> str:
    """OpenSSH's configuration for these machines. The first value of each option counts: the settings', then the operator's, then ours."""
    lines = ["# Written by twentyops at each run from the settings; edit those, or ~/.ssh/config."]
    for login in found:
        lines.append(f"Host {' '.join(dict.fromkeys([login.host, reachable_name(login)]))}")
        options = {
            "HostName": login.host if ":" in login.host else None,
            "HostKeyAlias": login.host,
            "UserKnownHostsFile": in_config(known_hosts),
            "GlobalKnownHostsFile": "none",
            "StrictHostKeyChecking": "yes",
            "User": login.user,
            "Port": login.port,
            "IdentityFile": in_config(login.key) if login.key else None,
            "IdentitiesOnly": "yes" if login.key else None,
        }
        lines += [f"  {name} {value}" for name, value in options.items() if value is not None]
    if operators.is_file():
        # pyinfra's own reader takes quotes for a part of the name
        name = f'"{operators}"' if " " in str(operators) else str(operators)
        lines += ["Host *", f"  Include {name}"]
    lines += [f"Host {' '.join(name for login in found for name in (login.host, reachable_name(login)))}", "  User root"]
    # machines on the way too: nobody is there to answer a question
    lines += ["Host *", "  BatchMode yes", "  ConnectTimeout 10", "  StrictHostKeyChecking yes", "  LogLevel ERROR"]
    return "\n".join(lines) + "\n"


def resolved(config: Path, name: str) -> dict[str, str]:
    """What OpenSSH makes of a name with that configuration: ``{option in lower case: value}``. ``Refused`` where it cannot read it."""
    done = subprocess.run(["ssh", "-G", "-F", str(config), name], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["ssh gave no reason"])[0]
        raise Refused("Settings refused, nothing was changed:", [Problem("~/.ssh/config", f"{reason}; mend it there")])
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def write_config(settings: Settings, directory: Path) -> Path:
    """Write configuration and pinned host keys for these settings below ``directory`` and give the configuration's path.

    A host key stands under the name of the settings, by which OpenSSH looks it up, and under the address that the name stands for, by
    which pyinfra does.
    """
    directory.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9.-]", "_", settings.droplet_host)
    config, known_hosts = directory / f"{name}.config", directory / f"{name}.known_hosts"
    found = logins(settings)
    config.write_text(config_text(found, known_hosts, Path("~/.ssh/config").expanduser()))
    lines = []
    for login in found:
        told = resolved(config, login.host)
        places = {login.host, _in_known_hosts(told["hostname"], int(told["port"]))}
        lines += [f"{place} {login.host_key}" for place in sorted(places)]
    known_hosts.write_text("\n".join(lines) + "\n")
    return config


def _in_known_hosts(host: str, port: int) -> str:
    return host if port == 22 else f"[{host}]:{port}"


def host_data(login: Login, config: Path) -> dict[str, Any]:
    """pyinfra's data for one machine: strict host keys, and of an agent only the key that is named, where one is.

    ``Refused``: see ``fingerprint_in_agent``.
    """
    told = resolved(config, login.host)
    data: dict[str, Any] = {
        "ssh_user": told["user"],
        "ssh_port": int(told["port"]),
        "ssh_config_file": str(config),
        "ssh_known_hosts_file": str(config.with_suffix(".known_hosts")),
        "ssh_strict_host_key_checking": "yes",
        "ssh_paramiko_connect_kwargs": {"transport_factory": no_delay_transport},
        "ssh_name": reachable_name(login),
        "settings_prefix": login.prefix,
    }
    if login.key:
        if fingerprint := fingerprint_in_agent(login.prefix, login.key):
            data |= {"agent_fingerprint": fingerprint, "ssh_allow_agent": False, "ssh_look_for_keys": False}
        else:
            data["ssh_key"] = str(login.key)
    if told["user"] != "root":
        data["_sudo"] = True
    return data


def explain_connection_errors() -> None:
    """Make pyinfra's connection errors name the setting and the remedy, and use the agent's key where one is named. Called once, by the
    inventory."""
    if getattr(SSHConnector.connect, "explains", False):
        return
    connect = SSHConnector.connect

    def connect_or_explain(self: SSHConnector) -> None:
        if fingerprint := self.host.data.get("agent_fingerprint"):
            # only now: pyinfra's debug-inventory cannot show an object
            self.data["ssh_paramiko_connect_kwargs"]["pkey"] = agent_key(fingerprint)
        try:
            connect(self)
        except ConnectError as error:
            text = str(error)
            prefix = self.host.data.get("settings_prefix", "DROPLET")
            remedy = next(r for needle, r in REMEDIES if needle in text)
            raise ConnectError(
                f"{text}\n  {self.host.name}: {remedy.format(prefix=prefix, host=self.host.name)}\n  Nothing was changed."
            ) from error

    connect_or_explain.explains = True  # type: ignore[attr-defined]
    SSHConnector.connect = connect_or_explain  # type: ignore[method-assign]


@contextmanager
def docker_socket(data: dict[str, Any]) -> Iterator[str]:
    """The Docker socket of another machine (``host_data``) as ``unix://...`` on this one, for the Docker SDK; an SSH tunnel while it lasts."""
    # a socket's path has at most 104 bytes (a Mac; Linux 108)
    short = None if len(gettempdir()) < LONGEST_TMPDIR else "/tmp"  # noqa: S108 - a new directory in it, for us alone
    with TemporaryDirectory(prefix="twentyops-", dir=short) as directory:
        local = f"{directory}/docker.sock"
        master = f"{directory}/master"
        target = data["ssh_name"]
        command = ["ssh", "-F", data["ssh_config_file"], "-M", "-S", master, "-f", "-N", "-o", "ExitOnForwardFailure=yes"]
        # -f returns when the forward stands, so nothing has to be waited for
        subprocess.run([*command, "-L", f"{local}:/var/run/docker.sock", target], check=True, timeout=60)
        try:
            yield f"unix://{local}"
        finally:
            subprocess.run(["ssh", "-S", master, "-O", "exit", target], check=False, timeout=20, capture_output=True)
