"""A lab as a whole: network, name service, registry and machines; brought up, repaired, described and removed."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab import cgroups, host, names, network, process, rootfs, state
from lab.clerk import domain
from lab.clerk.service import Clerk
from lab.command import run, wait_until
from lab.identity import DEFAULT_NAME, OTHER_PROJECT, PROJECT, Identity, LabError, cache_dir
from lab.locks import only_one
from lab.machine import DISK_GIB, Machine, Plan
from lab.registry import Registry

DROPLET, BUILDER = "droplet", "builder"
NUMBERS = {DROPLET: 10, BUILDER: 20}
FIRST_EXTRA = 30
Say = Callable[[str], None]


def quiet(_text: str) -> None:
    """Progress for nobody."""


class Lab:
    """One lab. ``Lab(name).up()`` makes it or repairs it, ``Lab.open(name)`` takes one that is up, ``down`` removes it."""

    def __init__(self, name: str = DEFAULT_NAME, say: Say = quiet, project: Path = PROJECT) -> None:
        self.identity = Identity(name, project)
        self.name = name
        self.say = say
        self._memory = self.identity.runtime / "lab.json"
        self._network: network.Network | None = None
        self._writing = threading.RLock()

    @classmethod
    def open(cls, name: str = DEFAULT_NAME, say: Say = quiet, project: Path | None = None) -> Lab:
        """A lab that is up, from what it wrote about itself; LabError when there is none. Of ``project``, else of the checkout
        that LAB_PROJECT names, else of this one."""
        lab = cls(name, say, project or Path(os.environ.get(OTHER_PROJECT) or PROJECT).resolve())
        state.load(lab.identity)
        if not lab._memory.exists():
            raise LabError(f"lab {name} is only half there: python -m lab up --name {name} repairs it, down removes it")
        host.require(say)
        return lab

    # --- what is remembered -------------------------------------------------------------------------------------

    def _remembered(self) -> dict[str, Any]:
        try:
            memory: dict[str, Any] = json.loads(self._memory.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return memory

    def _remember(self, **changes: Any) -> None:
        with self._writing:
            memory = {"project": str(self.identity.project), "name": self.name, **self._remembered(), **changes}
            state.write_private(self._memory, json.dumps(memory, indent=1))

    def _plans(self) -> dict[str, Plan]:
        return {name: Plan(**plan) for name, plan in self._remembered().get("machines", {}).items()}

    def _plan(self, plan: Plan) -> None:
        self._remember(machines={n: asdict(p) for n, p in (self._plans() | {plan.name: plan}).items()})

    # --- parts --------------------------------------------------------------------------------------------------

    @property
    def network(self) -> network.Network:
        if self._network is None:
            number = self._remembered().get("number")
            if number is None:
                raise LabError(f"lab {self.name} has no network yet: python -m lab up --name {self.name}")
            self._network = network.Network(self.identity, number)
        return self._network

    @property
    def registry(self) -> Registry:
        return Registry(self.identity, self.network)

    @property
    def droplet(self) -> Machine:
        return self.machine(DROPLET)

    @property
    def builder(self) -> Machine:
        return self.machine(BUILDER)

    @property
    def machines(self) -> dict[str, Machine]:
        return {name: Machine(self, plan) for name, plan in self._plans().items()}

    def machine(self, name: str) -> Machine:
        """A machine by its name; LabError with the names that there are."""
        machines = self.machines
        if name not in machines:
            raise LabError(f"lab {self.name} has no machine {name!r}, only {', '.join(machines) or 'none'}")
        return machines[name]

    @property
    def clerk(self) -> Clerk:
        return Clerk(self.identity, self.network)

    @property
    def ssh_key(self) -> Path:
        return self.identity.runtime / "ssh" / "id_ed25519"

    @property
    def ssh_config(self) -> Path:
        return self.identity.state_dir / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        return self.identity.state_dir / "known_hosts"

    @property
    def settings_file(self) -> Path:
        return self.identity.state_dir / "settings.env"

    @property
    def names_directory(self) -> Path:
        return self.identity.runtime / "names"

    @property
    def public_url(self) -> str:
        return f"http://{self.droplet.address}"

    @property
    def webhook_url(self) -> str:
        """Where the lab's Clerk sends its webhooks."""
        return f"{self.public_url}/webhooks/clerk"

    # --- up and down --------------------------------------------------------------------------------------------

    def locked(self) -> AbstractContextManager[None]:
        """One ``up`` or ``down`` of a lab at a time, whoever calls."""
        return only_one(f"lab-{self.identity.id}", lambda: self.say(f"another command works on lab {self.name}: waiting for it"))

    def up(
        self,
        os: str = "trixie",
        *,
        builder: bool = True,
        images: bool = False,
        memory_mib: int | None = None,
        disk_gib: int = DISK_GIB,
    ) -> Lab:
        """Make the lab, or what is missing of it. ``os`` is the droplet's Debian; ``memory_mib`` and ``disk_gib`` are its size.

        Without ``builder`` there is only the droplet; with ``images`` the base images are in the registry afterwards.
        Returns the lab itself.
        """
        host.require(self.say)
        with self.locked():
            self._up_parts()
            known = self._plans()
            wanted = [Plan(DROPLET, os, NUMBERS[DROPLET], memory_mib, disk_gib)]
            if builder:
                wanted.append(Plan(BUILDER, "trixie", NUMBERS[BUILDER]))
            for plan in wanted:
                if plan.name not in known:
                    self._plan(plan)
                elif known[plan.name] != plan:
                    raise LabError(
                        f"lab {self.name} is there already, with another {known[plan.name]}\n  take it down first "
                        f"(python -m lab down --name {self.name}), or use another --name"
                    )
            with ThreadPoolExecutor(max_workers=2) as beside:
                signs_in = beside.submit(self.clerk.start, self.webhook_url, self.public_url)
                pushed = beside.submit(self._images) if images else None
                self._boot()
                signs_in.result()
                found = pushed.result() if pushed else self.images
            self._remember(images=found)
            self.write()
        return self

    def _up_parts(self) -> None:
        runtime = self.identity.runtime
        runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = self._remembered().get("number")
        self._network = network.create(self.identity, before)
        if before not in (None, self._network.number):
            self.say(f"10.77.{before}.0/24 is taken by something else now: the lab moves to {self._network.cidr}")
        self._remember(number=self._network.number)
        names.publish(self.names_directory, "added", self._names())
        if "started_at" not in self._remembered():
            self._remember(started_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
        egress = names.egress_of(names.configured_urls())
        network.wall(self._network, egress.ports, egress.addresses)
        names.start(self._network, egress, self.names_directory)
        self.registry.start(self.say)
        self.clerk.prepare(self.say)
        if not self.ssh_key.exists():
            self.ssh_key.parent.mkdir(mode=0o700, exist_ok=True)
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"lab {self.name}", "-f", str(self.ssh_key))

    def _boot(self) -> None:
        machines = list(self.machines.values())
        for suite in sorted({machine.os for machine in machines}):
            rootfs.ensure(suite, self.say)
        with ThreadPoolExecutor(max_workers=4) as pool:
            for machine, booted in zip(machines, pool.map(Machine.up, machines), strict=True):
                self.say(f"{machine.name} ({machine.os}) {'booted' if booted else 'is up'} at {machine.address}")

    def down(self) -> None:
        """Leave nothing of the lab in the kernel or on the disk, however much of it is there; caches stay."""
        host.require(self.say)
        with self.locked():
            identity = self.identity
            for machine in self.machines.values() if self._remembered().get("number") is not None else ():
                machine.kill()
                machine.keep_packages()
            self._kill_all()
            for swap in host.swaps_below(identity.runtime):
                run("swapoff", swap)
            for mount in host.mounts_below(identity.runtime):
                run("umount", mount)
            network.remove(identity)
            if identity.runtime.exists():
                shutil.rmtree(identity.runtime)
            self._remove_state()
            self._network = None
        found = leftovers(self.name, self.identity.project)
        if found:
            raise LabError(f"lab {self.name} left something behind:\n  " + "\n  ".join(found))

    def _kill_all(self) -> None:
        def gone() -> bool:
            alive = {p.pid for p in process.find(self.identity)}
            alive |= {pid for pid in cgroups.pids(self.identity) if process.alive(pid)}
            process.kill(alive)
            return not alive and cgroups.remove(self.identity) and not host.loops_below(self.identity.runtime)

        wait_until(
            gone, 20, lambda: f"lab {self.name} does not end:\n  " + "\n  ".join(leftovers(self.name, self.identity.project))
        )

    def _remove_state(self) -> None:
        directory = self.identity.state_dir
        for file in (state.path(self.identity), self.ssh_config, self.known_hosts, self.settings_file):
            file.unlink(missing_ok=True)
        # other files (a person's, or those of labs with other names) keep the directory
        for empty in (directory, self.identity.project / ".lab"):
            if empty.is_dir() and not any(empty.iterdir()):
                empty.rmdir()

    def is_up(self) -> bool:
        """Whether registry, Clerk and every machine of it run; nothing is repaired."""
        if not state.path(self.identity).exists() or not self._plans() or self._remembered().get("number") is None:
            return False
        return self.registry.running() and self.clerk.running() and all(machine.running() for machine in self.machines.values())

    # --- further machines ---------------------------------------------------------------------------------------

    def add_droplet(
        self,
        name: str,
        os: str = "trixie",
        *,
        memory_mib: int | None = None,
        disk_gib: int = DISK_GIB,
        snapshot: str | None = None,
    ) -> Machine:
        """Boot one more bare machine (about two seconds when its tree is there); ``remove_droplet`` takes it away.

        With ``snapshot`` it starts with the disk that ``Machine.snapshot`` kept; ``os`` must be that machine's.
        """
        Identity(name)  # the same letters as a lab's name: it becomes a host name
        with self.locked():
            plans = self._plans()
            if name in plans:
                raise LabError(f"lab {self.name} has a machine {name!r} already: reset it, or choose another name")
            used = {plan.number for plan in plans.values()}
            number = next((n for n in range(FIRST_EXTRA, 255) if n not in used), 255)
            self.network.address(number)
            self._plan(Plan(name, os, number, memory_mib, disk_gib))
            machine = self.machine(name)
            machine.restore(snapshot) if snapshot else machine.up()
            self.write()
        return machine

    def remove_droplet(self, name: str) -> None:
        """Remove one machine with its disk; the others are not touched."""
        with self.locked():
            self.machine(name).remove()
            self._remember(machines={n: asdict(p) for n, p in self._plans().items() if n != name})
            self.write()

    def reset(self, name: str) -> Machine:
        """Make one machine bare again, its address and host key kept."""
        machine = self.machine(name)
        with self.locked():
            machine.reset()
        return machine

    # --- what it tells ------------------------------------------------------------------------------------------

    def add_name(self, name: str, address: str | None = None) -> None:
        """Let the lab's name service know a host name; without an address it is the gateway, where emulators listen."""
        with self._writing:
            self._remember(names={**self._remembered().get("names", {}), name: address or ""})
            names.publish(self.names_directory, "added", self._names())

    def _names(self) -> dict[str, str]:
        """Names of the lab's own; the publishable key's host lies in Clerk's name space, so it must end here, on the gateway."""
        added: dict[str, str] = {self.clerk_domain: "", **self._remembered().get("names", {})}
        return {name: address or self.network.gateway for name, address in added.items()}

    @property
    def clerk_domain(self) -> str:
        """Host name that the lab's Clerk publishable key stands for."""
        return domain(self.name)

    def add_emulator(self, name: str, url: str) -> None:
        """Tell others by ``state.json`` where an emulator of this lab listens."""
        self._remember(emulators={**self._remembered().get("emulators", {}), name: url})
        self.write()

    def ensure_images(self) -> dict[str, str]:
        """Have the base images in the registry, built when the cache lacks them: short name -> full reference."""
        self._remember(images=self._images())
        self.write()
        return self.images

    def _images(self) -> dict[str, str]:
        from lab import images  # heavy, and a lab of bare machines needs none

        try:
            return images.ensure(self.registry)
        except (images.HostError, images.BuildError, images.PushError) as error:
            raise LabError(f"base images: {error}") from error

    @property
    def images(self) -> dict[str, str]:
        images: dict[str, str] = self._remembered().get("images", {})
        return images

    def write_ssh(self) -> None:
        """Write ``known_hosts`` and ``ssh_config`` for the machines whose host keys exist."""
        with self._writing:
            ready = [m for m in self.machines.values() if (m.directory / "host_key.pub").exists()]
            known = "".join(f"{m.name},{m.address} {m.host_key()}\n" for m in ready)
            state.write_private(self.known_hosts, known)
            config = "".join(
                f"Host {m.name} {m.address}\n  HostName {m.address}\n  User {m.user}\n  Port {m.port}\n" for m in ready
            )
            config += (
                f"Host *\n  IdentityFile {self.ssh_key}\n  IdentitiesOnly yes\n  UserKnownHostsFile {self.known_hosts}\n"
                "  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  HostKeyAlgorithms ssh-ed25519\n"
                "  BatchMode yes\n  ConnectTimeout 5\n  LogLevel ERROR\n"
            )
            state.write_private(self.ssh_config, config)

    def write(self) -> None:
        """Write ``ssh_config`` and ``state.json`` as the lab is now."""
        with self._writing:
            self.write_ssh()
            state.save(self.identity, self.state())

    def state(self) -> state.State:
        """What the lab tells about itself."""
        net, registry = self.network, self.registry
        return state.State(
            name=self.name,
            id=self.identity.id,
            network=state.NetworkState(bridge=net.bridge, cidr=str(net.cidr), gateway=net.gateway),
            machines={
                m.name: state.MachineState(host=m.address, user=m.user, port=m.port, host_key=m.host_key(), os=m.os)
                for m in self.machines.values()
            },
            ssh=state.SshState(key=str(self.ssh_key), known_hosts=str(self.known_hosts), config=str(self.ssh_config)),
            public_url=self.public_url,
            registry=state.RegistryState(
                address=registry.address,
                username=registry.username,
                password=registry.password,
                ca_file=str(registry.ca_file),
            ),
            clerk=self.clerk.state(),
            images=self.images,
            emulators=self._remembered().get("emulators", {}),
            settings_file=str(self.settings_file),
            runtime=str(self.identity.runtime),
            started_at=self._remembered()["started_at"],
        )


def leftovers(name: str = DEFAULT_NAME, project: Path = PROJECT) -> list[str]:
    """What of a lab exists now, in words: processes, mounts, control groups, interfaces, routes, rules, directories.

    Found by the lab's key, not by its files; empty after ``down``.
    """
    identity = Identity(name, project)
    found = host.leftovers(identity)
    found += [f"control group {path}" for path in cgroups.find(identity)]
    if network.bridge_exists(identity.bridge):
        found.append(f"bridge {identity.bridge}")
    found += [f"guard route {cidr}" for cidr in network.guard_routes(identity)]
    found += [f"iptables {table}: {' '.join(rule)}" for table, rule in network.rules(identity)]
    if network.ipset_exists(identity):
        found.append(f"ipset {identity.ipset}")
    found += [f"directory {identity.runtime}"] if identity.runtime.exists() else []
    found += [f"file {state.path(identity)}"] if state.path(identity).exists() else []
    return found


def every_lab() -> list[dict[str, Any]]:
    """Labs of every checkout that left a memory in the cache: ``{name, project, number, machines, started_at ...}``."""
    files = sorted((cache_dir() / "labs").glob("*/lab.json"))
    return [json.loads(file.read_text()) for file in files]
