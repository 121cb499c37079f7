"""What a host must have before anything on it changes. Pure: facts and settings in, problems out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twentyops import clerk, stack
from twentyops.errors import Problem
from twentyops.settings import Settings

SUPPORTED = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04")}
OURS = {"docker-proxy", "dockerd", "caddy"}
BUILD_MEMORY_MB = 7_500
BUILD_DISK_MB = 15_000
CLOCK_TOLERANCE_S = 5
"""What sign-in accepts between Clerk's clock and the server's (LEEWAY in the overlay's session-claims.ts)."""
BUILDER_CLOCK_TOLERANCE_S = 300
"""A build asks certificates for their dates, nothing finer."""


def droplet(state: dict[str, Any], settings: Settings) -> list[Problem]:
    """What is wrong with the droplet. ``state`` as ``facts.HostState`` gives it."""
    name = f"droplet {settings.droplet_host}"
    problems = _system(name, state, settings)
    problems += _clock(name, state, CLOCK_TOLERANCE_S, f"and sign-in accepts {CLOCK_TOLERANCE_S} s")
    wanted = sum(settings.memory_limits.values()) + settings.reserved_memory_mb
    if wanted > state["memory_mb"]:
        sizes = ", ".join(f"{k} {v}" for k, v in settings.memory_limits.items())
        problems.append(
            Problem(
                name,
                f"has {state['memory_mb']} MB of memory; the limits ({sizes}) and RESERVED_MEMORY_MB {settings.reserved_memory_mb} "
                f"sum to {wanted} MB: lower the *_MEMORY_MB settings or take a larger droplet",
            )
        )
    if state["disk_mb"] < settings.minimum_disk_mb:
        problems.append(
            Problem(
                name,
                f"has {state['disk_mb']} MB free under /var/lib, MINIMUM_DISK_MB asks for {settings.minimum_disk_mb}: "
                "free some (docker system df), lower RELEASE_RETENTION, or take a larger disk",
            )
        )
    for port in stack.published_ports(settings):
        process = state["listeners"].get(port)
        project, container = state["published"].get(port, (stack.PROJECT, ""))
        if project != stack.PROJECT:
            problems.append(
                Problem(
                    name,
                    f"port {port} is taken by the container {container}: stop it and keep it stopped (docker rm --force {container})",
                )
            )
        elif process and process not in OURS:
            problems.append(
                Problem(name, f"port {port} is taken by {process}: stop and disable it (systemctl disable --now {process})")
            )
    return problems


def builder(state: dict[str, Any], settings: Settings, must_build: bool) -> list[Problem]:
    """What is wrong with the builder; memory and disk count only where an image is to be built.

    ``state``: as ``facts.HostState`` gives it, with memory and disk of ``facts.DockerRoom`` where that knows them.
    """
    name = f"builder {settings.builder_host}"
    problems = []
    if settings.builder_is_local:
        if must_build and not state.get("docker"):
            return [
                Problem(name, "has no Docker: install Docker Engine with buildx here, or name another machine in BUILDER_HOST")
            ]
    else:
        problems += _system(name, state, settings)
        problems += _clock(name, state, BUILDER_CLOCK_TOLERANCE_S, "so certificates would be refused")
    memory, disk = state.get("memory_mb", BUILD_MEMORY_MB), state.get("disk_mb", BUILD_DISK_MB)
    if must_build and memory < BUILD_MEMORY_MB:
        remedy = "give Docker Desktop more, or name a larger machine" if settings.builder_is_local else "name a larger machine"
        problems.append(Problem(name, f"has {memory} MB of memory; the front build takes {BUILD_MEMORY_MB} MB: {remedy}"))
    if must_build and disk < BUILD_DISK_MB:
        text = f"has {disk} MB free where Docker's images lie; a build takes {BUILD_DISK_MB} MB: docker builder prune"
        problems.append(Problem(name, text))
    return problems


def _system(name: str, state: dict[str, Any], settings: Settings) -> list[Problem]:
    problems = []
    system, version = state.get("os", "?"), state.get("os_version", "?")
    if version not in SUPPORTED.get(system, ()):
        known = "Debian 12 and 13, Ubuntu 22.04 and 24.04"
        problems.append(Problem(name, f"runs {system} {version}; supported are {known}: rebuild it with one of these"))
    if (system, version) == ("debian", "12") and settings.docker_packages == "distribution" and not state.get("mirror"):
        problems.append(
            Problem(
                name, "its apt sources name no mirror of Debian bookworm, from which Docker would come: add one to sources.list"
            )
        )
    if state.get("machine") not in {"x86_64", "aarch64"}:
        problems.append(Problem(name, f"is a {state.get('machine')} machine; Twenty's image needs x86_64 or aarch64"))
    return problems


def _clock(name: str, state: dict[str, Any], tolerance: float, why: str) -> list[Problem]:
    """A clock that is not this machine's, either way; which of the two is wrong cannot be told from here."""
    ahead = state["clock_ahead_s"]
    if abs(ahead) <= tolerance:
        return []
    text = f"its clock is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine's, {why}"
    return [Problem(name, f"{text}: compare both with a clock that is right, and run timedatectl set-ntp true where it is wrong")]


def clerk_instance(settings: Settings, ask: Callable[[str], bool] = clerk.is_test_mode_on) -> list[Problem]:
    """Whether strangers get in with a code that everybody knows. ``ask`` as ``clerk.is_test_mode_on``; not asked when it is allowed."""
    if settings.clerk_test_mode == "allowed":
        return []
    try:
        on = ask(clerk.frontend(settings))
    except clerk.ClerkSilent as silence:
        why = f"cannot be told: {silence}; look there (dashboard: Configure, Settings) and try again, or"
    else:
        if not on:
            return []
        why = (
            "is on: anybody signs up as any-name+clerk_test@any.domain with a code that everybody knows; switch it off at Clerk"
            " (dashboard: Configure, Settings, Enable test mode), or, while no real data are in the CRM,"
        )
    return [Problem("CLERK_TEST_MODE", f"Clerk's test mode {why} set CLERK_TEST_MODE=allowed")]


def no_sudo(user: str, refusal: str, *, on_droplet: bool) -> Problem:
    """A user other than root who would be asked for a password: nobody is there to type it. Pure."""
    name = "DROPLET_SSH_USER" if on_droplet else "BUILDER_SSH_USER"
    rule = f"/etc/sudoers.d/{user} with the line: {user} ALL=(ALL) NOPASSWD: ALL"
    return Problem(name, f"{user} may not use sudo without a password ({refusal}); as root on the host, write {rule}")
