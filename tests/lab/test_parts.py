"""Parts of the lab that need neither root nor a kernel: names, rules, settings, what is read from other programs."""

from __future__ import annotations

import io
import json
import os
import re
import ssl
import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from cryptography import x509
from dotenv import dotenv_values

from lab import __main__ as cli
from lab import cgroups, command, host, machine, names, network, packages, rehearse, rootfs, settings, state, tls
from lab.identity import Identity, LabError
from lab.world import quiet
from twentyops.settings import PRODUCTION_HOST

LAB = Identity("some-lab")
NETWORK = network.Network(LAB, 7)


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rehearsal", "a", "x" * 24])
def test_names_in_the_kernel_fit(name: str) -> None:
    identity = Identity(name)
    assert len(identity.bridge) <= 15
    assert len(identity.ipset) <= 31
    assert max(len(identity.forward_chain), len(identity.input_chain)) <= 28
    assert 0 < identity.route_metric < 2**32


def test_equal_names_in_two_checkouts_are_two_labs(tmp_path: Path) -> None:
    one, other = Identity("rehearsal", tmp_path / "a"), Identity("rehearsal", tmp_path / "b")
    assert (
        len({one.bridge, other.bridge}) == len({one.runtime, other.runtime}) == len({one.route_metric, other.route_metric}) == 2
    )


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a/b", "..", "a b", "x" * 25, "1st"])
def test_name_that_cannot_be_a_host_name_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="choose another with --name"):
        Identity(name)


# --- network --------------------------------------------------------------------------------------------------------


def test_lowest_free_network_is_chosen() -> None:
    assert network.choose([]) == 0
    assert network.choose([IPv4Network("10.77.0.0/24"), IPv4Network("10.77.1.128/25"), IPv4Network("10.78.0.0/16")]) == 2


def test_no_free_network_says_what_to_do() -> None:
    with pytest.raises(LabError, match="python -m lab list"):
        network.choose([IPv4Network("10.0.0.0/8")])


def test_rules_name_the_lab_and_end_in_refusal() -> None:
    rules = [line for line in network.filter_script(NETWORK, [443, 80, 443]).splitlines() if line.startswith("-A")]
    assert all(LAB.comment in rule for rule in rules)
    for chain in (LAB.forward_chain, LAB.input_chain):
        last = [rule for rule in rules if rule.startswith(f"-A {chain} ")][-1]
        assert re.fullmatch(rf"-A {chain} -m comment --comment {LAB.comment} -j REJECT", last)


def test_the_only_way_out_is_to_registries() -> None:
    accepted = [line for line in network.filter_script(NETWORK, [443, 80]).splitlines() if "ACCEPT" in line]
    leaving = [rule for rule in accepted if f"-A {LAB.forward_chain} -i {LAB.bridge}" in rule and f"-o {LAB.bridge}" not in rule]
    assert len(leaving) == 1
    assert f"--match-set {LAB.ipset} dst" in leaving[0]
    assert "--dports 80,443" in leaving[0]


def test_hooks_touch_the_lab_only() -> None:
    for _table, _chain, rule in network.hooks(NETWORK):
        assert LAB.comment in rule
        assert LAB.bridge in rule or str(NETWORK.cidr) in rule


def test_machine_addresses_stay_inside() -> None:
    assert NETWORK.gateway == "10.77.7.1"
    assert NETWORK.address(254) == "10.77.7.254"
    for outside in (1, 255):
        with pytest.raises(LabError, match="no room"):
            NETWORK.address(outside)


class Kernel:
    """What the outer machine's kernel answers, for the last lab's clean-up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, *, others: bool) -> None:
        self.forward = folder / "ip_forward"
        self.forward.write_text("0\n")
        self.tables = ["nat"]
        self.deleted: list[str] = []
        monkeypatch.setattr(network, "RUN", folder)
        monkeypatch.setattr(network, "IP_FORWARD", self.forward)
        monkeypatch.setattr(network, "nft_tables", lambda: self.tables)
        monkeypatch.setattr(network, "_others_forward", lambda: others)
        monkeypatch.setattr(network, "_table_is_empty", lambda table: table != "mangle")
        monkeypatch.setattr(network, "run", lambda *argv: self.deleted.append(argv[-1]))


def test_last_lab_puts_the_kernel_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kernel = Kernel(monkeypatch, tmp_path, others=False)
    network._remember_host()
    kernel.forward.write_text("1\n")
    kernel.tables = ["filter", "mangle", "nat"]
    network._remember_host()  # a second lab must not take the first one's doing for the machine's own
    network._restore_host()
    assert kernel.forward.read_text() == "0\n"
    assert kernel.deleted == ["filter"]  # nat was there before, mangle holds somebody's rules
    assert not (tmp_path / "host.json").exists()


def test_forwarding_of_others_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kernel = Kernel(monkeypatch, tmp_path, others=True)
    network._remember_host()
    kernel.forward.write_text("1\n")
    network._restore_host()
    assert kernel.forward.read_text() == "1\n"


# --- registries that may be reached ---------------------------------------------------------------------------------


def test_registry_addresses_become_names_and_ports() -> None:
    found = names.egress_of(
        [
            "http://mirror.test/debian/",
            "https://pip.test:8443/simple",
            "file:///opt/x",
            "https://192.0.2.9/",
            "http://127.0.0.1:3141",
        ]
    )
    assert found == names.Egress(("mirror.test", "pip.test"), ("192.0.2.9",), (80, 443, 3141, 8443))


def test_only_registry_names_are_asked_upstream() -> None:
    lines = names.config(NETWORK, names.egress_of(["https://npm.test/"]), ["192.0.2.53"], Path("/h")).splitlines()
    assert [line for line in lines if line.startswith("server=")] == ["server=/npm.test/192.0.2.53"]
    assert f"ipset=/npm.test/{LAB.ipset}" in lines
    assert "address=/#/" in lines
    assert "no-resolv" in lines


def test_machine_without_name_server_is_refused(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("# nameserver 192.0.2.1\nsearch test\n")
    with pytest.raises(LabError, match="names no nameserver"):
        names.upstreams(tmp_path / "resolv.conf")


def test_mirrors_are_those_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LAB_MIRROR", "LAB_SECURITY_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    listed = "http://m.test/debian/|Debian\nhttp://s.test/debian-security/|Debian-Security\nhttp://other.test/|Else\n"
    assert rootfs.debian_mirrors(listed) == ("http://m.test/debian", "http://s.test/debian-security")
    with pytest.raises(LabError, match="LAB_MIRROR"):
        rootfs.debian_mirrors("http://other.test/|Else\n")
    monkeypatch.setenv("LAB_MIRROR", "http://mine.test/debian/")
    assert rootfs.debian_mirrors(listed)[0] == "http://mine.test/debian"


def test_apt_proxies_go_along_and_the_rest_stays() -> None:
    dump = 'APT::Architecture "amd64";\nAcquire::http::Proxy "http://p.test:3142";\nAcquire::Check-Date "false";\nDir "/";\n'
    assert rootfs.apt_settings(dump) == 'Acquire::http::Proxy "http://p.test:3142";\nAcquire::Check-Date "false";\n'


def test_unknown_debian_release_is_refused() -> None:
    with pytest.raises(LabError, match="choose one of trixie, bookworm"):
        rootfs.ensure("jessie", quiet)


# --- the outer machine ----------------------------------------------------------------------------------------------


def test_without_root_the_error_says_what_to_install() -> None:
    with pytest.raises(LabError) as refused:
        host.require(quiet, euid=1000)
    text = str(refused.value)
    assert "needs root" in text
    assert "apt-get install" in text
    assert all(package in text for package in ("systemd-container", "mmdebstrap", "docker-registry", "iptables"))


def test_command_line_without_root_is_one_message_and_exit_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(host.os, "geteuid", lambda: 1000)
    assert cli.main(["up", "--name", "never-made"]) == 1
    shown = capsys.readouterr().err
    assert "error: the lab boots machines with systemd-nspawn" in shown
    assert "Traceback" not in shown
    assert not Identity("never-made").runtime.exists()


def test_lab_that_is_not_up_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--name", "never-made"]) == 1
    assert "python -m lab up --name never-made" in capsys.readouterr().err


def test_missing_programs_are_named_by_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_which", lambda program: None if program == "systemd-nspawn" else f"/usr/bin/{program}")
    assert "systemd-container" in host.missing_packages()
    monkeypatch.setattr(host.shutil, "which", lambda _program: None)
    with pytest.raises(LabError, match="missing here: systemd-container"):
        packages.install(["systemd-container"], quiet)


V1 = """\
30 28 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""


def test_cgroup_v1_is_found_below_our_own_group() -> None:
    found = cgroups.detect(V1, "4:memory:/jobs/7\n2:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n")
    assert (found.version, found.limits) == (1, True)
    assert found.parents["memory"] == Path("/sys/fs/cgroup/memory/jobs/7")
    assert found.parents["cpuacct"] == Path("/sys/fs/cgroup/cpu,cpuacct")


@pytest.mark.parametrize(("controllers", "limits"), [("cpuset cpu io memory pids", True), ("hugetlb", False)])
def test_cgroup_v2_limits_are_there_only_with_its_controllers(tmp_path: Path, controllers: str, limits: bool) -> None:
    (tmp_path / "cgroup.controllers").write_text(f"{controllers}\n")
    found = cgroups.detect(f"30 28 0:26 / {tmp_path} rw - cgroup2 cgroup2 rw\n", "0::/\n")
    assert (found.version, found.limits) == (2, limits)


# --- machines -------------------------------------------------------------------------------------------------------


def test_memory_of_a_limited_machine_is_what_tools_read() -> None:
    figures = dict(re.findall(r"^(\w+): +(\d+) kB$", machine.meminfo(4096), re.MULTILINE))
    assert int(figures["MemTotal"]) == 4096 * 1024
    assert int(figures["MemAvailable"]) <= int(figures["MemTotal"])


def test_packages_are_shared_as_links_and_never_half(tmp_path: Path) -> None:
    source, target = tmp_path / "cache", tmp_path / "machine" / "apt"
    (source / "partial").mkdir(parents=True)
    (source / "a_1_amd64.deb").write_text("whole")
    (source / "partial" / "b_1_amd64.deb").write_text("ha")
    machine._link_all(source, target)
    machine._link_all(source, target)
    assert [path.name for path in target.iterdir()] == ["a_1_amd64.deb"]
    assert (target / "a_1_amd64.deb").samefile(source / "a_1_amd64.deb")


# --- certificates ---------------------------------------------------------------------------------------------------


def test_registry_certificate_is_signed_by_the_labs_ca_and_follows_its_address(tmp_path: Path) -> None:
    ca = tls.ensure_ca(tmp_path, "CA of a test")
    first, key = tls.ensure_certificate(tmp_path, "registry", ["10.77.7.1", "registry.test"])
    before = first.read_bytes()
    assert tls.ensure_certificate(tmp_path, "registry", ["10.77.7.1", "registry.test"])[0].read_bytes() == before
    certificate = x509.load_pem_x509_certificate(before)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.read_bytes()))
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(first, key)  # the two belong together
    assert key.stat().st_mode & 0o077 == 0
    assert tls.ensure_certificate(tmp_path, "registry", ["10.77.8.1"])[0].read_bytes() != before


# --- state ----------------------------------------------------------------------------------------------------------


def some_state() -> state.State:
    return state.State(
        name="some-lab",
        id=LAB.id,
        network=state.NetworkState(bridge="tl-0", cidr="10.77.7.0/24", gateway="10.77.7.1"),
        machines={"droplet": state.MachineState(host="10.77.7.10", user="root", port=22, host_key="ssh-ed25519 A", os="trixie")},
        ssh=state.SshState(key="/k", known_hosts="/h", config="/c"),
        public_url="http://10.77.7.10",
        registry=state.RegistryState(address="10.77.7.1:5000", username="u", password="p", ca_file="/ca"),
        clerk=state.ClerkState(
            frontend="http://10.77.7.1:4400",
            backend="http://10.77.7.1:4400/bapi",
            admin="http://10.77.7.1:4400/_admin",
            issuer="https://x",
            jwks="http://10.77.7.1:4400/jwks",
            script="http://10.77.7.1:4400/clerk.js",
            publishable_key="pk",
            secret_key="sk",
            webhook_secret="whsec",
            admin_token="t",
        ),
        settings_file="/s",
        runtime="/r",
        started_at="2026-01-01T00:00:00+00:00",
    )


def test_state_round_trip_is_private(tmp_path: Path) -> None:
    identity = Identity("some-lab", tmp_path)
    state.save(identity, some_state())
    assert state.load(identity) == some_state()
    assert state.path(identity).stat().st_mode & 0o777 == 0o600
    assert state.path(identity) == tmp_path / ".lab" / "some-lab" / "state.json"
    assert state.path(Identity("rehearsal", tmp_path)) == tmp_path / ".lab" / "state.json"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "x"}', json.dumps({"extra": 1})])
def test_damaged_state_says_how_to_mend_it(tmp_path: Path, content: str) -> None:
    identity = Identity("some-lab", tmp_path)
    state.write_private(state.path(identity), content)
    with pytest.raises(LabError, match=r"damaged.*python -m lab up --name some-lab"):
        state.load(identity)


# --- settings -------------------------------------------------------------------------------------------------------


def test_settings_survive_the_file() -> None:
    wanted = {"BUILD_CONTEXTS": '{"node:24-alpine": "10.77.0.1:5000/library/node:24-alpine"}', "X": "a $b # c", "EMPTY": ""}
    assert dotenv_values(stream=io.StringIO(settings.text(wanted)), interpolate=False) == wanted
    with pytest.raises(LabError, match="X holds a quote"):
        settings.text({"X": "it's"})


def test_settings_of_the_caller_never_reach_the_deploy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DROPLET_HOST", PRODUCTION_HOST)
    monkeypatch.setenv("SERVER_URL", f"http://{PRODUCTION_HOST}")
    environ = rehearse.environment(Path("/lab/settings.env"))
    assert not any(PRODUCTION_HOST in value for value in environ.values())
    assert environ["TWENTYOPS_ENV_FILE"] == "/lab/settings.env"
    assert environ["TWENTYOPS_LAB"] == "1"


def test_limits_and_nothing_else_come_from_the_caller() -> None:
    environ = {"SERVER_MEMORY_MB": "4096", "REDIS_MEMORY_MB": "", "DROPLET_HOST": "203.0.113.7"}
    assert settings.sizes(environ) == {"SERVER_MEMORY_MB": "4096"}


def test_image_that_the_dockerfile_names_is_mapped() -> None:
    images = {"node": "10.77.0.1:5000/library/node:24-alpine", "redis": "10.77.0.1:5000/library/redis:7"}
    assert settings.build_contexts(images) == {"node:24-alpine": "10.77.0.1:5000/library/node:24-alpine"}


# --- what pyinfra prints --------------------------------------------------------------------------------------------

DEPLOY = """
from pyinfra.api import deploy
from pyinfra.operations import files, server

@deploy("First phase")
def first():
    files.directory(name="There already", path="/tmp")
    server.shell(name="Something", commands=["sleep 0.3"])

@deploy("Second phase")
def second():
    server.shell(name="More", commands=["true"])

first()
second()
server.shell(name="Alone", commands=["{last}"])
"""


def pyinfra(folder: Path, last: str) -> list[str]:
    (folder / "deploy.py").write_text(DEPLOY.replace("{last}", last))
    program = Path(sys.executable).with_name("pyinfra")
    argv = [str(program), "@local", "deploy.py", "-y"]
    done = subprocess.run(argv, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.stdout.splitlines()


def test_counts_are_read_from_pyinfras_own_table(tmp_path: Path) -> None:
    lines = pyinfra(tmp_path, "true")
    assert rehearse.totals(lines) == (3, 0, 1), "\n".join(lines)


def test_failed_run_has_no_counts(tmp_path: Path) -> None:
    assert rehearse.totals(pyinfra(tmp_path, "false")) is None


def test_time_goes_to_the_phase_that_an_operation_names(tmp_path: Path) -> None:
    phases = rehearse.Phases(now=0.0)
    for second, line in enumerate(pyinfra(tmp_path, "true")):
        phases.line(line, float(second))
    phases.close(1000.0)
    assert list(phases.seconds) == [rehearse.BEFORE, "First phase", "Second phase", "Alone"]
    assert sum(phases.seconds.values()) == 1000.0


def test_what_the_lab_starts_does_not_depend_on_a_persons_mask() -> None:
    """Under 077 a machine's root directory was closed to its own users, and no service of theirs began."""
    before = os.umask(0o077)
    try:
        assert command.run("sh", "-c", "umask").stdout.strip() == "0022"
    finally:
        os.umask(before)
