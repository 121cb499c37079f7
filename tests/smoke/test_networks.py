"""Who reaches whom: asked from inside each container's network, with the host's own Python."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

from twentyops import firewall, networks, stack

METADATA, METADATA_V6 = "169.254.169.254", "fd00:ec2::254"
PRIVATE = ["10.255.255.254", "172.31.255.254", "192.168.255.254", "100.64.0.1", METADATA, METADATA_V6]
CLOSED = [(address, port, "tcp") for address in PRIVATE for port in (53, 80, 443)]
PORTS = {
    "server": 3000,
    "worker": 3000,
    "tenant-manager": 8080,
    "caddy": 2020,
    "postgres": 5432,
    "redis": 6379,
    "redis-cache": 6379,
}
ASK = """
import concurrent.futures, json, socket, sys, time
def once(address, port, kind):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM if kind == "dns" else socket.SOCK_STREAM) as s:
        s.settimeout(3)
        try:
            s.connect((address, port))
            if kind == "dns":  # who serves the root
                s.send(bytes.fromhex("00070100000100000000000000") + bytes.fromhex("00020001")); s.recv(512)
            return True
        except OSError:
            return False
def answered(asked):
    question, patience = asked
    deadline = time.monotonic() + patience
    while not (yes := once(*question)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return yes
with concurrent.futures.ThreadPoolExecutor(256) as pool:
    print(json.dumps(list(pool.map(answered, json.load(sys.stdin)))))
"""
ASK_ALL = """
import json, subprocess, sys
given = json.load(sys.stdin)
asking = [
    subprocess.Popen(["nsenter", "--net", "--target", pid, sys.executable, "-c", given["ask"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for pid, _ in given["questions"]
]
for process, (_, questions) in zip(asking, given["questions"]):
    process.stdin.write(json.dumps(questions)); process.stdin.close()
print(json.dumps([json.loads(process.stdout.read()) for process in asking]))
"""
Question = tuple[str, int, str]
Asks = Callable[[str, list[Question]], list[Question]]


@pytest.fixture(scope="module")
def answered(host: Host, containers: dict[str, Any], compose: dict[str, Any], name_servers: list[Question]) -> Asks:
    """Gives those of the questions (address, port, tcp or dns) that somebody answers when a service asks them.

    All of them were asked at once: what is closed says nothing for seconds. What must answer is asked again for 20 s: one lost
    packet on a busy machine is no broken release.
    """
    questions = {
        service: sorted(
            {question for _, question in neighbours(containers, service)}
            | set(droplets(host, containers, compose, service))
            | (set(CLOSED) | set(name_servers) if service in networks.OUTSIDE else set())
        )
        for service in stack.SERVICES
    }
    must = {
        service: {
            question
            for name, question in neighbours(containers, service)
            if name in {networks.pair(*pair).name for pair in networks.PAIRS if pair[0] == service}
        }
        | set(name_servers)
        for service in questions
    }
    given = {
        "ask": ASK,
        "questions": [
            (str(containers[service]["State"]["Pid"]), [(question, 20 if question in must[service] else 0) for question in asked])
            for service, asked in questions.items()
        ],
    }
    told = json.loads(host.check_output("printf %%s %s | python3 -c %s", json.dumps(given), ASK_ALL))
    yes = {
        (service, question)
        for (service, asked), answers in zip(questions.items(), told, strict=True)
        for question, answer in zip(asked, answers, strict=True) if answer
    }  # fmt: skip

    def asks(service: str, wanted: list[Question]) -> list[Question]:
        assert set(wanted) <= set(questions[service]), "was not asked"
        return [question for question in wanted if (service, question) in yes]

    return asks


def addresses(container: dict[str, Any]) -> dict[str, str]:
    """``{network without the project's name: address}``."""
    return {
        name.removeprefix(f"{stack.PROJECT}_"): n["IPAddress"] for name, n in container["NetworkSettings"]["Networks"].items()
    }


def neighbours(containers: dict[str, Any], service: str) -> list[tuple[str, Question]]:
    """``[(network, its question)]``: every other container, at each of its addresses."""
    return [
        (name, (address, PORTS[other], "tcp"))
        for other in stack.SERVICES if other != service
        for name, address in addresses(containers[other]).items()
    ]  # fmt: skip


def droplets(host: Host, containers: dict[str, Any], compose: dict[str, Any], service: str) -> list[Question]:
    """The droplet by each of its addresses; the server may ask what is published."""
    gateways = [n["Gateway"] for n in containers[service]["NetworkSettings"]["Networks"].values() if n["Gateway"]]
    own = host.check_output("hostname -I").split()
    published = compose["x-twentyops"]["ports"]
    ports = sorted({22, 53, 2375, 2376, 5000, *([] if service == "server" else published)})
    return [(address, port, "tcp") for address in sorted({*gateways, *own}) for port in ports]


@pytest.fixture(scope="module")
def name_servers(host: Host) -> list[Question]:
    """Those of the droplet that containers ask."""
    stub = "grep -qs '^nameserver 127.0.0.53' /etc/resolv.conf"
    file = "/run/systemd/resolve/resolv.conf" if host.run(stub).rc == 0 else "/etc/resolv.conf"
    servers = [line.split()[1] for line in host.file(file).content_string.splitlines() if line.startswith("nameserver")]
    return [(address, 53, "dns") for address in servers if not address.startswith("127.") and ":" not in address]


@pytest.mark.parametrize("service", stack.SERVICES)
def test_a_service_is_on_the_networks_of_those_it_talks_to(containers: dict[str, Any], service: str) -> None:
    assert sorted(addresses(containers[service])) == networks.of(service)


@pytest.mark.parametrize("service", stack.SERVICES)
def test_a_service_reaches_those_it_talks_to_and_nobody_else(containers: dict[str, Any], answered: Asks, service: str) -> None:
    own = set(addresses(containers[service]))
    others = neighbours(containers, service)
    reached = answered(service, [question for _, question in others])
    assert [(name, question) for name, question in others if question in reached and name not in own] == []
    asked = [pair for pair in networks.PAIRS if pair[0] == service]
    assert {name for name, question in others if question in reached} >= {networks.pair(*pair).name for pair in asked}


@pytest.mark.parametrize("service", stack.SERVICES)
def test_a_service_reaches_nothing_of_the_droplet(
    host: Host, containers: dict[str, Any], compose: dict[str, Any], answered: Asks, service: str
) -> None:
    assert answered(service, droplets(host, containers, compose, service)) == []


@pytest.mark.parametrize("service", networks.OUTSIDE)
def test_private_addresses_and_the_metadata_service_are_closed(answered: Asks, service: str) -> None:
    assert answered(service, CLOSED) == []


def test_a_private_address_is_refused_at_once(host: Host, containers: dict[str, Any]) -> None:
    """Told by the droplet's own packet filter: an address that is merely not there would look the same, only later."""
    for service in ("server", "worker"):
        before = rejected(host)
        pid = str(containers[service]["State"]["Pid"])
        script = f"import socket; s = socket.socket(); s.settimeout(2); print(s.connect_ex(('{METADATA}', 80)) != 0)"
        assert host.check_output("nsenter --net --target %s python3 -c %s", pid, script) == "True"
        assert rejected(host) > before, service


def rejected(host: Host) -> int:
    """Packets to private addresses that the filter has turned away."""
    chain = json.loads(host.check_output("nft -j list chain inet twentyops_egress nothing_private"))
    return sum(
        part["counter"]["packets"]
        for entry in chain["nftables"] if "rule" in entry
        for part in entry["rule"]["expr"] if "counter" in part
    )  # fmt: skip


def test_the_server_reaches_its_own_public_address(host: Host, compose: dict[str, Any]) -> None:
    url = compose["x-twentyops"]["public_url"]
    if "[" in url:
        pytest.skip(
            "containers have no IPv6 (docs/containers.md), and SERVER_URL is an IPv6 address; with a name there they reach it"
        )
    assert '"ok"' in host.check_output("docker exec twenty-server-1 curl -fsS -m 10 %s/healthz", url)


@pytest.mark.parametrize("service", networks.OUTSIDE)
def test_name_servers_of_the_droplet_answer(name_servers: list[Question], answered: Asks, service: str) -> None:
    assert answered(service, name_servers) == name_servers


def test_the_packet_filter_is_there_after_a_reboot_before_docker(host: Host) -> None:
    assert host.check_output(f"systemctl is-active {firewall.UNIT}") == "active"
    assert host.check_output(f"systemctl is-enabled {firewall.UNIT}") == "enabled"
    needed = host.check_output("systemctl show --property Requires --property After docker.service")
    assert needed.count(firewall.UNIT) == 2, needed
    assert "inet twentyops_egress" in host.check_output("nft list tables")
