"""The deployment that the suites are asked of: brought to the state that a suite wants, and the ways to it."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab import rehearse, settings, state
from lab.accept import bare, kept
from lab.accept.door import Door
from lab.accept.suites import Suite
from lab.clerk.control import Control
from lab.command import run, wait_until
from lab.identity import PROJECT, LabError
from lab.world import Lab, Say
from twentyops import plan, release, source, stack
from twentyops.errors import Refused
from twentyops.settings import NAMES, load

DEPLOYS = ("deploy.py", "inventory.py", "config.py", "tasks", "templates", "twentyops", "files")
"""What decides on the deployment; files/twenty is left out there, as Twenty's own content hash has it."""
HEALTHY_WITHIN = 180.0  # s; a suite may have restarted Docker at its end
STATES = (
    f"docker ps --all --filter label=com.docker.compose.project={stack.PROJECT} --filter label=com.docker.compose.oneoff=False "
    "--format '{{.Label \"com.docker.compose.service\"}} {{.Status}}'"
)


class DeployFailed(LabError):
    """The real tree could not be deployed: no suite can be asked."""


def code_hash(project: Path = PROJECT) -> str:
    """64 hex digits over what deploys: two checkouts with the same one make the same deployment of the same tree."""
    digest = hashlib.sha256()
    for part in DEPLOYS:
        path = project / part
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts and project / "files/twenty" not in file.parents:
                digest.update(f"{file.relative_to(project)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def check_source(given: str) -> None:
    """LabError unless a tree is named that is not the stand-in."""
    if not given:
        raise LabError("accept asks the real Twenty, so it needs its source: TWENTY_SOURCE=DIR make accept")
    package = Path(given) / "package.json"
    if package.is_file() and "unpatched" in json.loads(package.read_text()).get("twentyops", {}):
        raise LabError(f"{given} is the stand-in, which shows nothing about Twenty: name a checkout of Twenty in TWENTY_SOURCE")


def check_sizes(environ: Mapping[str, str]) -> None:
    """LabError where the caller sets sizes: each suite has its own, and the table says which."""
    if given := [name for name in NAMES if name.endswith("_MEMORY_MB") and environ.get(name)]:
        raise LabError(
            f"{', '.join(given)} set, but accept runs at the default sizes and says which suite needs more: unset them"
        )


def tampered(states: str) -> list[str]:
    """What of the stack does not run well, in words. ``states``: service and Docker's status, a line each. Pure."""
    seen = dict(line.split(maxsplit=1) for line in states.splitlines() if " " in line)
    return [f"{name}: {seen.get(name, 'not there')}" for name in stack.SERVICES if "(healthy)" not in seen.get(name, "")]


class Deployment:
    """One lab with the real Twenty in it. ``as_it_is``: nothing is brought up, deployed or emptied there."""

    def __init__(self, lab: Lab, say: Say, *, as_it_is: bool) -> None:
        self.lab, self.say, self.as_it_is = lab, say, as_it_is
        self.name, self.public_url, self.ssh_config = lab.name, lab.public_url, lab.ssh_config
        self.gateway = lab.network.gateway
        self.directory = PROJECT / ".lab" / "accept"
        """Where results are kept: always this checkout's, whoever has the lab."""
        self.ssh: tuple[str, ...] = ("ssh", "-F", str(lab.ssh_config), "-o", "BatchMode=yes", lab.droplet.name)
        self._doors: dict[tuple[str, str, int], Door] = {}
        self._bare: dict[str, str] | None = None
        self._bare_begun = False
        """Whether a second server may be on the droplet, whole or in part."""
        self._code = "" if as_it_is else code_hash()
        self._sockets = tempfile.TemporaryDirectory(prefix="accept-")
        if as_it_is:
            self.plan = None
            self.release = f"as-it-is-{self._manifest_there().id}"
        else:
            check_source(os.environ.get("TWENTY_SOURCE", ""))
            check_sizes(os.environ)
            file = settings.write(lab)
            try:
                chosen = load(rehearse.environment(file))
                self.plan = plan.draft(chosen, source.find(chosen))
            except Refused as refused:
                raise DeployFailed(str(refused)) from None
            except source.SourceError as error:
                raise DeployFailed(str(error)) from None
            self.release = f"{self.plan.content_hash[:8]}-{self._code[:8]}"

    # --- what is there --------------------------------------------------------------------------------------------

    def run(self, script: str, *, input: str | None = None, timeout: float = 120) -> str:
        """What a shell script on the droplet says; a failure is a LabError."""
        return run(*self.ssh, script, input=input, timeout=timeout).stdout

    def manifest(self) -> release.Manifest | None:
        return release.Manifest.from_json(self.run(f"cat {stack.HOME}/current/release.json 2>/dev/null || :"))

    def _manifest_there(self) -> release.Manifest:
        found = self.manifest()
        if found is None:
            raise DeployFailed(f"lab {self.lab.name} of {self.lab.identity.project} has no release yet: deploy there first")
        return found

    def _record_file(self) -> Path:
        return self.lab.identity.state_dir / "accept-deployed.json"

    def _record(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._record_file().read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return found

    def _remember(self, **changes: Any) -> None:
        state.write_private(self._record_file(), json.dumps(self._record() | changes, indent=1) + "\n")

    def edited(self) -> str:
        """Why what runs, or would be deployed now, is not ``release`` any more; empty where it is."""
        if self.as_it_is or code_hash() == self._code:
            return ""
        return f"the code that deploys was edited after release {self.release} was named: start accept again"

    # --- as a suite wants it ----------------------------------------------------------------------------------------

    def have(self, suite: Suite) -> list[str]:
        """Bring the deployment to what a suite wants. Gives notes for the table; LabError where that cannot be had."""
        if self.as_it_is:
            if suite.deploys:
                raise LabError(f"it changes what is deployed, and the lab of {self.lab.identity.project} is only asked")
            odd = ["a CRM that is in use"] if suite.fresh else []
            odd += ["the sizes and settings that this lab has"] if suite.sizes else []
            return [f"asked with {' and '.join(odd)}, not as the table wants it"] if odd else []
        self._calm()
        before, record = self.manifest(), self._record()
        changes = {**suite.sizes, **suite.settings(settings.values(self.lab), self.gateway)}
        mine: dict[str, Any] = {"release": self.release, "changes": changes}
        empty = bool(record.get("empty")) or (before is None and not self._has_data())
        if suite.fresh and not empty:
            self._empty()
            empty, record = True, {}
        why = ""
        if before is None or record.get("id") != before.id or {key: record.get(key) for key in mine} != mine:
            why = "not deployed yet"
        elif ill := self._ill():
            why = f"deployed again, because the suite before left {'; '.join(ill)}"
        if why:
            self._deploy(changes)
            self._remember(id=self._manifest_there().id, empty=empty, **mine)
        return [why] if why.startswith("deployed again") else []

    def used(self) -> None:
        """From now on the CRM is not empty any more."""
        if not self.as_it_is:
            self._remember(empty=False)

    def _calm(self) -> None:
        """What a suite that was killed may have left: faults of Clerk's, paused containers, a bare server."""
        told = self.clerk()
        with Control(told["admin"], told["admin_token"]) as clerk:
            clerk.heal()
            clerk.calm()
        self.run(
            "command -v docker >/dev/null || exit 0; docker ps --quiet --filter status=paused | xargs --no-run-if-empty docker unpause"
        )
        bare.stop(self.run)

    def _has_data(self) -> bool:
        return bool(
            self.run(
                f"command -v docker >/dev/null && docker volume ls --quiet --filter name={stack.PROJECT}_postgres-data || :"
            ).strip()
        )

    def _ill(self) -> list[str]:
        """What does not get healthy by itself."""
        found: list[str] = []

        def well() -> bool:
            found[:] = tampered(self.run(STATES))
            return not found

        try:
            wait_until(well, HEALTHY_WITHIN, "not healthy", every=3)
        except LabError:
            return found
        return []

    def _empty(self) -> None:
        """Remove every container and volume of the stack, and all people and organisations of the lab's Clerk."""
        self.say("emptying the CRM: containers, volumes, and Clerk's organisations")
        self._bare = None
        compose = f"docker compose --file {stack.HOME}/current/compose.yaml --profile '*'"
        self.run(f"if [ -f {stack.HOME}/current/compose.yaml ]; then {compose} down --volumes --timeout 30; fi", timeout=300)
        if self._has_data():
            raise LabError("the database's volume is still there after docker compose down --volumes: look for what holds it")
        told = self.clerk()
        with Control(told["admin"], told["admin_token"]) as clerk:
            clerk.reset()

    def _deploy(self, changes: Mapping[str, str]) -> None:
        if edited := self.edited():
            raise DeployFailed(edited)
        assert self.plan is not None  # noqa: S101
        for line in kept.restore(self.lab.registry.storage, self.plan.built):
            self.say(line)
        self.say(f"deploying {self.release} {' '.join(f'{k}={v}' for k, v in changes.items()) or 'at the default sizes'}")
        report = rehearse.deploy(self.lab, changes=dict(changes))
        if report.exit_code:
            raise DeployFailed(f"the deploy failed with exit {report.exit_code}; what it says is above")
        found = self._manifest_there()
        if found.content_hash != self.plan.content_hash:
            raise DeployFailed(f"the droplet runs {found.content_hash[:16]} after the deploy, not {self.plan.content_hash[:16]}")
        for line in kept.keep(self.lab.registry.storage, self.plan.built):
            self.say(line)

    # --- the ways to it ---------------------------------------------------------------------------------------------

    def door(self, service: str, port: int, project: str = stack.PROJECT) -> str:
        key = (project, service, port)
        if key not in self._doors:
            query = (
                f"docker ps --quiet --filter label=com.docker.compose.project={project} --filter label=com.docker.compose.service={service} "
                "--filter label=com.docker.compose.oneoff=False --filter status=running "
                "| head -n 1 | xargs --no-run-if-empty docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}'"
            )

            def target() -> str:
                done = run(*self.ssh, query, check=False, timeout=30)
                return f"{done.stdout.split()[0]}:{port}" if done.stdout.split() else ""

            self._doors[key] = Door(self.ssh, target, Path(self._sockets.name) / "ssh")
        return self._doors[key].address

    def secret(self, name: str) -> str:
        return self.run(f"cat {stack.HOME}/secrets/{shlex.quote(name)}").strip()

    def clerk(self) -> Mapping[str, str]:
        told = self.lab.clerk.state()
        return {"admin": told.admin, "admin_token": told.admin_token}

    def tree(self) -> Path:
        assert self.plan is not None  # noqa: S101
        return self.plan.twenty.context()

    def builder(self) -> tuple[str, ...]:
        return (*self.ssh[:-1], self.lab.builder.name)

    def contexts(self) -> Mapping[str, str]:
        return settings.build_contexts(self.lab.images)

    def bare(self) -> Mapping[str, str]:
        if self.as_it_is:
            raise LabError(f"it starts a second server on the droplet, and the lab of {self.lab.identity.project} is only asked")
        if self._bare is None:
            self._bare_begun = True
            self.say("starting a second server without Clerk, with a database of its own")
            told = bare.start(self.run, f"{stack.HOME}/current")
            door = self.door(told["redis"], int(told["redis_port"]), bare.PROJECT)
            self._bare = {
                "url": f"http://{self.door('server', 3000, bare.PROJECT)}",
                "redis_url": bare.through(told["redis_url"], door),
                "app_secret": told["app_secret"],
            }
        return self._bare

    def put_away(self) -> None:
        """What one suite alone has needed."""
        if not self._bare_begun:
            return
        self._bare = None
        try:
            bare.stop(self.run)
        except (LabError, OSError, subprocess.TimeoutExpired) as error:
            self.say(f"the second server could not be removed, the next suite tries again: {error}")
        else:
            self._bare_begun = False

    def close(self) -> None:
        """Close every way to it; the deployment stays as it is, a second server goes."""
        self.put_away()
        for door in self._doors.values():
            door.close()
        self._sockets.cleanup()
