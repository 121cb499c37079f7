"""One machine of a lab: a Debian with real systemd and sshd, booted by systemd-nspawn over a shared read-only tree."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab import cgroups, host, network, process, rootfs, state
from lab.command import run, wait_until
from lab.identity import Identity, LabError, cache_dir

if TYPE_CHECKING:
    from lab.world import Lab

BOOT_SECONDS = 120  # two seconds on an idle machine
BUSY_SECONDS = 20  # a build can keep sshd waiting; a machine must not be taken for dead too early
DISK_GIB = 60  # a file with holes: takes what is written to it
# Docker keeps keys per container, and systemd loads programs into the kernel's filter machine
ALLOWED_CALLS = "add_key keyctl bpf perf_event_open"
# a guest must neither set the clock of this machine nor reach its kernel or hardware; swap would be this machine's
DROPPED = "CAP_SYS_TIME,CAP_SYS_MODULE,CAP_SYS_RAWIO"
DENIED_CALLS = "~swapon swapoff"


@dataclass(frozen=True)
class Plan:
    """What a machine is, apart from where it lies: ``number`` is the last octet of its address, ``memory_mib`` None means
    as much memory as there is."""

    name: str
    os: str
    number: int
    memory_mib: int | None = None
    disk_gib: int = DISK_GIB

    def __str__(self) -> str:
        memory = "all memory" if self.memory_mib is None else f"{self.memory_mib} MiB"
        return f"{self.name}: {self.os}, {memory}, {self.disk_gib} GiB of disk"


class Machine:
    """A machine of a running or stopped lab. Get one from ``Lab.machine`` or ``Lab.add_droplet``."""

    user = "root"
    port = 22

    def __init__(self, lab: Lab, plan: Plan) -> None:
        self.lab, self.plan, self.name, self.os = lab, plan, plan.name, plan.os
        self.identity = lab.identity
        self.directory = lab.identity.runtime / "machines" / plan.name
        self.address = lab.network.address(plan.number)

    def __repr__(self) -> str:
        return f"<Machine {self.name} {self.os} {self.address} of lab {self.identity.name}>"

    # --- life ---------------------------------------------------------------------------------------------------

    def up(self) -> bool:
        """Boot the machine when it does not run, and wait for SSH. Returns whether it had to be booted."""
        if self.running() and network.has_ports(self.identity):
            try:
                self.wait_for_ssh(BUSY_SECONDS)
            except LabError as error:
                self.lab.say(f"{self.name} runs but does not answer, it is booted again: {error}")
            else:
                return False
        self.kill()
        self._prepare()
        keeper = [
            sys.executable,
            "-I",
            str(Path(__file__).with_name("supervise.py")),
            str(self.directory / "spec.json"),
        ]
        (self.directory / "log").unlink(missing_ok=True)
        own_mounts = ["unshare", "--mount", "--propagation", "slave"]
        process.spawn(self.identity, self.name, [*own_mounts, *keeper], self.directory)
        self.wait_for_ssh(BOOT_SECONDS)
        return True

    def running(self) -> bool:
        """Whether the keeper of the machine is alive."""
        return process.running(self.identity, self.name, self.directory) is not None

    def wait_for_ssh(self, seconds: float = BOOT_SECONDS) -> None:
        """Return when a command can be run by SSH; raise LabError with the console's last lines when it takes too long."""

        def ready() -> bool:
            if not self.running():
                raise LabError(f"{self.name} ended while it booted:\n  {process.tail(self.directory)}")
            return self._port_answers() and self._ssh_works()

        wait_until(ready, seconds, lambda: f"{self.name}: no SSH at {self.address}:\n  {process.tail(self.directory)}")

    def stop(self, seconds: float = 60) -> None:
        """Power off in order, as a person would; what is on its disk stays for the next ``up``."""
        pid = process.running(self.identity, self.name, self.directory)
        if pid is not None:
            process.kill([pid], signal.SIGTERM)
            wait_until(lambda: not self.running(), seconds, f"{self.name} does not power off")
        self.kill()

    def kill(self) -> None:
        """Cut the power: nothing of the machine runs afterwards, its disk stays."""

        def gone() -> bool:
            alive = {p.pid for p in process.find(self.identity, self.name)}
            alive |= {pid for pid in cgroups.pids(self.identity, self.name) if process.alive(pid)}
            process.kill(alive)
            return not alive and cgroups.remove(self.identity, self.name) and not host.loops_below(self.directory)

        wait_until(gone, 20, f"{self.name}: processes, control groups or disk that do not go away")
        (self.directory / "pid").unlink(missing_ok=True)

    def remove(self) -> None:
        """Cut the power and throw the disk away; downloaded packages go into the shared cache."""
        self.kill()
        self.keep_packages()
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def reset(self, *, new_host_key: bool = False) -> None:
        """Make it a bare machine again: same name, address and, unless asked otherwise, host key; empty disk."""
        self.wipe()
        if new_host_key:
            for key in self.directory.glob("host_key*"):
                key.unlink()
        self.up()
        self.lab.write()

    def wipe(self) -> None:
        """Cut the power and empty the disk; downloaded packages go into the shared cache."""
        self.kill()
        self.keep_packages()
        self.image.unlink(missing_ok=True)
        if (self.directory / "apt").exists():
            shutil.rmtree(self.directory / "apt")

    def snapshot(self, label: str) -> None:
        """Keep the disk as it is now under a label: the machine is powered off in order for it, and booted again."""
        self.stop()
        target = self._snapshot(label)
        if target.exists():
            shutil.rmtree(target)
        fresh = target.with_name(f".{target.name}")
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(parents=True, mode=0o700)
        _copy_disk(self.image, fresh / "disk.img")
        (fresh / "tree").write_text((self.directory / "tree").read_text())
        fresh.rename(target)
        self.up()

    def restore(self, label: str) -> None:
        """Boot from the disk that ``snapshot`` of any machine of this lab kept; name, address and host key are the machine's own."""
        source = self._snapshot(label)
        if not source.exists():
            kept = sorted(path.name for path in source.parent.glob("[!.]*")) if source.parent.exists() else []
            raise LabError(f"lab {self.identity.name} has no snapshot {label!r}, only {', '.join(kept) or 'none'}")
        self.wipe()
        self.directory.mkdir(parents=True, exist_ok=True)
        _copy_disk(source / "disk.img", self.image)
        (self.directory / "tree").write_text((source / "tree").read_text())
        self.up()
        self.lab.write()

    @property
    def image(self) -> Path:
        """The machine's disk: an ext4 file system in a file."""
        return self.directory / "disk.img"

    def _snapshot(self, label: str) -> Path:
        Identity(label)  # the same letters as a lab's name: it becomes a directory
        return self.identity.runtime / "snapshots" / label

    def reboot(self) -> None:
        """Have the machine reboot itself and wait until it is back."""
        before = self.boots()
        self.ssh("systemctl reboot", check=False)
        wait_until(lambda: self.boots() > before, 60, f"{self.name} does not reboot")
        self.wait_for_ssh()

    def boots(self) -> int:
        """How often it has booted since its keeper was started."""
        try:
            return int((self.directory / "boots").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    # --- use ----------------------------------------------------------------------------------------------------

    def ssh(
        self, command: str, *, check: bool = True, input: str | None = None, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on the machine as root; text in and out. A failure raises LabError unless ``check`` is off."""
        return run(*self.ssh_argv(command), check=check, input=input, timeout=timeout)

    def ssh_argv(self, *command: str) -> list[str]:
        """The command line that a person would use: host key pinned, the lab's key only."""
        return ["ssh", "-F", str(self.lab.ssh_config), self.name, *command]

    def host_key(self) -> str:
        """Public host key, as in known_hosts: ``ssh-ed25519 AAAA...``."""
        return " ".join((self.directory / "host_key.pub").read_text().split()[:2])

    def memory_bytes(self) -> int:
        """Memory that its processes hold now, without page cache."""
        return cgroups.memory_bytes(self.identity, self.name)

    # --- inside -------------------------------------------------------------------------------------------------

    def _port_answers(self) -> bool:
        try:
            with socket.create_connection((self.address, self.port), timeout=1) as connection:
                connection.settimeout(2)
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def _ssh_works(self) -> bool:
        return run(*self.ssh_argv("true"), check=False, timeout=20).returncode == 0

    def _prepare(self) -> None:
        """Lay out the machine's directory; the keeper mounts the disk and writes the machine's own files."""
        here = self.directory
        for part in ("disk", "root", "apt/partial"):
            (here / part).mkdir(parents=True, exist_ok=True)
        here.chmod(0o700)
        tree = self._tree()
        if not self.image.exists():
            fresh = here / ".disk.img"
            with fresh.open("w") as file:
                file.truncate(self.plan.disk_gib << 30)
            run("mkfs.ext4", "-q", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", "-m", "1", str(fresh))
            fresh.rename(self.image)
        if not (here / "host_key").exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"root@{self.name}", "-f", str(here / "host_key"))
        _link_all(self._packages(), here / "apt")  # two machines never share apt's directory, only the files in it
        self.lab.write_ssh()
        state.write_private(here / "spec.json", json.dumps(self.spec(tree), indent=1))

    def _tree(self) -> Path:
        """The tree that this machine was first booted from, for as long as it exists: a layer belongs to one tree."""
        memory = self.directory / "tree"
        if memory.exists() and self.image.exists():
            tree = Path(memory.read_text())
            if tree.exists():
                return tree
            self.lab.say(f"{self.name}: {tree} is gone, its disk starts empty")
            self.image.unlink()
        tree = rootfs.ensure(self.os, self.lab.say)
        memory.write_text(str(tree))
        return tree

    def _files(self) -> dict[str, tuple[str, int]]:
        net = self.lab.network
        lan = (
            f"[Match]\nName=host0\n\n[Network]\nAddress={self.address}/{net.cidr.prefixlen}\n"
            f"Gateway={net.gateway}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
        )
        memory = {} if self.plan.memory_mib is None else {rootfs.MEMINFO: (meminfo(self.plan.memory_mib), 0o644)}
        return memory | {
            "etc/hostname": (f"{self.name}\n", 0o644),
            "etc/hosts": (f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n", 0o644),
            "etc/resolv.conf": (f"nameserver {net.gateway}\n", 0o644),
            "etc/systemd/network/10-host0.network": (lan, 0o644),
            "etc/ssh/ssh_host_ed25519_key": ((self.directory / "host_key").read_text(), 0o600),
            "etc/ssh/ssh_host_ed25519_key.pub": ((self.directory / "host_key.pub").read_text(), 0o644),
            "root/.ssh/authorized_keys": (self.lab.ssh_key.with_suffix(".pub").read_text(), 0o600),
        }

    def spec(self, tree: Path) -> dict[str, object]:
        """What the keeper has to do, see ``lab/supervise.py``."""
        here, version = self.directory, cgroups.detect().version
        v1 = version == 1
        nspawn = [
            "systemd-nspawn", "--quiet", "--boot", f"--directory={here / 'root'}",
            f"--machine={self.identity.key}-{self.name}", f"--hostname={self.name}", "--register=no", "--keep-unit",
            "--settings=no", f"--network-bridge={self.lab.network.bridge}", "--resolv-conf=off", "--timezone=off",
            "--link-journal=no", "--console=pipe", "--capability=all", f"--drop-capability={DROPPED}",
            f"--system-call-filter={ALLOWED_CALLS}", f"--system-call-filter={DENIED_CALLS}",
            f"--bind={here / 'disk/docker'}:/var/lib/docker", f"--bind={here / 'disk/containerd'}:/var/lib/containerd",
            f"--bind={here / 'apt'}:/var/cache/apt/archives",
        ]  # fmt: skip
        if v1:
            nspawn += ["--", "systemd.unified_cgroup_hierarchy=0", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]
        return {
            "cgroups": cgroups.groups(self.identity, self.name, self.plan.memory_mib),
            "tree": str(tree),
            "image": str(self.image),
            "disk": str(here / "disk"),
            "root": str(here / "root"),
            "files": [{"path": path, "text": text, "mode": mode} for path, (text, mode) in self._files().items()],
            "boots": str(here / "boots"),
            "env": {
                # the machine's own sysctls of the network are writable, the rest of /proc/sys is not
                "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
                "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "0" if v1 else "1",
            },
            "nspawn": nspawn,
        }

    def _packages(self) -> Path:
        return cache_dir() / "debs" / self.os

    def keep_packages(self) -> None:
        """Put the packages that the machine downloaded into the cache that every later machine starts with."""
        _link_all(self.directory / "apt", self._packages())


def meminfo(mebibytes: int) -> str:
    """A /proc/meminfo of a machine of this size, which has just booted: what tools take for the size of the machine."""
    total = mebibytes * 1024
    free = total - total // 16
    figures = {"MemTotal": total, "MemFree": free, "MemAvailable": free, "Buffers": 0, "Cached": 0, "SwapTotal": 0, "SwapFree": 0}
    return "".join(f"{name + ':':16}{value:8d} kB\n" for name, value in figures.items())


def _copy_disk(source: Path, target: Path) -> None:
    run("cp", "--sparse=always", "--reflink=auto", str(source), str(target), timeout=600)


def _link_all(source: Path, target: Path) -> None:
    if not source.is_dir():
        return
    target.mkdir(parents=True, exist_ok=True)
    for package in source.glob("*.deb"):
        if not (target / package.name).exists():
            temporary = target / f".{package.name}.{os.getpid()}"
            temporary.unlink(missing_ok=True)
            os.link(package, temporary)
            temporary.rename(target / package.name)
