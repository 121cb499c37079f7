"""Root file systems of the machines: a bare Debian with systemd and sshd, like a cloud image, built once and kept.

A tree is read only to everybody: each machine lays a writable layer over it. Its directory is named after everything that
went into it, so a change of the recipe, the mirror or this machine's CA certificates gives a new tree.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from lab import packages
from lab.command import run
from lab.host import mounts_below
from lab.identity import LabError, cache_dir
from lab.locks import only_one

SUITES = ("trixie", "bookworm")
# what a cloud image of Debian has and a deploy may count on; Docker is not among it
PACKAGES = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "openssh-server",
    "python3",
    "ca-certificates",
    "curl",
    "sudo",
    "iproute2",
    "iptables",
    "nftables",
    "procps",
    "kmod",
    "less",
    "debian-archive-keyring",
]
EXTRA_CAS = Path("/usr/local/share/ca-certificates")
MEMINFO = "etc/lab/meminfo"
RECIPE = 1  # counted up when `customise` changes in a way that FILES does not show

FILES = {
    # packages come out of a cache that outlives the machine
    "etc/apt/apt.conf.d/90lab": (
        'Acquire::Languages "none";\nBinary::apt::APT::Keep-Downloaded-Packages "true";\nAPT::Keep-Downloaded-Packages "true";\n'
    ),
    "etc/ssh/sshd_config.d/10-lab.conf": "PermitRootLogin prohibit-password\nUseDNS no\n",
    # dockerd must be able to make groups of its own; systemd-nspawn leaves the controllers read only. On a busy machine one boot in
    # about fifty met a mount that failed at first, or one that was read only all the same: so a group is made in each to see it
    "etc/lab/cgroups.sh": """set -eu
[ -d /sys/fs/cgroup/memory ] || exit 0
for c in memory cpu cpuacct pids cpuset devices blkio freezer; do
  group=/sys/fs/cgroup/$c
  [ -d "$group" ] || continue
  tries=100
  until { mkdir "$group/lab-probe-$$" && rmdir "$group/lab-probe-$$"; } 2> /dev/null; do
    mount -o remount,bind,rw "$group" || echo "$group: not made writable yet"
    tries=$((tries - 1))
    [ $tries -gt 0 ] || { grep "$group" /proc/self/mountinfo; exit 1; }
    sleep 0.1
  done
done
""",
    "etc/systemd/system/docker.service.d/lab.conf": "[Service]\nExecStartPre=/bin/sh /etc/lab/cgroups.sh\n",
    "etc/systemd/system/lab-cgroups.service": """[Unit]
Description=Make the control group (v1) hierarchies writable
DefaultDependencies=no
Before=docker.service containerd.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /etc/lab/cgroups.sh

[Install]
WantedBy=sysinit.target
""",
    # a machine with a memory limit shows it: preflight checks, free and Docker read the size there
    "etc/systemd/system/lab-memory.service": f"""[Unit]
Description=Show the size of this machine's memory
DefaultDependencies=no
Before=docker.service ssh.service
ConditionPathExists=/{MEMINFO}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/mount --bind /{MEMINFO} /proc/meminfo

[Install]
WantedBy=sysinit.target
""",
}
# a machine that lives for minutes: its timers must not hold apt's lock when a deploy comes, but stay enabled
QUIET_TIMERS = ("apt-daily", "apt-daily-upgrade", "e2scrub_all", "fstrim", "dpkg-db-backup")
QUIET = "[Timer]\nOnCalendar=\nOnBootSec=30d\nPersistent=false\nRandomizedDelaySec=0\n"
ENABLED = ("systemd-networkd.service", "ssh.service", "lab-cgroups.service", "lab-memory.service")
MASKED = ("systemd-networkd-wait-online.service",)


def debian_mirrors(index_targets: str) -> tuple[str, str]:
    """(mirror, security mirror) from lines ``REPO_URI|LABEL`` of this machine's apt; LAB_MIRROR and
    LAB_SECURITY_MIRROR of the environment win over them."""
    rows = [line.strip().split("|") for line in index_targets.splitlines() if "|" in line]
    by_label = {label: uri.rstrip("/") for uri, label in rows}
    mirror = os.environ.get("LAB_MIRROR") or by_label.get("Debian", "")
    security = os.environ.get("LAB_SECURITY_MIRROR") or by_label.get("Debian-Security", "")
    if not mirror or not security:
        raise LabError(
            "no Debian mirror is configured in this machine's apt (sources of Debian and Debian-Security are needed): "
            "run apt-get update, or give addresses in LAB_MIRROR and LAB_SECURITY_MIRROR"
        )
    return mirror.rstrip("/"), security.rstrip("/")


def mirrors() -> tuple[str, str]:
    """The Debian mirrors that this machine's apt uses; its lists are fetched when there are none yet."""
    ask = ("apt-get", "indextargets", "--format", "$(REPO_URI)|$(LABEL)", "Created-By: Packages")
    text = run(*ask, check=False).stdout
    if "|Debian\n" not in text and not os.environ.get("LAB_MIRROR"):
        packages.update()
        text = run(*ask, check=False).stdout
    return debian_mirrors(text)


def apt_settings(dump: str) -> str:
    """Lines of ``apt-config dump`` that a machine needs to fetch as this one does: proxies, and how old a list may be."""
    kept = ("acquire::http::proxy", "acquire::https::proxy", "acquire::check-valid-until", "acquire::check-date")
    return "".join(f"{line}\n" for line in dump.splitlines() if line.lower().startswith(kept))


def extra_cas() -> dict[str, bytes]:
    """CA certificates that this machine trusts in addition (a proxy that opens TLS, say): file name -> PEM."""
    return {path.name: path.read_bytes() for path in sorted(EXTRA_CAS.glob("*.crt"))}


def sources(suite: str, mirror: str, security: str) -> str:
    """A machine's sources.list."""
    return (
        f"deb {mirror} {suite} main\ndeb {mirror} {suite}-updates main\ndeb {security} {suite}-security main\n"
    )  # fmt: skip


def ensure(suite: str, say: Callable[[str], None]) -> Path:
    """The tree of a Debian release, built when it is not there; safe against another lab that builds the same."""
    if suite not in SUITES:
        raise LabError(f"no machine of {suite!r}: choose one of {', '.join(SUITES)}")
    mirror, security = mirrors()
    settings, cas = apt_settings(run("apt-config", "dump").stdout), extra_cas()
    made_of = [RECIPE, PACKAGES, FILES, QUIET_TIMERS, QUIET, ENABLED, MASKED, mirror, security, settings]
    digest = hashlib.sha256(json.dumps(made_of).encode() + b"".join(cas.values())).hexdigest()[:12]
    tree = cache_dir() / "rootfs" / f"{suite}-{digest}"
    if tree.exists():
        return tree
    with only_one(f"rootfs-{suite}"):
        if tree.exists():
            return tree
        say(f"building a {suite} tree (once; kept in {tree})")
        began = time.monotonic()
        fresh = tree.with_name(f".{tree.name}.{os.getpid()}")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        for killed in fresh.parent.glob(f".{suite}-*"):  # a build that was killed; the lock says that none runs
            if not mounts_below(killed):
                shutil.rmtree(killed)
        try:
            run(
                "mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}",
                "--aptopt=Acquire::Languages \"none\"", suite, str(fresh), f"deb {mirror} {suite} main",
                f"deb {mirror} {suite}-updates main", f"deb {security} {suite}-security main", timeout=900,
            )  # fmt: skip
            customise(fresh, sources(suite, mirror, security), settings, cas)
            fresh.rename(tree)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        say(f"{suite} tree built in {time.monotonic() - began:.1f} s")
        _prune(suite)
    return tree


def _prune(suite: str) -> None:
    """Remove trees of earlier recipes, but the newest before this one, and what a machine of any lab stands on."""
    memories = (cache_dir() / "labs").glob("*/*/*/tree")
    used = {Path(memory.read_text()) for memory in memories}
    trees = sorted((cache_dir() / "rootfs").glob(f"{suite}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for tree in trees[2:]:
        if tree not in used:
            shutil.rmtree(tree)


def customise(tree: Path, sources_list: str, settings: str, cas: dict[str, bytes]) -> None:
    """Turn a fresh installation into a machine's base: apt as here, CAs as here, network and sshd on, no identity."""
    shutil.rmtree(tree / "etc/apt/sources.list.d", ignore_errors=True)
    (tree / "etc/apt/sources.list.d").mkdir()
    (tree / "etc/apt/sources.list").write_text(sources_list)
    (tree / "etc/apt/apt.conf.d/91outer").write_text(settings)
    for name, text in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    for timer in QUIET_TIMERS:
        directory = tree / f"etc/systemd/system/{timer}.timer.d"
        directory.mkdir(parents=True)
        (directory / "lab.conf").write_text(QUIET)
    for name, pem in cas.items():
        (tree / "usr/local/share/ca-certificates" / name).write_bytes(pem)
    run("chroot", str(tree), "update-ca-certificates")
    run("systemctl", f"--root={tree}", "enable", *ENABLED)
    run("systemctl", f"--root={tree}", "mask", *MASKED)
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (tree / "etc/machine-id").write_text("")
    (tree / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
