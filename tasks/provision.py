"""Phase 3: packages, time, swap, unattended upgrades, Docker Engine + Compose v2 + buildx, log limits."""

from io import StringIO
from typing import Any

from pyinfra import host
from pyinfra.api import deploy
from pyinfra.operations import files, systemd

from twentyops import daemon, distributions, facts, firewall, operations, plan
from twentyops.deploying import is_deploy_file

AUTO_UPGRADES = 'APT::Periodic::Update-Package-Lists "1";\nAPT::Periodic::Unattended-Upgrade "1";\n'
JOURNAL = "[Journal]\nSystemMaxUse=500M\nMaxRetentionSec=1month\n"


@deploy("Provision the droplet")
def droplet() -> None:
    """Everything that the stack stands on."""
    state = host.get_fact(facts.HostState)
    _packages(state)
    _limits()
    if not state["container"]:
        # a container shares the outer machine's clock and swap, and may set neither
        if _keeps_time_by_itself(state):
            systemd.service(name="Time from the network", service=distributions.TIMESYNCD, running=True, enabled=True)
        operations.swap_file(name="Swap", path="/swapfile", size_mb=distributions.swap_mb(state["memory_mb"]))
    operations.installed_packages(name="Packet filter's tools", packages=firewall.PACKAGES)
    operations.packet_filter(name="Packet filter", files=firewall.files(plan.current().settings, state["name_servers"]))
    _docker(state, daemon.DROPLET)


@deploy("Provision the builder")
def builder() -> None:
    """Docker and the registry's login on a remote builder; the control machine's own Docker is left as it is."""
    if plan.current().settings.builder_is_local:
        return
    state = host.get_fact(facts.HostState)
    _packages(state)
    _docker(state, daemon.BUILDER)


def _keeps_time_by_itself(state: dict[str, Any]) -> bool:
    """Whether the clock is left to systemd; a host with chrony or another service for it keeps that one."""
    return state["time_service"] in ("", distributions.TIMESYNCD)


def _packages(state: dict[str, Any]) -> None:
    files.put(
        name="apt waits for its lock",
        src=StringIO('DPkg::Lock::Timeout "300";\n'),
        dest="/etc/apt/apt.conf.d/90twentyops",
        mode="644",
    )
    operations.repaired_packages(name="Packages are whole")
    packages: tuple[str, ...] = distributions.BASE_PACKAGES
    if _keeps_time_by_itself(state):
        packages = (*packages, distributions.TIMESYNCD)
    operations.installed_packages(name="Base packages", packages=packages)


def _limits() -> None:
    files.put(name="Unattended upgrades", src=StringIO(AUTO_UPGRADES), dest="/etc/apt/apt.conf.d/20auto-upgrades", mode="644")
    journal = files.put(
        name="Journal limits",
        src=StringIO(JOURNAL),
        dest="/etc/systemd/journald.conf.d/twentyops.conf",
        mode="644",
        create_remote_dir=True,
    )
    systemd.service(name="Journal reads them", service="systemd-journald", restarted=True, _if=journal.did_change)


def _docker(state: dict[str, Any], wanted: dict[str, Any]) -> None:
    settings = plan.current().settings
    recipe = distributions.docker_recipe(
        state["os"], state["os_version"], state["codename"], settings.docker_packages, settings.docker_apt_url,
        state["mirror"], state["architecture"],
    )  # fmt: skip
    if recipe.key_url:
        operations.installed_packages(name="gpg, to compare the key of Docker's repository", packages=("gpg",))
    operations.apt_sources(name="Where Docker comes from", files=recipe.sources, key_url=recipe.key_url)
    operations.installed_packages(name="Docker Engine, Compose, buildx", packages=recipe.packages)
    if settings.registry_ca_file:
        files.put(
            name="CA of the registry",
            src=str(settings.registry_ca_file),
            dest=f"/etc/docker/certs.d/{settings.registry}/ca.crt",
            mode="644",
            create_remote_dir=True,
        )
    operations.docker_daemon(name="Docker runs with our limits", wanted=wanted)
    operations.registry_login(
        name="Login to the registry",
        registry=settings.registry,
        username=settings.registry_username,
        password=settings.registry_password.get_secret_value(),
    )


if is_deploy_file(__name__):
    if "droplet" in host.groups:
        droplet()
    if "builder" in host.groups:
        builder()
