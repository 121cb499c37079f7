"""The network of a lab: a bridge with a /24 of its own, and a wall around it.

A machine reaches its neighbours, the gateway address (registry, name service, emulators) and the package registries that
the outer machine is configured for; everything else is refused at once. When the bridge is missing, a guard route
swallows what is sent to the lab's addresses, so that nothing ever leaves by the default route.
"""

from __future__ import annotations

import fcntl
import json
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any

from lab.command import run
from lab.identity import Identity, LabError

POOL = IPv4Network("10.77.0.0/16")
# what the kernel looked like before the first lab; lost at a reboot of the outer machine, as the kernel's state is
RUN = Path("/run/twentyops-lab")
IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
TABLES = ("filter", "nat", "mangle")


@dataclass(frozen=True)
class Network:
    """Addresses and kernel names of one lab's network; ``number`` is the third octet."""

    identity: Identity
    number: int

    @property
    def bridge(self) -> str:
        return self.identity.bridge

    @property
    def cidr(self) -> IPv4Network:
        return IPv4Network(f"10.77.{self.number}.0/24")

    @property
    def gateway(self) -> str:
        return str(self.cidr[1])

    def address(self, host: int) -> str:
        """Address of the host with this last octet."""
        if not 2 <= host <= 254:
            raise LabError(f"no room for a machine at {self.cidr}: host number {host} is not in 2..254")
        return str(self.cidr[host])


def choose(taken: Iterable[IPv4Network]) -> int:
    """Lowest third octet whose /24 overlaps with nothing in ``taken`` (routes and addresses of the outer machine)."""
    used = list(taken)
    for number, candidate in enumerate(POOL.subnets(new_prefix=24)):
        if not any(candidate.overlaps(other) for other in used):
            return number
    raise LabError(f"no free /24 in {POOL}: remove labs that are not needed (python -m lab list)")


def _json(*argv: str) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = json.loads(run("ip", "-json", *argv).stdout or "[]")
    return answer


def taken_networks(identity: Identity) -> list[IPv4Network]:
    """Networks that the outer machine has addresses in or routes to; the default route and what is the lab's own aside."""
    found = []
    for route in _json("-4", "route", "show", "table", "all"):
        destination = str(route["dst"])
        ours = route.get("metric") == identity.route_metric or route.get("dev") == identity.bridge
        if destination != "default" and ip_network(destination).prefixlen > 0 and not ours:
            found.append(IPv4Network(destination))
    for link in _json("-4", "addr"):
        if link["ifname"] != identity.bridge:
            addresses = [a for a in link["addr_info"] if a.get("local")]
            found += [IPv4Network(f"{a['local']}/{a['prefixlen']}", strict=False) for a in addresses]
    return found


def filter_script(network: Network, ports: Iterable[int]) -> str:
    """Input of ``iptables-restore --noflush``: the lab's own chains, replaced as a whole, and nobody else's.

    ``ports`` are the TCP ports of the package registries, whose addresses the name service puts into the lab's ipset.
    """
    who = network.identity
    out, inp, bridge = who.forward_chain, who.input_chain, network.bridge
    note = f"-m comment --comment {who.comment}"
    wanted = ",".join(str(port) for port in sorted(set(ports)))
    return "\n".join(
        [
            "*filter",
            f":{out} - [0:0]",
            f":{inp} - [0:0]",
            f"-A {out} -i {bridge} -o {bridge} {note} -j ACCEPT",
            f"-A {out} -i {bridge} -p tcp -m multiport --dports {wanted} -m set --match-set {who.ipset} dst {note} -j ACCEPT",
            f"-A {out} -o {bridge} -m conntrack --ctstate ESTABLISHED,RELATED {note} -j ACCEPT",
            # a reset is never rate-limited, as the kernel's ICMP answers are
            f"-A {out} -p tcp {note} -j REJECT --reject-with tcp-reset",
            f"-A {out} {note} -j REJECT",
            f"-A {inp} -i {bridge} -d {network.gateway} {note} -j ACCEPT",
            f"-A {inp} -p tcp {note} -j REJECT --reject-with tcp-reset",
            f"-A {inp} {note} -j REJECT",
            "COMMIT",
            "",
        ]
    )


def hooks(network: Network) -> list[tuple[str, str, list[str]]]:
    """(table, built-in chain, rule) of everything that leads into the lab's chains or rewrites its packets."""
    who, cidr = network.identity, str(network.cidr)
    note = ["-m", "comment", "--comment", who.comment]
    # the uplink may carry less than 1500 bytes, and answers that say so are often dropped on the way
    clamp = ["-p", "tcp", "--tcp-flags", "SYN,RST", "SYN", *note, "-j", "TCPMSS", "--clamp-mss-to-pmtu"]
    return [
        ("filter", "FORWARD", ["-i", network.bridge, *note, "-j", who.forward_chain]),
        ("filter", "FORWARD", ["-o", network.bridge, *note, "-j", who.forward_chain]),
        ("filter", "INPUT", ["-i", network.bridge, *note, "-j", who.input_chain]),
        ("nat", "POSTROUTING", ["-s", cidr, "!", "-d", cidr, *note, "-j", "MASQUERADE"]),
        ("mangle", "FORWARD", ["-s", cidr, *clamp]),
        ("mangle", "FORWARD", ["-d", cidr, *clamp]),
    ]


@contextmanager
def host_lock() -> Iterator[None]:
    """One lab at a time picks its addresses or puts kernel settings back."""
    RUN.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (RUN / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def bridge_exists(name: str) -> bool:
    return Path(f"/sys/class/net/{name}").exists()


def has_ports(identity: Identity) -> bool:
    """Whether any machine is plugged into the lab's bridge."""
    return any(Path(f"/sys/class/net/{identity.bridge}/brif").glob("*"))


def labs_in_kernel() -> list[str]:
    """Bridges of labs, of whatever checkout, that exist now."""
    return sorted(path.name for path in Path("/sys/class/net").glob("tl-*"))


def nft_tables() -> list[str]:
    """IPv4 tables that iptables made; none where iptables is not the nf_tables one."""
    done = run("nft", "-j", "list", "tables", "ip", check=False)
    if done.returncode != 0:
        return []
    return [entry["table"]["name"] for entry in json.loads(done.stdout)["nftables"] if "table" in entry]


def _remember_host() -> None:
    memory = RUN / "host.json"
    if not memory.exists():
        memory.write_text(json.dumps({"ip_forward": IP_FORWARD.read_text().strip(), "tables": nft_tables()}))


def create(identity: Identity, number: int | None) -> Network:
    """Bridge, guard route and kernel forwarding, at ``number`` or, where that is not free, at another; what is there is kept."""
    with host_lock():
        _remember_host()
        taken = taken_networks(identity)
        network = Network(identity, choose(taken) if number is None else number)
        if any(network.cidr.overlaps(other) for other in taken):
            _remove(identity)
            network = Network(identity, choose(taken))
        metric = str(identity.route_metric)
        # the guard comes first and goes last: there is no moment in which lab addresses follow the default route
        run("ip", "route", "replace", "unreachable", str(network.cidr), "metric", metric)
        if not bridge_exists(network.bridge):
            run("ip", "link", "add", network.bridge, "type", "bridge", "forward_delay", "0")
        Path(f"/proc/sys/net/ipv6/conf/{network.bridge}/disable_ipv6").write_text("1\n")
        run("ip", "addr", "replace", f"{network.gateway}/24", "dev", network.bridge)
        run("ip", "link", "set", network.bridge, "up")
        if IP_FORWARD.read_text().strip() != "1":
            IP_FORWARD.write_text("1\n")
    return network


def wall(network: Network, ports: Iterable[int], addresses: Iterable[str]) -> None:
    """Put the rules in place, anew and without a gap: ``addresses`` are registries that are configured by number."""
    run("ipset", "-exist", "create", network.identity.ipset, "hash:ip", "family", "inet")
    for address in addresses:
        run("ipset", "-exist", "add", network.identity.ipset, address)
    run("iptables-restore", "--wait", "--noflush", input=filter_script(network, ports))
    for table, chain, rule in hooks(network):
        if run("iptables", "--wait", "-t", table, "-C", chain, *rule, check=False).returncode != 0:
            run("iptables", "--wait", "-t", table, "-I", chain, *rule)


def rules(identity: Identity) -> list[tuple[str, list[str]]]:
    """(table, arguments of ``-A`` or ``-N``) of every rule and chain of the lab that the kernel holds now."""
    tables = run("iptables-save", check=False).stdout
    found, table = [], ""
    for line in tables.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":") and line[1:].split()[0] in (identity.forward_chain, identity.input_chain):
            found.append((table, ["-N", line[1:].split()[0]]))
        elif line.startswith("-A") and identity.comment in shlex.split(line):
            found.append((table, shlex.split(line)))
    return found


def guard_routes(identity: Identity) -> list[str]:
    """Networks that the lab's guard route covers."""
    routes = _json("-4", "route", "show", "type", "unreachable")
    return [str(route["dst"]) for route in routes if route.get("metric") == identity.route_metric]


def ipset_exists(identity: Identity) -> bool:
    return identity.ipset in run("ipset", "list", "-name", check=False).stdout.split()


def remove(identity: Identity) -> None:
    """Take all of the lab's network out of the kernel, found by the lab's key alone; the last lab puts the rest back."""
    with host_lock():
        _remove(identity)
        if not labs_in_kernel():
            _restore_host()


def _remove(identity: Identity) -> None:
    found = rules(identity)
    for table, rule in found:
        if rule[0] == "-A":
            run("iptables", "--wait", "-t", table, "-D", *rule[1:])
    for table, rule in found:
        if rule[0] == "-N":
            run("iptables", "--wait", "-t", table, "-X", rule[1])
    if ipset_exists(identity):
        run("ipset", "destroy", identity.ipset)
    if bridge_exists(identity.bridge):
        run("ip", "link", "del", identity.bridge)
    for cidr in guard_routes(identity):
        run("ip", "route", "del", "unreachable", cidr, "metric", str(identity.route_metric))


def _others_forward() -> bool:
    """Whether something else of the outer machine (containers, another bridge) lives by forwarding."""
    bridges = [link for link in Path("/sys/class/net").iterdir() if (link / "bridge").is_dir()]
    policy, *custom = run("iptables", "--wait", "-S", "FORWARD").stdout.splitlines()
    return bool(bridges or custom) or policy != "-P FORWARD ACCEPT"


def _restore_host() -> None:
    memory = RUN / "host.json"
    if not memory.exists():
        return
    before = json.loads(memory.read_text())
    # another's forwarding that began while labs were up must not be switched off by us
    if not _others_forward():
        IP_FORWARD.write_text(f"{before['ip_forward']}\n")
        for table in TABLES:
            if table in nft_tables() and table not in before["tables"] and _table_is_empty(table):
                run("nft", "delete", "table", "ip", table)
    memory.unlink()


def _table_is_empty(table: str) -> bool:
    entries = json.loads(run("nft", "-j", "list", "table", "ip", table).stdout)["nftables"]
    chains = [entry["chain"] for entry in entries if "chain" in entry]
    return not any("rule" in entry for entry in entries) and all(c.get("policy") == "accept" for c in chains)
