"""Phase 1: whatever can be known to fail is said now, in one message, before any change."""

from typing import Any, NoReturn

from paramiko import SSHException
from pyinfra import host
from pyinfra.api.exceptions import ConnectError
from pyinfra.connectors.ssh import SSHConnector

from twentyops import daemon, facts, operations, plan, preflight, release
from twentyops.deploying import is_deploy_file
from twentyops.errors import Problem, Refused
from twentyops.registry import RegistryError


def check() -> None:
    """Control machine first (settings, registry, source, patchset), then this host."""
    if not {"droplet", "builder"} & set(host.groups):
        raise SystemExit(
            f"{host.name} is neither droplet nor builder, so there is nothing to do on it. Nothing was changed.\n"
            "Next: pyinfra inventory.py deploy.py; the settings say which hosts these are"
        )
    current = plan.current()
    if problems := _login():
        refuse(problems)
    if host.data.get("_sudo") and (refusal := host.get_fact(facts.SudoRefusal, _sudo=False)):
        refuse([preflight.no_sudo(host.data.get("ssh_user"), refusal, on_droplet="droplet" in host.groups)])
    if host.name == "@local" or "builder" in host.groups:
        must_build = not current.twenty.digest
        room = host.get_fact(facts.DockerRoom) if must_build else {}
        problems += preflight.builder(host.get_fact(facts.HostState) | room, current.settings, must_build=must_build)
        if host.name != "@local":
            problems += _daemon(f"builder {host.name}", daemon.BUILDER)
    if "droplet" in host.groups:
        problems += preflight.clerk_instance(current.settings)
        state = host.get_fact(facts.HostState)
        problems += preflight.droplet(state, current.settings)
        problems += _daemon(f"droplet {host.name}", daemon.DROPLET)
        current.cpus = state["cpus"]
        current.previous = release.Manifest.from_json(host.get_fact(facts.ReleaseManifest))
        try:
            current.pin_base_images(current.previous)
        except (RegistryError, ValueError) as error:
            problems.append(Problem("POSTGRES_IMAGE, REDIS_IMAGE, CADDY_IMAGE", f"{error}; name an image that is there"))
    if problems:
        refuse(problems)


def _login() -> list[Problem]:
    """Whether the login does what is asked of it: run a command, and take files. One without either fails later, in tracebacks."""
    if not isinstance(host.connector, SSHConnector):
        return []
    prefix = host.data.get("settings_prefix")
    user, name = f"{prefix}_SSH_USER", f"{host.data.get('ssh_user')}@{host.name}"
    ran, text = operations.remote("echo twentyops-runs", sudo=False)
    if not ran or text.strip() != "twentyops-runs":
        shown = repr(text.strip()[:100]) if text.strip() else "nothing"
        remedy = f"{name} does not run what it is told (it answers {shown}): take command= out of its authorized_keys and ForceCommand out of sshd_config, or name another user"
        return [Problem(user, remedy)]
    try:
        host.connector.get_file_transfer_connection()
    except (ConnectError, SSHException, OSError, EOFError) as error:
        remedy = f"{name} may not transfer files ({str(error).splitlines()[0]}): sshd_config needs the line `Subsystem sftp internal-sftp`, then systemctl reload ssh"
        return [Problem(user, remedy)]
    return []


def _daemon(name: str, wanted: dict[str, Any]) -> list[Problem]:
    found = host.get_fact(facts.DockerDaemon)
    written_by_us = bool(found.get("started_with")) and found["started_with"] == found["file"]
    return daemon.problems(name, found.get("text", ""), wanted, written_by_us=written_by_us)


def refuse(problems: list[Problem]) -> NoReturn:
    raise SystemExit(str(Refused(f"Preflight refused {host.name}, nothing was changed:", problems)))


if is_deploy_file(__name__):
    check()
