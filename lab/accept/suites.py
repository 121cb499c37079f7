"""The suites that need a real Twenty: each is described here, and nowhere else."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lab.identity import PROJECT

PLENTY = {"SERVER_MEMORY_MB": "4096", "REDIS_CACHE_MEMORY_MB": "1024"}
"""Sizes for about fifty workspaces on one server; the default sizes are those of .env.example."""


class Place(Protocol):
    """The deployment that is asked (lab.accept.place.Deployment): where it is reached, and what only its operator knows."""

    name: str
    public_url: str
    ssh: tuple[str, ...]
    """Command up to the droplet's name."""
    ssh_config: Path
    gateway: str
    """Address of this machine in the lab's network."""

    def door(self, service: str, port: int, project: str = "twenty") -> str:
        """Address on this machine that leads to a container's port: ``127.0.0.1:12345``."""

    def secret(self, name: str) -> str:
        """A secret that the deploy made on the droplet."""

    def clerk(self) -> Mapping[str, str]:
        """``{admin, admin_token}`` of the lab's Clerk."""

    def tree(self) -> Path:
        """The patched tree that was built, on this machine."""

    def builder(self) -> tuple[str, ...]:
        """Command up to the builder's name."""

    def contexts(self) -> Mapping[str, str]:
        """Images that upstream's Dockerfile names, and where this lab has them."""

    def bare(self) -> Mapping[str, str]:
        """A second server of the same image without Clerk and with an empty database of its own: ``{url, redis_url, app_secret}``."""


@dataclass(frozen=True)
class Allowed:
    """Tests that may be skipped, ``what`` being a part of their id or of the reason that they give, and why no server of this run
    could have answered them."""

    what: str
    because: str


@dataclass(frozen=True)
class Suite:
    """Some tests for one deployment.

    + tests: what pytest is given: paths below the project
    + options: gives pytest's further arguments for a deployment
    + variables: gives what is added to the environment of the tests
    + sizes: limits of the deployment that differ from the defaults, with the reason in ``why_larger``
    + settings: gives further settings that differ, from the lab's own and its gateway's address (this machine, seen from the lab)
    + fresh: the CRM must be emptied first, unless it is empty
    + deploys: the suite deploys by itself, or changes what is deployed: only for a lab of our own
    + left_out: tests that do not ask the server (``make test`` runs them): they are not counted at all
    """

    name: str
    about: str
    tests: tuple[str, ...] = ()
    options: Callable[[Place], list[str]] = field(default=lambda _: [], repr=False)
    variables: Callable[[Place], dict[str, str]] = field(default=lambda _: {}, repr=False)
    sizes: Mapping[str, str] = field(default_factory=dict)
    why_larger: str = ""
    settings: Callable[[Mapping[str, str], str], dict[str, str]] = field(default=lambda _values, _gateway: {}, repr=False)
    fresh: bool = False
    deploys: bool = False
    allowed: tuple[Allowed, ...] = ()
    left_out: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """16 hex digits over its tests' files and all that they may import or are described by: a changed test is asked again."""
        digest = hashlib.sha256(repr([sorted(self.sizes.items()), self.fresh, self.left_out]).encode())
        for path in sorted({*(file for test in self.tests for file in _files(test)), *_shared()}):
            digest.update(f"{path.relative_to(PROJECT)}\0".encode() + path.read_bytes() + b"\0")
        return digest.hexdigest()[:16]


def _files(test: str) -> list[Path]:
    """A test file with what lies beside it, or all of a directory."""
    path = PROJECT / test.partition("::")[0]
    folder = path if path.is_dir() else path.parent
    found = _code(folder, {".py", ".js", ".ts", ".json", ".yaml"})
    return [file for file in found if path.is_dir() or file == path or not file.name.startswith("test_")]


def _shared() -> list[Path]:
    """What suites import from each other and from the lab. All of it: no list of imports is kept true by hand."""
    return [*_code(PROJECT / "tests", {".py", ".ts"}), *_code(PROJECT / "lab", {".py"})]


def _code(folder: Path, suffixes: set[str]) -> list[Path]:
    return [f for f in folder.rglob("*") if f.suffix in suffixes and f.is_file() and "__pycache__" not in f.parts]


def _shell(place: Place, command: str) -> str:
    """A command on the droplet in one word, for options that are split by a shell's rules."""
    return " ".join([*place.ssh, command])


def _tenants(place: Place) -> list[str]:
    return [
        f"--twenty-url={place.public_url}",
        f"--internal-url=http://{place.door('server', 3000)}",
        f"--internal-secret={place.secret('internal_secret')}",
        f"--twenty-app-secret={place.secret('app_secret')}",
    ]


def _as_people(place: Place) -> list[str]:
    return [*_tenants(place), f"--clerk-admin={place.clerk()['admin']}", f"--egress-allowed={place.gateway}"]


def _attackers_server(values: Mapping[str, str], gateway: str) -> dict[str, str]:
    """tests/tenants plays a server on the internet, on any port of this machine: the deployment may ask it."""
    return {"TENANT_EGRESS_ALLOW": ",".join(filter(None, (values.get("TENANT_EGRESS_ALLOW"), gateway)))}


def _few_places(_values: Mapping[str, str], _gateway: str) -> dict[str, str]:
    """tests/burst needs 12 places beside its own tenant, and fills all that are left: 13 take about 4 minutes, the default 19 more."""
    return {"MAX_TENANTS": "14"}


def _browser(place: Place) -> list[str]:
    return [f"--public-url={place.public_url}", "--clerk=lab", f"--lab={place.name}"]


def _sign_in(place: Place) -> list[str]:
    return [
        f"--twenty-url=http://{place.door('server', 3000)}",
        f"--public-url={place.public_url}",
        f"--clerk-admin={place.clerk()['admin']}",
    ]


def _clerk_variables(place: Place) -> dict[str, str]:
    return {"CLERK_ADMIN_TOKEN": place.clerk()["admin_token"], "TWENTYOPS_INTERNAL_SECRET": place.secret("internal_secret")}


def _data_model(place: Place) -> list[str]:
    from lab.twenty import OF_THE_DROPLET, WITHOUT_A_SERVER

    server = OF_THE_DROPLET.split()[-2]
    return [
        f"--twenty-url={place.public_url}",
        f"--twenty-shell={_shell(place, OF_THE_DROPLET)}",
        f"--twenty-process-shell={_shell(place, WITHOUT_A_SERVER)}",
        f"--twenty-kill={_shell(place, shlex.quote(f'docker kill --signal KILL {server} && docker start {server}'))}",
    ]


def _contract(place: Place) -> list[str]:
    bare = place.bare()
    return [
        f"--twenty-url={bare['url']}",
        f"--twenty-redis-url={bare['redis_url']}",
        f"--twenty-app-secret={bare['app_secret']}",
    ]


def _both(place: Place) -> list[str]:
    """The server directly and through its lab: its own conftest takes what it needs."""
    return [*_tenants(place), f"--public-url={place.public_url}", f"--clerk={place.clerk()['admin']}", f"--lab={place.name}"]


def _upstream(place: Place) -> list[str]:
    return [
        f"--upstream-tree={place.tree()}",
        f"--upstream-builder={shlex.join(place.builder())}",
        f"--upstream-contexts={json.dumps(dict(place.contexts()))}",
    ]


SUBDOMAINS = Allowed(
    "subdomains", "the lab deploys the one-address mode; a deployment in subdomain mode is asked by hand (docs/sign-in.md)"
)

SUITES = (
    Suite(
        "smoke",
        "the promises that end every deploy",
        ("tests/smoke",),
        lambda place: ["--hosts=ssh://droplet", f"--ssh-config={place.ssh_config}"],
    ),
    Suite(
        "tenant-manager",
        "what the tenant manager relies on: the server's internal API",
        ("tests/tenant_manager/test_contract.py",),
        lambda place: _tenants(place)[1:3],
    ),
    Suite(
        "sign-in",
        "Clerk's session exchanged for Twenty's: attacks, keys, throttle, Clerk out of reach",
        ("tests/contract/test_clerk_session.py",),
        _sign_in,
        _clerk_variables,
        allowed=(SUBDOMAINS,),
        left_out=("tests/contract/test_clerk_session.py::test_the_standin_does_not_start_with_half_of_clerks_settings",),
    ),
    Suite(
        "contract",
        "what our side relies on of Twenty, asked of a server without Clerk: sign-up, records, metadata, the worker",
        tuple(f"tests/contract/test_{part}.py" for part in ("http", "sign_up", "metadata", "records", "worker")),
        _contract,
        left_out=(
            "tests/contract/test_worker.py::test_probe_fails_where_no_worker_runs",
            "tests/contract/test_worker.py::test_cron_jobs_are_registered_once_each",
            "tests/contract/test_worker.py::test_worker_ends_by_sigterm",
        ),
    ),
    Suite(
        "tenants",
        "tenants stay apart; what is closed; sessions that end",
        ("tests/tenants",),
        _as_people,
        _clerk_variables,
        sizes=PLENTY,
        why_larger="makes more workspaces than the default sizes have room for (about 20)",
        settings=_attackers_server,
        fresh=True,
        allowed=(SUBDOMAINS,),
    ),
    Suite(
        "webhooks",
        "Clerk's organisations become workspaces by themselves",
        ("tests/rehearsal/test_tenants.py",),
        lambda place: [f"--lab={place.name}"],
        deploys=True,
    ),
    Suite(
        "burst",
        "twelve organisations within a second; what is killed in between",
        ("tests/burst",),
        _both,
        _clerk_variables,
        settings=_few_places,
        fresh=True,
        deploys=True,
        allowed=(
            Allowed("--fifty", "fifty organisations have a suite of their own, with more memory: fifty"),
            Allowed(
                "--server-pid-file", "looks at a process on this machine; the same is asked of the lab by tests/burst/test_lab.py"
            ),
            Allowed("--twenty-database-url", "holds a table of a database on this machine; test_lab.py does so in the lab"),
        ),
    ),
    Suite(
        "data-model",
        "the shipped command in workspaces of its own, killed and run again",
        ("tests/contract/test_data_model.py",),
        _data_model,
        sizes=PLENTY,
        why_larger="makes about 30 workspaces, most of which are left behind by a kill",
        fresh=True,
        deploys=True,
        left_out=("tests/contract/test_data_model.py::test_pure_planning",),
    ),
    Suite(
        "browser",
        "people at a browser",
        ("tests/browser",),
        _browser,
        sizes=PLENTY,
        why_larger="makes about 50 workspaces",
        fresh=True,
        allowed=(SUBDOMAINS,),
    ),
    Suite(
        "fifty",
        "fifty organisations at once, and what each costs",
        ("tests/burst",),
        lambda place: [*_both(place), "--fifty", "-k", "fifty"],
        _clerk_variables,
        sizes=PLENTY,
        why_larger="fifty workspaces do not fit the default sizes",
        fresh=True,
        deploys=True,
    ),
    Suite(
        "outside",
        "floods and slow clients from outside; Docker and the network while they last",
        ("tests/outside",),
        _both,
        _clerk_variables,
        deploys=True,
    ),
    Suite(
        "upstream",
        "upstream's own unit tests around what the patchset touches, in the lab's builder",
        ("tests/upstream",),
        _upstream,
        deploys=True,
    ),
)


def by_name(names: list[str]) -> tuple[Suite, ...]:
    """Suites in the table's order; KeyError with what there is for a name that there is not."""
    known = [suite.name for suite in SUITES]
    if unknown := [name for name in names if name not in known]:
        raise KeyError(f"no such suite: {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(suite for suite in SUITES if not names or suite.name in names)
