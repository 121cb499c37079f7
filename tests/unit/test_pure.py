"""Pure logic: names, hashes, rendered files, refusals, explanations."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_settings import GOOD
from twentyops import builder, daemon, distributions, facts, firewall, lock, networks, operations, preflight, release, stack
from twentyops.registry import ImageRef, Registry, RegistryError
from twentyops.settings import Settings, load

IMAGES = {name: f"r.example.com/{name}@sha256:{'0' * 64}" for name in ("postgres", "redis", "caddy", "server", "tenant-manager")}
SECRETS = {name: name[0] * 64 for name in stack.SECRETS}
HOST = {
    "os": "debian", "os_version": "13", "codename": "trixie", "machine": "x86_64", "memory_mb": 3900, "disk_mb": 40_000,
    "listeners": {22: "sshd"}, "published": {}, "docker": "/usr/bin/docker", "mirror": "http://mirror.example/debian",
}  # fmt: skip


def settings(**changed: str) -> Settings:
    return load({**GOOD, **changed})


def problems(function: Any, **changed: Any) -> str:
    state = {**HOST, "clock_ahead_s": 0.2, **changed}
    return "\n".join(f"{p.setting} {p.remedy}" for p in function(state))


def on_droplet(**changed: Any) -> str:
    return problems(lambda state: preflight.droplet(state, settings()), **changed)


def test_a_four_gigabyte_droplet_is_enough_for_the_defaults() -> None:
    assert on_droplet() == ""


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"memory_mb": 2000}, "take a larger droplet"),
        ({"disk_mb": 500}, "500 MB free"),
        ({"listeners": {80: "nginx"}}, "port 80 is taken by nginx"),
        ({"listeners": {80: "docker-proxy"}, "published": {80: ("", "web")}}, "port 80 is taken by the container web"),
        ({"published": {80: ("blog", "blog-web-1")}}, "docker rm --force blog-web-1"),
        ({"os": "alpine", "os_version": "3.20"}, "supported are Debian 12 and 13"),
        ({"os": "debian", "os_version": "11"}, "supported are Debian 12 and 13"),
        ({"os": "debian", "os_version": "12", "mirror": ""}, "no mirror of Debian bookworm"),
        ({"machine": "riscv64"}, "riscv64"),
        ({"clock_ahead_s": 5.2}, "its clock is 5.2 s ahead of this machine's, and sign-in accepts 5 s"),
        ({"clock_ahead_s": -20}, "its clock is 20.0 s behind"),
    ],
)
def test_unfit_droplet_is_refused_with_the_remedy(changed: dict[str, Any], part: str) -> None:
    assert part in on_droplet(**changed)


@pytest.mark.parametrize(("system", "version"), [("debian", "12"), ("debian", "13"), ("ubuntu", "22.04"), ("ubuntu", "24.04")])
def test_supported_distribution_passes(system: str, version: str) -> None:
    assert on_droplet(os=system, os_version=version) == ""


def test_clock_may_be_off_by_what_sign_in_accepts() -> None:
    overlay = Path(__file__).parents[2] / "files/twenty/overlay"
    text = (overlay / "packages/twenty-server/src/auth/clerk/pure/session-claims.ts").read_text()
    assert f"const LEEWAY = {preflight.CLOCK_TOLERANCE_S};" in text
    assert on_droplet(clock_ahead_s=-preflight.CLOCK_TOLERANCE_S + 0.1) == ""
    remote = settings(BUILDER_HOST="10.77.0.12", BUILDER_HOST_KEY=GOOD["DROPLET_HOST_KEY"])
    assert problems(lambda s: preflight.builder(s, remote, must_build=False), clock_ahead_s=20) == ""
    assert "its clock is 400.0 s ahead" in problems(lambda s: preflight.builder(s, remote, must_build=False), clock_ahead_s=400)


def test_our_own_proxy_on_port_80_is_no_problem() -> None:
    assert on_droplet(listeners={80: "docker-proxy", 22: "sshd"}) == ""
    ours = {80: ("twenty", "twenty-caddy-1")}
    assert on_droplet(listeners={80: "docker-proxy", 22: "sshd"}, published=ours) == ""


def test_containers_that_publish_a_port_are_read_with_their_project() -> None:
    state = facts.HostState().process(
        [
            "published=twenty twenty-caddy-1 0.0.0.0:80->80/tcp, [::]:80->80/tcp, 443/tcp, 2019/tcp",
            "published= web 127.0.0.1:8080-8081->80-81/tcp",
            "published= quiet ",
        ]
    )
    assert state["published"] == {80: ("twenty", "twenty-caddy-1"), 8080: ("", "web"), 8081: ("", "web")}


def test_builder_needs_memory_only_where_it_builds() -> None:
    remote = settings(BUILDER_HOST="10.77.0.12", BUILDER_HOST_KEY=GOOD["DROPLET_HOST_KEY"])
    assert "larger machine" in problems(lambda s: preflight.builder(s, remote, must_build=True))
    assert problems(lambda s: preflight.builder(s, remote, must_build=False)) == ""
    assert "has no Docker" in problems(lambda s: preflight.builder(s, settings(), must_build=True), docker="")


@pytest.mark.parametrize(
    ("told", "part"),
    [
        ({"memory_mb": 3_900, "disk_mb": 90_000}, "3900 MB of memory; the front build takes 7500 MB: give Docker Desktop more"),
        ({"memory_mb": 9_000, "disk_mb": 900}, "900 MB free where Docker's images lie"),
        ({"memory_mb": 9_000}, ""),
        ({"memory_mb": 9_000, "disk_mb": 90_000}, ""),
    ],
)
def test_builder_on_this_machine_needs_the_same_room(told: dict[str, int], part: str) -> None:
    """A Mac: no /etc/os-release, no /proc, its Docker in a virtual machine whose disk cannot be seen."""
    mac = facts.HostState().process(["os=", "os_version=", "machine=arm64", "epoch=1763856000.N", "docker=/usr/local/bin/docker"])
    lines = [f"{name}={value}" for name, value in told.items()]
    found = preflight.builder(mac | facts.DockerRoom().process(lines), settings(), must_build=True)
    assert part in "".join(problem.remedy for problem in found)
    assert bool(found) is bool(part)
    assert preflight.builder(mac, settings(), must_build=False) == []


def test_room_of_docker_is_read_where_docker_answers(tmp_path: Path) -> None:
    command = str(facts.DockerRoom().command())
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 1\n")
    docker.chmod(0o755)
    shell = {"PATH": f"{tmp_path}:/usr/bin:/bin"}

    def asked() -> dict[str, int]:
        done = subprocess.run(["sh", "-c", command], env=shell, capture_output=True, text=True, check=True)
        return facts.DockerRoom().process(done.stdout.splitlines())

    assert asked() == {}
    docker.write_text(f"#!/bin/sh\necho 8589934592 {tmp_path}\n")
    assert asked()["memory_mb"] == 8192
    assert asked()["disk_mb"] == int(subprocess.check_output(["df", "-Pm", tmp_path], text=True).splitlines()[1].split()[3])
    docker.write_text("#!/bin/sh\necho 8589934592 /nowhere/in/the/virtual/machine\n")
    assert asked() == {"memory_mb": 8192}


def test_compose_file_holds_the_house_rules() -> None:
    text = stack.compose_file(settings(), IMAGES, SECRETS)
    compose = yaml.safe_load(text)
    assert [name for name, s in compose["services"].items() if "ports" in s] == ["caddy"]
    for name, service in compose["services"].items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["cap_drop"] == ["ALL"]
        assert service["mem_limit"].endswith("m")
        assert "@sha256:" in service["image"]
        assert "environment" not in service, "variables come from one env file a container"
    assert not [value for value in SECRETS.values() if value in text]


def test_a_changed_variable_remakes_exactly_the_containers_that_read_it() -> None:
    before = stack.service_hashes(settings(), IMAGES, SECRETS)
    after = stack.service_hashes(settings(), IMAGES, {**SECRETS, "app_secret": "z" * 64})
    assert {name for name in before if before[name] != after[name]} == {"server", "worker"}
    after = stack.service_hashes(settings(CADDY_MEMORY_MB="128"), IMAGES, SECRETS)
    assert {name for name in before if before[name] != after[name]} == {"caddy"}
    after = stack.service_hashes(settings(), IMAGES, {**SECRETS, "redis_cache_password": "z" * 64})
    assert {name for name in before if before[name] != after[name]} == {"redis-cache", "server", "worker"}


def test_unpinned_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"redis \(redis:7\)"):
        stack.compose_file(settings(), {**IMAGES, "redis": "redis:7"}, SECRETS)


def test_each_container_gets_only_what_it_reads() -> None:
    files = stack.env_files(settings(), SECRETS)
    assert set(files["postgres"]) == {"POSTGRES_USER", "POSTGRES_PASSWORD"}
    everything = {value for values in files.values() for value in values.values()}
    assert not {GOOD["REGISTRY_PASSWORD"]} & everything
    assert "POSTGRES_PASSWORD" not in files["server"]
    sign_in = {"CLERK_SECRET_KEY", "TWENTYOPS_INTERNAL_SECRET", "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY"}
    assert [name for name, values in files.items() if sign_in & set(values)] == ["server", "tenant-manager"]
    assert sign_in <= set(files["server"])
    assert not [name for name in files["server"] if name.startswith("CLERK_") and name != "CLERK_SECRET_KEY"]


def test_no_password_stands_in_a_command_that_process_lists_show() -> None:
    compose = yaml.safe_load(stack.compose_file(settings(), IMAGES, SECRETS))
    for service in compose["services"].values():
        assert "URL" not in json.dumps([service.get("command"), service["healthcheck"]])
    assert stack.env_files(settings(), SECRETS)["server"]["PGPASSWORD"] == SECRETS["twenty_database_password"]


WELL = '{"status":"ok"}\n'


@pytest.mark.parametrize(
    ("line", "curl", "told"),
    [
        (None, 0, (0, WELL)),  # a container of a release from before, or not that far yet
        ("running since 2026-11-23T09:00:00Z", 0, (0, WELL + "data model: running since 2026-11-23T09:00:00Z\n")),
        (
            "failed 2: w conflict (person.x: is TEXT here)",
            0,
            (0, WELL + "data model: failed 2: w conflict (person.x: is TEXT here)\n"),
        ),
        ("matched: 1 workspace(s)", 7, (1, "")),
    ],
)
def test_servers_health_check_tells_of_the_data_model_and_goes_by_the_server_alone(
    tmp_path: Path, line: str | None, curl: int, told: tuple[int, str]
) -> None:
    compose = yaml.safe_load(stack.compose_file(settings(), IMAGES, SECRETS))
    kind, script = compose["services"]["server"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    program = tmp_path / "curl"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' '{WELL.strip()}'\n" if curl == 0 else f"#!/bin/sh\nexit {curl}\n")
    program.chmod(0o755)
    if line is not None:
        (tmp_path / "twentyops-data-model").write_text(line + "\n")
    done = subprocess.run(
        ["sh", "-c", script.replace("/tmp/", f"{tmp_path}/")],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == told


def redis_rules(service: str, **changed: str) -> dict[str, str]:
    """What a Redis is told on its standard input, ``{directive: value}``."""
    compose = yaml.safe_load(stack.compose_file(settings(**changed), IMAGES, SECRETS))
    shell, option, script = compose["services"][service]["command"]
    assert (shell, option) == ("sh", "-c")
    first, *lines, last = script.splitlines()
    assert (first, last) == ("exec redis-server - <<END", "END")
    return dict(line.split(" ", 1) for line in lines)


def test_the_queues_redis_never_evicts_and_stays_below_its_container() -> None:
    rules = redis_rules("redis", REDIS_MEMORY_MB="200")
    assert (rules["maxmemory"], rules["maxmemory-policy"], rules["appendonly"]) == ("150mb", "noeviction", "yes")


def test_the_caches_redis_evicts_only_what_has_a_lifetime() -> None:
    rules = redis_rules("redis-cache", REDIS_CACHE_MEMORY_MB="400")
    assert (rules["maxmemory"], rules["maxmemory-policy"], rules["appendonly"]) == ("300mb", "volatile-lru", "no")


@pytest.mark.parametrize(("service", "secret"), [("redis", "redis_queue_password"), ("redis-cache", "redis_cache_password")])
def test_each_redis_has_a_password_of_its_own_that_no_command_shows(service: str, secret: str) -> None:
    assert redis_rules(service)["requirepass"] == "$${REDISCLI_AUTH:?}", "the shell puts it in, and refuses to start without"
    variables = stack.env_files(settings(), SECRETS)
    assert variables[service] == {"REDISCLI_AUTH": SECRETS[secret]}
    for reader in ("server", "worker", "migrate"):
        assert variables[reader]["REDIS_QUEUE_URL"] == f"redis://:{SECRETS['redis_queue_password']}@redis:6379"
        assert variables[reader]["REDIS_URL"] == f"redis://:{SECRETS['redis_cache_password']}@redis-cache:6379"


@pytest.mark.skipif(not shutil.which("redis-server"), reason="needs redis-server")
@pytest.mark.parametrize("service", ["redis", "redis-cache"])
def test_a_redis_starts_with_its_password_and_not_without(tmp_path: Path, service: str) -> None:
    compose = yaml.safe_load(stack.compose_file(settings(), IMAGES, SECRETS))
    *shell, script = compose["services"][service]["command"]
    script = script.replace("$$", "$").replace("dir /data", f"dir {tmp_path}\nport 0\nunixsocket {tmp_path}/socket")
    password = {"PATH": os.environ["PATH"], "REDISCLI_AUTH": "correct-horse-battery"}
    refused = subprocess.run([*shell, script], env={"PATH": os.environ["PATH"]}, capture_output=True, timeout=20, check=False)
    assert refused.returncode != 0
    with subprocess.Popen([*shell, script], env=password, stdout=subprocess.DEVNULL) as server:
        asked = ["redis-cli", "-s", f"{tmp_path}/socket", "ping"]
        try:
            deadline = time.monotonic() + 15
            while (said := subprocess.run(asked, env=password, capture_output=True, text=True, check=False).stdout) != "PONG\n":
                assert time.monotonic() < deadline, said
                time.sleep(0.05)
            nobody = subprocess.run(asked, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)
            assert "NOAUTH" in nobody.stdout
            assert "correct-horse-battery" not in Path(f"/proc/{server.pid}/cmdline").read_text()
        finally:
            server.terminate()
        assert server.wait(20) == 0, "SIGTERM reaches Redis itself, which saves and ends"


def test_the_defaults_fit_a_four_gigabyte_droplet() -> None:
    given = settings()
    assert sum(given.memory_limits.values()) + given.reserved_memory_mb <= 3900
    assert set(given.memory_limits) == set(stack.SERVICES)


@pytest.mark.parametrize("cpus", [1, 2, 8])
def test_every_container_is_limited_to_a_part_of_the_machine(cpus: int) -> None:
    compose = yaml.safe_load(stack.compose_file(settings(), IMAGES, SECRETS, cpus))
    for name, service in compose["services"].items():
        assert 0 < service["pids_limit"] <= 512, name
        assert 0.2 <= service["cpu_quota"] / service["cpu_period"] < cpus, name
        assert service["cpu_shares"] >= 512, name
        # Compose's own word for it is an error where the kernel cannot limit processors, or the machine has fewer
        assert "cpus" not in service


def test_every_root_file_system_is_read_only_and_every_tmpfs_names_its_owner() -> None:
    compose = yaml.safe_load(stack.compose_file(settings(), IMAGES, SECRETS))
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        for line in service.get("tmpfs", []):
            assert re.fullmatch(r"/\S+:uid=\d+,gid=\d+,mode=\d{4},size=\d+m", line), (name, line)
    root = [name for name, service in compose["services"].items() if str(service.get("user", "")).startswith("0")]
    assert root == ["caddy-volume"], "it runs for a second, without a network"
    assert compose["services"]["caddy-volume"]["network_mode"] == "none"


def test_two_services_share_a_network_exactly_when_they_talk() -> None:
    compose = yaml.safe_load(stack.compose_file(settings(), IMAGES, SECRETS))
    on = {name: set(service.get("networks", [])) for name, service in compose["services"].items() if name in stack.SERVICES}
    pairs = {frozenset((a, b)) for a in on for b in on if a != b and on[a] & on[b]}
    assert pairs == {frozenset(both) for both in networks.PAIRS}
    for name, network in compose["networks"].items():
        members = [service for service in on if name in on[service]]
        assert len(members) == (2 if network["internal"] else 1), name
    assert {name for name in on for network in on[name] if not compose["networks"][network]["internal"]} == set(networks.OUTSIDE)
    bridges = [network["driver_opts"]["com.docker.network.bridge.name"] for network in compose["networks"].values()]
    assert len(set(bridges)) == len(bridges)
    assert all(len(bridge) <= 15 and bridge.startswith(networks.BRIDGES) for bridge in bridges), "the kernel's limit"
    assert [name for name, network in compose["networks"].items() if network.get("enable_ipv6")] == ["caddy-out"]


def test_one_offs_use_the_networks_of_their_service() -> None:
    for one_off, (owner, asked) in networks.ONE_OFFS.items():
        assert set(networks.of(one_off)) <= set(networks.of(owner))
        assert len(networks.of(one_off)) == len(asked)


def test_the_packet_filter_is_one_table_that_replaces_itself_and_flushes_nothing() -> None:
    texts = firewall.files(settings(), ["127.0.0.53", "10.0.0.2", "fd00::53"])
    egress = texts["egress.nft"]
    assert "inet twentyops_egress" in firewall.tables(texts)
    assert "flush" not in "".join(texts.values())
    assert "elements = { 10.0.0.2 }" in egress
    assert "elements = { fd00::53 }" in egress
    assert "127.0.0.53" not in egress
    assert "elements = { 8.8.8.8, 8.8.4.4 }" in firewall.egress(settings(), ["127.0.0.1"]), "whom Docker asks then"
    assert "ip daddr 10.0.0.5/32 tcp dport 587 accept" in firewall.egress(settings(EGRESS_ALLOW="10.0.0.5:587"), [])


def test_what_is_opened_for_the_server_is_not_opened_for_tenants() -> None:
    given = settings(EGRESS_ALLOW="10.0.0.5:587", TENANT_EGRESS_ALLOW="10.0.9.0/24:443,10.0.9.0/24:8443")
    rules, variables = firewall.egress(given, []), stack.env_files(given, SECRETS)
    for line in ("ip daddr 10.0.0.5/32 tcp dport 587 accept", "ip daddr 10.0.9.0/24 tcp dport 443 accept"):
        assert line in rules
    for service in ("server", "worker"):
        assert variables[service]["TWENTYOPS_TENANTS_MAY_REACH"] == "10.0.9.0/24"
    assert "TWENTYOPS_TENANTS_MAY_REACH" not in stack.env_files(settings(EGRESS_ALLOW="10.0.0.5"), SECRETS)["server"]


def test_every_variable_of_ours_is_read_by_what_gets_it() -> None:
    overlay = "".join(
        path.read_text() for path in (stack.ROOT / "files/twenty/overlay").rglob("*") if path.suffix in {".ts", ".cjs", ".sh"}
    )
    given = stack.env_files(settings(TENANT_EGRESS_ALLOW="10.0.9.0/24"), SECRETS)
    ours = {name for service in ("server", "worker", "migrate") for name in given[service] if name.startswith("TWENTYOPS_")}
    assert "TWENTYOPS_TENANTS_MAY_REACH" in ours
    assert {name for name in ours if name not in overlay} == set()


def test_docker_does_not_start_without_the_packet_filter() -> None:
    assert f"Requires={firewall.UNIT}" in firewall.DOCKER_DROP_IN
    unit = firewall.unit({"egress.nft": ""})
    assert "Before=network-pre.target docker.service" in unit
    assert "ExecStop" not in unit, "a stopped unit leaves the rules"


def test_places_follow_the_servers_memory_and_who_waits_is_told_with_the_remedy() -> None:
    assert settings().most_tenants == 20
    assert settings(SERVER_MEMORY_MB="4096").most_tenants == 88
    assert settings(MAX_TENANTS="3").most_tenants == 3
    files = stack.env_files(settings(MAX_TENANTS="3", PROVISIONING_CONCURRENCY="2"), SECRETS)
    assert files["tenant-manager"]["MAX_TENANTS"] == "3"
    assert files["tenant-manager"]["PROVISIONING"] == files["server"]["TWENTYOPS_PROVISIONING_CONCURRENCY"] == "2"
    assert stack.occupied('{"most": 20, "used": 4, "suspended": 1, "waiting": {}}') == [
        "tenants        4 in use of 20, 1 suspended"
    ]
    assert (
        "2 wait (no-room): raise MAX_TENANTS"
        in stack.occupied('{"most": 3, "used": 3, "suspended": 0, "waiting": {"no-room": 2}}')[1]
    )


def test_a_crowded_container_is_told_with_the_setting_to_raise() -> None:
    stats = "twenty-server-1 93.42% 1.168GiB / 1.25GiB\nother 99% 1MiB / 1MiB\ntwenty-tenant-manager-1 41.20% 79MiB / 192MiB\n"
    (line,) = stack.crowded(stats)
    assert line.split()[0] == "server"
    assert "raise SERVER_MEMORY_MB" in line
    assert "TENANT_MANAGER_MEMORY_MB" in stack.crowded("twenty-tenant-manager-1 95.00% 183MiB / 192MiB")[0]
    assert stack.crowded("") == []


def test_caddyfile_follows_the_public_address() -> None:
    assert "\n:80 {" in stack.caddyfile(settings())
    assert "\ncrm.example.com {" in stack.caddyfile(settings(SERVER_URL="https://crm.example.com"))
    assert stack.published_ports(settings(SERVER_URL="https://crm.example.com")) == [80, 443]


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs", "Cc"]), max_size=60))
def test_env_line_is_one_line_and_a_quoted_value(value: str) -> None:
    line = stack.env_line("NAME", value)
    assert line.count("\n") == 1
    assert line.startswith(("NAME='", 'NAME="'))


def test_env_line_refuses_what_an_env_file_cannot_carry() -> None:
    with pytest.raises(ValueError, match="NAME contains a line break"):
        stack.env_line("NAME", "a\nb")


def test_content_hash_depends_on_every_part_and_on_no_order() -> None:
    base = release.content_hash("c", "p", {"A": "1", "B": "2"})
    assert base == release.content_hash("c", "p", {"B": "2", "A": "1"})
    others = [release.content_hash("d", "p", {"A": "1", "B": "2"}), release.content_hash("c", "q", {"A": "1", "B": "2"})]
    assert len({base, *others, release.content_hash("c", "p", {"A": "1"})}) == 4


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=4))
def test_config_hash_tells_files_apart(files: dict[str, str]) -> None:
    assert release.config_hash(files) == release.config_hash(dict(reversed(list(files.items()))))
    assert release.config_hash(files) != release.config_hash({**files, "one-more": ""})


MANIFEST = release.Manifest(
    id="a-b", content_hash="a", config_hash="b", images=IMAGES, image_tags={}, twenty_source="s", twenty_ref="r",
    twenty_commit="c", twenty_version="1.10.0", public_url="http://x", deployed_at="t", deployed_by="w",
)  # fmt: skip


def test_manifest_survives_the_round_trip() -> None:
    assert release.Manifest.from_json(MANIFEST.to_json()) == MANIFEST
    assert release.Manifest.from_json(replace(MANIFEST, id="z").to_json()) != MANIFEST


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id": 1}', "null"])
def test_damaged_manifest_counts_as_none(text: str) -> None:
    assert release.Manifest.from_json(text) is None


@pytest.mark.parametrize(
    ("text", "name", "tag"),
    [
        ("postgres", "docker.io/library/postgres", "latest"),
        ("node:24-alpine", "docker.io/library/node", "24-alpine"),
        ("wosool-ai/twenty-crm:x", "docker.io/wosool-ai/twenty-crm", "x"),
        ("10.77.0.1:5000/library/redis:7", "10.77.0.1:5000/library/redis", "7"),
    ],
)
def test_image_reference_is_split(text: str, name: str, tag: str) -> None:
    reference = ImageRef.parse(text)
    assert (reference.name, reference.tag) == (name, tag)


DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "UPPER/case",
        "a b",
        "x@md5:1",
        "x@",
        "x@sha256:",
        "x@sha256:abc",
        f"x@{DIGEST}0",
        f"x@{DIGEST.upper()}",
        f"x@{DIGEST[:-1]}'",
        f"x@{DIGEST}\n",
    ],
)
def test_text_that_is_no_image_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no image reference"):
        ImageRef.parse(text)


@pytest.mark.parametrize("told", [DIGEST, DIGEST[:-1] + "'", "sha256:'; DROP ROLE x; --", "", "sha512:" + "0" * 128])
def test_digest_of_a_registry_is_taken_only_in_its_shape(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry("registry.example.com")
    answer = httpx.Response(200, headers={"docker-content-digest": told})
    monkeypatch.setattr(registry, "_request", lambda *_, **__: answer)
    if told == DIGEST:
        assert registry.digest("library/redis", "7") == DIGEST
        return
    with pytest.raises(RegistryError, match="no digest for library/redis:7"):
        registry.digest("library/redis", "7")


def test_lock_counts_until_its_time_is_over_or_its_process_is_gone() -> None:
    ours = lock.make(10)
    other = {**ours, "run": "another", "pid": 1, "pid_start": lock._process_start(1)}
    assert lock.left_behind(ours, time.time()) == "it is ours"
    assert lock.left_behind(other, time.time()) == ""
    assert "time is over" in lock.left_behind(other, time.time() + 601)
    assert "is gone" in lock.left_behind({**other, "pid_start": "0"}, time.time())
    assert lock.left_behind({**other, "machine": "elsewhere", "pid": 2**22}, time.time()) == ""


@pytest.mark.parametrize(
    ("log", "part"),
    [
        ("#9 ERROR: write /x: no space left on device", "disk is full"),
        ("#9 0.1 cat: write error: No space left on device", "disk is full"),
        ("unsupported: The operation is unsupported.", "the registry takes no pushes"),
        ("#9 FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", "ran out of memory"),
        ('process "/bin/sh -c npx nx build" did not complete successfully: exit code: 137', "ran out of memory"),
        ("denied: requested access to the resource is denied", "REGISTRY_USERNAME"),
        ("#3 dial tcp: lookup registry.example.com: no such host", "could not reach a registry"),
        (
            'ERROR: failed to solve: process "/bin/sh -c false" did not complete successfully: exit code: 1',
            "a step of the Dockerfile failed",
        ),
    ],
)
def test_failed_build_is_explained_with_lines_and_remedy(log: str, part: str) -> None:
    text = builder.explain("#1 fine\n" * 300 + log + "\n")
    assert part in text
    assert log in text
    assert len(text.splitlines()) < 60


@pytest.mark.parametrize(
    ("system", "version", "codename", "packages"),
    [
        ("debian", "13", "trixie", ("docker.io", "docker-cli", "docker-compose", "docker-buildx")),
        ("ubuntu", "22.04", "jammy", ("docker.io", "docker-compose-v2", "docker-buildx")),
        ("ubuntu", "24.04", "noble", ("docker.io", "docker-compose-v2", "docker-buildx")),
    ],
)
def test_docker_from_the_distribution(system: str, version: str, codename: str, packages: tuple[str, ...]) -> None:
    recipe = distributions.docker_recipe(
        system, version, codename, "distribution", "https://docker.example/linux", "http://m/debian", "amd64"
    )
    assert (recipe.packages, recipe.sources, recipe.key_url) == (packages, {}, "")


def test_docker_on_debian_12_takes_four_packages_of_13_and_nothing_else() -> None:
    recipe = distributions.docker_recipe("debian", "12", "bookworm", "distribution", "https://d", "http://m/debian", "amd64")
    pins = recipe.sources["preferences.d/twentyops-docker.pref"]
    assert "Package: *\nPin: release n=trixie\nPin-Priority: -1\n" in pins
    assert "http://m/debian trixie main" in recipe.sources["sources.list.d/twentyops-docker.list"]


def test_docker_from_its_own_repository() -> None:
    recipe = distributions.docker_recipe("ubuntu", "24.04", "noble", "docker", "https://docker.example/linux", "", "arm64")
    assert "docker-compose-plugin" in recipe.packages
    assert recipe.sources["sources.list.d/docker.list"].startswith(
        "deb [arch=arm64 signed-by=/etc/apt/keyrings/docker-9dc858229fc7dd38854ae2d88d81803c0ebfcd88.asc] https://docker.example/linux/ubuntu noble"
    )
    assert recipe.key_url == "https://docker.example/linux/ubuntu/gpg"


@pytest.mark.parametrize(("memory", "swap"), [(1000, 2000), (2048, 4096), (4000, 4000), (32_000, 8192)])
def test_swap_is_sized_to_memory(memory: int, swap: int) -> None:
    assert distributions.swap_mb(memory) == swap


def test_compose_services_are_read_from_what_docker_ps_says() -> None:
    rows = [
        ("postgres", "False", "h1", "c1", "r/postgres@sha256:0", "running", "Up 3 minutes (healthy)"),
        ("server", "False", "h2", "c2", "r/crm@sha256:1", "running", "Up 2 seconds (health: starting)"),
        ("worker", "False", "h3", "c3", "r/crm@sha256:1", "exited", "Exited (137) 2 seconds ago"),
        ("migrate", "True", "", "c4", "r/crm@sha256:1", "running", "Up 1 second"),
        ("caddy", "False", "h5", "c5", "r/caddy@sha256:2", "running", "Up 3 minutes (unhealthy)"),
        ("caddy", "False", "h5", "c6", "r/caddy@sha256:2", "created", "Created"),
    ]
    found = facts.ComposeServices().process(["\t".join(row) for row in rows])
    assert {name: (s["id"], s["config_hash"], s["state"], s["health"]) for name, s in found.items()} == {
        "postgres": ("c1", "h1", "running", "healthy"),
        "server": ("c2", "h2", "running", "starting"),
        "worker": ("c3", "h3", "exited", ""),
        "caddy": ("c6", "", "created", ""),
    }


def test_a_log_tells_what_went_wrong_and_how_it_ended() -> None:
    log = ["began", 'ERROR: relation "core.x" does not exist', *(f"line {n}" for n in range(40)), "Error: cannot go on", "end"]
    assert operations.telling("\n".join(log)) == [log[1], *log[-12:]]
    assert operations.telling("") == []


@pytest.fixture
def taking(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs the program that makes a lock here, with an input."""
    monkeypatch.setattr(lock, "DIRECTORY", str(tmp_path))
    monkeypatch.setattr(lock, "PATH", str(tmp_path / "lock.json"))

    def run(sent: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", lock.taking('{"whole": 1}\n')], input=sent, capture_output=True, text=True, check=False
        )

    return run


@pytest.mark.parametrize("sent", ["", '{"who', '{"whole": 1}'])
def test_input_cut_off_by_a_kill_makes_no_lock(
    taking: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path, sent: str
) -> None:
    assert taking(sent).returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_second_lock_is_refused_and_the_first_stays(
    taking: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    assert taking('{"whole": 1}\n').returncode == 0
    again = taking('{"whole": 1}\n')
    assert again.returncode != 0
    assert "exists" in again.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["lock.json"]
    assert (tmp_path / "lock.json").read_text() == '{"whole": 1}\n'


@pytest.mark.parametrize("sent", ["", "half of", "a=1", "a=1\nb=2"])
def test_file_is_replaced_only_by_all_of_its_content(tmp_path: Path, sent: str) -> None:
    file = tmp_path / "deep" / "server.env"
    command = operations._write(str(file), "600", "a=1\nb=2\n")
    file.parent.mkdir()
    file.write_text("before\n")
    done = subprocess.run(["sh", "-c", str(command)], input=sent, text=True, check=False)
    assert done.returncode != 0
    assert file.read_text() == "before\n"
    assert subprocess.run(["sh", "-c", str(command)], input="a=1\nb=2\n", text=True, check=False).returncode == 0
    assert file.read_text() == "a=1\nb=2\n"
    assert file.stat().st_mode & 0o777 == 0o600


OPERATORS: dict[str, Any] = {
    "dns": ["10.0.0.2"],
    "data-root": "/mnt/docker",
    "default-address-pools": [{"base": "10.200.0.0/16", "size": 24}],
}


@pytest.mark.parametrize("ours", [daemon.DROPLET, daemon.BUILDER])
def test_dockers_settings_of_the_operator_stay(ours: dict[str, Any]) -> None:
    before = {**OPERATORS, "features": {"cdi": True}}
    assert daemon.problems("droplet", json.dumps(before), ours, written_by_us=False) == []
    text = daemon.merged(json.dumps(before), ours)
    after = json.loads(text)
    assert after == {**before, **ours, "features": {**before["features"], **ours.get("features", {})}}
    assert daemon.merged(text, ours) == text, "once merged, it stays as it is"
    assert daemon.problems("droplet", text, ours, written_by_us=True) == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"log-driver": "journald"}', 'sets log-driver to "journald", and this deployment needs "json-file"'),
        ('{"features": {"containerd-snapshotter": false}}', "sets features to"),
        ('{"iptables": false}', "sets iptables to false: published ports"),
        ('{"dns": ', "cannot be read"),
        ("[]", "not a JSON object"),
    ],
)
def test_dockers_settings_that_contradict_ours_are_refused_with_the_key(text: str, part: str) -> None:
    (problem,) = daemon.problems("builder", text, daemon.BUILDER, written_by_us=False)
    assert part in problem.remedy


def test_our_own_former_settings_of_docker_are_replaced() -> None:
    former = daemon.merged(json.dumps(OPERATORS), {**daemon.DROPLET, "log-driver": "local"})
    assert daemon.problems("droplet", former, daemon.DROPLET, written_by_us=True) == []
    assert json.loads(daemon.merged(former, daemon.DROPLET))["log-driver"] == "json-file"
