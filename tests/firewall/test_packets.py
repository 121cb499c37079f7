"""The packet filter with real packets: a droplet, its containers and a world of addresses, all in network namespaces of this machine.

Nothing leaves: the namespaces are joined with each other and with nothing else. Docker is not there; its bridges, addresses and the
rewriting of published ports are made as it makes them.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.unit.test_settings import GOOD
from twentyops import firewall, networks
from twentyops.settings import load

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("nft") or not shutil.which("ip"),
    reason="needs root, nft and ip to make network namespaces",
)

PUBLIC, METADATA, RELAY, NEIGHBOUR, NAMES = "93.184.216.34", "169.254.169.254", "10.0.0.5", "10.0.0.6", "10.77.0.1"
PUBLIC_V6, PRIVATE_V6 = "2606:2800::34", "fd00:ec2::254"
DROPLET = "45.55.1.2"
DROPLET_V6 = "2604:a880::2"
OTHERS = ("192.168.7.7", "100.64.0.9", "172.31.0.9")
WORLD = [PUBLIC, METADATA, RELAY, NEIGHBOUR, NAMES, *OTHERS]
PORTS = [22, 25, 53, 80, 443, 587, 3000, 5432, 6379, 8080]

LISTEN = """
import json, selectors, socket, sys
chosen = selectors.DefaultSelector()
for port in json.loads(sys.argv[1]):
    s = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    chosen.register(s, selectors.EVENT_READ)
told = []
for address in json.loads(sys.argv[2]):  # each by its own address, so that answers come from there
    for port in (53, 123):
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind((address, port)); chosen.register(u, selectors.EVENT_READ); told.append(u)
print("ready", flush=True)
while True:
    for key, _ in chosen.select():
        if key.fileobj in told:
            data, sender = key.fileobj.recvfrom(100)
            key.fileobj.sendto(data, sender)
        else:
            key.fileobj.accept()[0].close()
"""
ASK = """
import concurrent.futures, json, socket, sys
def answered(question):
    address, port, kind = question
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as s:
        s.settimeout(2)
        try:
            s.connect((address, port))
            if kind == "udp":
                s.send(b"x"); s.recv(10)
            return True
        except OSError:
            return False
with concurrent.futures.ThreadPoolExecutor(32) as pool:
    print(json.dumps(list(pool.map(answered, json.loads(sys.argv[1])))))
"""

Question = tuple[str, int, str]


def run(*argv: str, text: str | None = None) -> str:
    done = subprocess.run(argv, input=text, text=True, check=False, capture_output=True, timeout=30)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout


@dataclass
class World:
    """Namespaces by name, and every address of each service: ``{service: {network: address}}``."""

    prefix: str
    addresses: dict[str, dict[str, str]]

    def namespace(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def ip(self, name: str, *argv: str) -> None:
        run("ip", "-n", self.namespace(name), *argv)

    def answers(self, who: str, questions: list[Question]) -> dict[Question, bool]:
        """``{(address, port, tcp or udp): whether who gets an answer there}``."""
        argv = ["ip", "netns", "exec", self.namespace(who), sys.executable, "-c", ASK, json.dumps(questions)]
        return dict(zip(questions, json.loads(run(*argv)), strict=True))

    def open(self, who: str, *questions: Question) -> list[Question]:
        """Those of the questions that are answered."""
        return [question for question, answered in self.answers(who, list(questions)).items() if answered]


def _link(world: World, one: str, name: str, other: str, peer: str) -> None:
    run(
        "ip",
        "link",
        "add",
        name,
        "netns",
        world.namespace(one),
        "type",
        "veth",
        "peer",
        "name",
        peer,
        "netns",
        world.namespace(other),
    )
    for where, link in ((one, name), (other, peer)):
        world.ip(where, "link", "set", link, "up")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    services = sorted({service for both in networks.PAIRS for service in both})
    made = World(f"twfw{os.getpid()}", {service: {} for service in services})
    names = ["droplet", "world", *services]
    listeners: list[subprocess.Popen[str]] = []
    try:
        for name in names:
            run("ip", "netns", "add", made.namespace(name))
            made.ip(name, "link", "set", "lo", "up")
            sysctl = "sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0"
            run(
                "ip",
                "netns",
                "exec",
                made.namespace(name),
                *(sysctl.split() if name in {"droplet", "world"} else sysctl.split()[:3] + sysctl.split()[4:]),
            )
        _link(made, "droplet", "eth0", "world", "eth0")
        made.ip("droplet", "addr", "add", f"{DROPLET}/24", "dev", "eth0")
        made.ip("world", "addr", "add", "45.55.1.1/24", "dev", "eth0")
        made.ip("droplet", "addr", "add", f"{DROPLET_V6}/64", "dev", "eth0")
        made.ip("world", "addr", "add", "2604:a880::1/64", "dev", "eth0")
        for address in WORLD:
            made.ip("world", "addr", "add", f"{address}/32", "dev", "lo")
        for address in (PUBLIC_V6, PRIVATE_V6):
            made.ip("world", "addr", "add", f"{address}/128", "dev", "lo")
        made.ip("droplet", "route", "add", "default", "via", "45.55.1.1")
        made.ip("droplet", "-6", "route", "add", "default", "via", "2604:a880::1")
        made.ip("world", "route", "add", "172.16.0.0/12", "via", DROPLET)
        made.ip("world", "-6", "route", "add", networks.EDGE_SUBNET_V6, "via", DROPLET_V6)
        for number, network in enumerate(networks.NETWORKS, 18):
            made.ip("droplet", "link", "add", network.bridge, "type", "bridge", "forward_delay", "0")
            made.ip("droplet", "addr", "add", f"172.{number}.0.1/16", "dev", network.bridge)
            made.ip("droplet", "link", "set", network.bridge, "up")
            if network.subnet_v6:
                made.ip("droplet", "addr", "add", f"{ipaddress.ip_network(network.subnet_v6)[1]}/64", "dev", network.bridge)
            for place, service in enumerate((s for s in services if network.name in networks.of(s)), 2):
                _link(made, "droplet", f"v{number}x{place}", service, f"eth{number}")
                made.ip("droplet", "link", "set", f"v{number}x{place}", "master", network.bridge)
                made.ip(service, "addr", "add", f"172.{number}.0.{place}/16", "dev", f"eth{number}")
                made.addresses[service][network.name] = f"172.{number}.0.{place}"
                if network.subnet_v6:
                    made.ip(service, "addr", "add", f"{ipaddress.ip_network(network.subnet_v6)[2]}/64", "dev", f"eth{number}")
                    made.ip(service, "-6", "route", "add", "default", "via", str(ipaddress.ip_network(network.subnet_v6)[1]))
                if not network.internal:
                    made.ip(service, "route", "add", "default", "via", f"172.{number}.0.1")
        # as Docker does with a published port
        caddy = made.addresses["caddy"][networks.outside("caddy").name]
        rule = f"ip daddr {DROPLET} tcp dport 80 dnat to {caddy}"
        docker = "\n".join(["table ip docker {", "chain pre {", "type nat hook prerouting priority dstnat", rule, "}", "}", ""])
        run("ip", "netns", "exec", made.namespace("droplet"), "nft", "-f", "-", text=docker)
        settings = load({**GOOD, "EGRESS_ALLOW": f"{RELAY}:587"})
        for _ in range(2):  # loading twice is loading once
            for text in firewall.files(settings, [NAMES]).values():
                run("ip", "netns", "exec", made.namespace("droplet"), "nft", "-f", "-", text=text)
        for name in names:
            argv = [
                "ip",
                "netns",
                "exec",
                made.namespace(name),
                sys.executable,
                "-c",
                LISTEN,
                json.dumps(PORTS),
                json.dumps(WORLD if name == "world" else []),
            ]
            listeners.append(subprocess.Popen(argv, stdout=subprocess.PIPE, text=True))
        for listener in listeners:
            assert listener.stdout
            assert listener.stdout.readline() == "ready\n"
        yield made
    finally:
        for listener in listeners:
            listener.kill()
            listener.communicate()
        for name in names:
            subprocess.run(["ip", "netns", "delete", made.namespace(name)], check=False, capture_output=True)


def tcp(address: str, *ports: int) -> list[Question]:
    return [(address, port, "tcp") for port in ports]


def udp(address: str, port: int) -> Question:
    return (address, port, "udp")


OUTSIDE = pytest.mark.parametrize("service", networks.OUTSIDE)


@OUTSIDE
def test_the_ways_out_that_are_needed_are_open(world: World, service: str) -> None:
    needed = [*tcp(PUBLIC, 443), udp(NAMES, 53), *tcp(NAMES, 53)]
    if service in {"server", "worker"}:
        needed += tcp(PUBLIC, 587, 8080)  # mail, a tenant's webhook
    if service == "server":
        needed += tcp(DROPLET, 80)  # its own calls to SERVER_URL
    if service == "caddy":
        needed += [*tcp(PUBLIC, 80), *tcp(PUBLIC_V6, 443)]
    assert world.open(service, *needed) == needed


@OUTSIDE
def test_an_allowed_private_address_is_open_at_its_port_alone(world: World, service: str) -> None:
    wanted = tcp(RELAY, 587) if service != "caddy" else []
    assert world.open(service, *tcp(RELAY, 587, 25, 443), *tcp(NEIGHBOUR, 587)) == wanted


@OUTSIDE
def test_private_and_link_local_addresses_are_closed(world: World, service: str) -> None:
    private = [question for address in (METADATA, NEIGHBOUR, NAMES, *OTHERS) for question in tcp(address, 80, 443)]
    private += [udp(address, 53) for address in (METADATA, NEIGHBOUR, *OTHERS)]
    assert world.open(service, *private) == []


def test_private_addresses_over_ipv6_and_the_droplets_are_closed(world: World) -> None:
    assert world.open("caddy", *tcp(PRIVATE_V6, 80, 443), *tcp(DROPLET_V6, 22, 80)) == []


@pytest.mark.parametrize("service", sorted(networks.SHORT))
def test_the_droplet_itself_is_closed_by_each_of_its_addresses(world: World, service: str) -> None:
    own = [address.rpartition(".")[0] + ".1" for address in world.addresses[service].values()]
    ports = (22, 53, 3000, 8080) if service == "server" else (22, 53, 80, 3000, 8080)
    assert world.open(service, *(question for address in [*own, DROPLET] for question in tcp(address, *ports))) == []


@pytest.mark.parametrize("service", sorted(networks.SHORT))
def test_containers_reach_those_they_talk_to_and_nobody_else(world: World, service: str) -> None:
    own = world.addresses[service]
    others = {a: name for other, found in world.addresses.items() if other != service for name, a in found.items()}
    reached = {address for address, _, _ in world.open(service, *(q for address in others for q in tcp(address, 3000)))}
    assert reached == {address for address, name in others.items() if name in own}


@pytest.mark.parametrize("service", sorted(set(networks.SHORT) - set(networks.OUTSIDE)))
def test_data_services_reach_nothing_outside(world: World, service: str) -> None:
    assert world.open(service, *tcp(PUBLIC, 80, 443), *tcp(METADATA, 80)) == []


@OUTSIDE
def test_nothing_but_tcp_leaves_and_few_ports_where_few_are_needed(world: World, service: str) -> None:
    few = tcp(PUBLIC, 25, 22) if service in {"caddy", "tenant-manager"} else []
    assert world.open(service, udp(PUBLIC, 123), udp(PUBLIC, 53), *few) == []


def test_visitors_reach_the_published_port_and_no_container_directly(world: World) -> None:
    assert world.open("world", *tcp(DROPLET, 80)) == tcp(DROPLET, 80)
    every = [address for found in world.addresses.values() for address in found.values()]
    assert world.open("world", *(question for address in every for question in tcp(address, 80, 3000))) == []
