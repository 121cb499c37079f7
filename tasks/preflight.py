"""Phase 1: whatever can be known to fail is said now, in one message, before any change."""

from typing import Any, NoReturn

from pyinfra import host

from twentyops import daemon, facts, plan, preflight, release
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
    if host.data.get("_sudo") and (refusal := host.get_fact(facts.SudoRefusal, _sudo=False)):
        refuse([preflight.no_sudo(host.data.get("ssh_user"), refusal, on_droplet="droplet" in host.groups)])
    problems: list[Problem] = []
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


def _daemon(name: str, wanted: dict[str, Any]) -> list[Problem]:
    found = host.get_fact(facts.DockerDaemon)
    written_by_us = bool(found.get("started_with")) and found["started_with"] == found["file"]
    return daemon.problems(name, found.get("text", ""), wanted, written_by_us=written_by_us)


def refuse(problems: list[Problem]) -> NoReturn:
    raise SystemExit(str(Refused(f"Preflight refused {host.name}, nothing was changed:", problems)))


if is_deploy_file(__name__):
    check()
