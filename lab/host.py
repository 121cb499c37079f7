"""What the lab needs of the outer machine; what is missing is installed, or named in an error."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from lab import packages, process
from lab.command import run
from lab.identity import Identity, LabError, cache_dir
from lab.locks import only_one

# program -> Debian package
PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "iptables": "iptables",
    "nft": "nftables",
    "ipset": "ipset",
    "dnsmasq": "dnsmasq-base",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
    "mount": "mount",
    "mkfs.ext4": "e2fsprogs",
}
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
REGISTRY_PACKAGE = "docker-registry"


def _which(program: str) -> str | None:
    # a person's PATH often lacks the administrator's directories
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")


def missing_packages() -> list[str]:
    """Debian packages that have to be installed before a lab can start."""
    wanted = {package for program, package in PROGRAMS.items() if _which(program) is None}
    if not KEYRING.exists():
        wanted.add("debian-archive-keyring")
    return sorted(wanted)


def require(say: Callable[[str], None], euid: int | None = None) -> None:
    """Make sure that a lab can run here: root, a kernel that can, and the programs, which apt-get brings where missing.

    Raises LabError that says what to do by hand when one of them cannot be had.
    """
    if (os.geteuid() if euid is None else euid) != 0:
        wanted = " ".join(sorted({*PROGRAMS.values(), REGISTRY_PACKAGE}))
        raise LabError(
            "the lab boots machines with systemd-nspawn and builds a network: it needs root.\n"
            "  run it as root (sudo make rehearse) on Debian 12 or newer, where it installs what is missing:\n"
            f"  apt-get install {wanted}\n"
            "  a deploy to a real server needs none of this: pyinfra inventory.py deploy.py"
        )
    if "overlay" not in Path("/proc/filesystems").read_text():
        raise LabError("the kernel has no overlay file system: modprobe overlay, or use another outer machine")
    if not Path("/dev/loop-control").exists():
        raise LabError("the kernel has no loop devices: modprobe loop, or use another outer machine")
    if not Path("/proc/self/ns/time").exists():
        raise LabError("the kernel has no time namespaces (Linux 5.6 or newer with CONFIG_TIME_NS): use another one")
    if missing := missing_packages():
        packages.install(missing, say)
        if still := missing_packages():
            raise LabError(f"installed, but still not found: {' '.join(still)}; look where apt-get put them")
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


def registry_program(say: Callable[[str], None]) -> str:
    """Path of the registry's program: the installed one, or Debian's package unpacked into the cache.

    It is not installed, since the package would start a registry service of its own on this machine.
    """
    installed = _which("docker-registry")
    if installed:
        return installed
    directory = cache_dir() / "tools" / REGISTRY_PACKAGE
    program = directory / "usr/bin/docker-registry"
    with only_one(packages.LOCK):
        if program.exists():
            return str(program)
        say(f"fetching Debian's {REGISTRY_PACKAGE}")
        fresh = directory.with_name(f"{directory.name}.{os.getpid()}")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        try:
            if run("apt-get", "-q", "download", REGISTRY_PACKAGE, cwd=fresh, check=False).returncode != 0:
                run("apt-get", "-q", "update", timeout=300)
                run("apt-get", "-q", "download", REGISTRY_PACKAGE, cwd=fresh)
            (archive,) = fresh.glob("*.deb")
            run("dpkg-deb", "--extract", str(archive), str(fresh))
            archive.unlink()
            shutil.rmtree(directory, ignore_errors=True)
            fresh.rename(directory)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return str(program)


def mounts_below(directory: Path) -> list[str]:
    """Mount points of this mount namespace at or below a directory, innermost first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((p for p in points if Path(p).is_relative_to(directory)), reverse=True)


def swaps_below(directory: Path) -> list[str]:
    """Swap files of this kernel at or below a directory."""
    files = [line.split()[0] for line in Path("/proc/swaps").read_text().splitlines()[1:]]
    return [file for file in files if Path(file).is_relative_to(directory)]


def loops_below(directory: Path) -> list[str]:
    """Loop devices whose backing file lies below a directory."""
    found = []
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            backing = file.read_text().strip().removesuffix(" (deleted)")
        except OSError:  # let go of in this moment
            continue
        if Path(backing).is_relative_to(directory):
            found.append(f"/dev/{file.parts[3]}")
    return found


def leftovers(identity: Identity) -> list[str]:
    """Processes that carry the lab's mark, and what of its directory the kernel still uses, in words."""
    found = [f"process {p.pid} ({p.role}): {p.command[:120]}" for p in process.find(identity)]
    found += [f"loop device {device}" for device in loops_below(identity.runtime)]
    found += [f"mount {point}" for point in mounts_below(identity.runtime)]
    return found + [f"swap {file}" for file in swaps_below(identity.runtime)]
