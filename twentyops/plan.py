"""What one run of the deploy wants, worked out once on the control machine before any host changes."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser

from twentyops import data_model, patchset, release, source, stack
from twentyops.errors import Problem, Refused
from twentyops.operations import NotYetKnown
from twentyops.registry import ImageRef, Registry, RegistryError
from twentyops.settings import Settings, load


@dataclass
class Plan:
    """Settings, source and images of this run. ``image_digest`` is empty until the image is in the registry."""

    settings: Settings
    source: source.Source
    content_hash: str
    image_digest: str = ""
    base_images: dict[str, str] = field(default_factory=dict)
    """``{postgres | redis | caddy: full reference with digest}``, filled by preflight on the droplet."""
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    """The droplet's generated secrets, in this process's memory only."""
    previous: release.Manifest | None = None

    @property
    def tag(self) -> str:
        return self.content_hash[:32]

    @property
    def image_tag(self) -> str:
        return f"{self.settings.repository}:{self.tag}"

    @property
    def image(self) -> str:
        """Full reference with digest; ``NotYetKnown`` while the image is still to be built."""
        if not self.image_digest:
            raise NotYetKnown("the image is built in this run")
        return f"{self.settings.repository}@{self.image_digest}"

    @property
    def images(self) -> dict[str, str]:
        """``{service: full reference with digest}``."""
        return {**self.base_images, "server": self.image, "worker": self.image}

    def files(self) -> dict[str, str]:
        """Every file of the release; holds secrets."""
        if not self.secrets:
            raise NotYetKnown("the droplet's secrets are made in this run")
        return stack.render(self.settings, {**self.base_images, "server": self.image}, self.secrets)

    def service_hashes(self) -> dict[str, str]:
        """``{service: hash}`` that decides which containers are made anew."""
        if not self.secrets:
            raise NotYetKnown("the droplet's secrets are made in this run")
        return stack.service_hashes(self.settings, {**self.base_images, "server": self.image}, self.secrets)

    @property
    def config_hash(self) -> str:
        return release.config_hash(self.files())

    @property
    def release_id(self) -> str:
        return f"{self.content_hash[:8]}-{self.config_hash[:8]}"

    @property
    def directory(self) -> str:
        """The release's directory on the droplet."""
        return f"{stack.HOME}/releases/{self.release_id}"

    def manifest(self) -> release.Manifest:
        """The release as it is recorded."""
        s = self.settings
        tags = {name: getattr(s, f"{name}_image") for name in stack.BASE_SERVICES}
        return release.Manifest(
            id=self.release_id,
            content_hash=self.content_hash,
            config_hash=self.config_hash,
            images=self.images,
            image_tags={**tags, "server": self.image_tag, "worker": self.image_tag},
            twenty_source=s.twenty_source,
            twenty_ref=self.source.ref,
            twenty_commit=self.source.commit,
            twenty_version=s.twenty_version,
            public_url=s.public_url,
            deployed_at=release.now(),
            deployed_by=release.who(),
        )

    def build_arguments(self) -> dict[str, str]:
        """``{name: value}`` that upstream's Dockerfile gets. No address is baked in: the page learns it at run time."""
        return {"APP_VERSION": self.settings.twenty_version}

    def registry(self, reference: ImageRef | None = None) -> Registry:
        """The registry of an image; with our login where it is ours."""
        s = self.settings
        if reference is None or reference.registry == s.registry:
            return Registry(s.registry, s.registry_username, s.registry_password.get_secret_value(), s.registry_ca_file)
        return Registry(reference.registry)

    def pin(self, text: str) -> str:
        """A reference with the digest that its tag names now; one with a digest stays as it is."""
        reference = ImageRef.parse(text)
        if reference.digest:
            return str(reference)
        digest = self.registry(reference).digest(reference.repository, reference.tag)
        if digest is None:
            raise RegistryError(f"{reference.registry} has no {reference.repository}:{reference.tag}")
        return f"{reference.name}@{digest}"

    def pin_base_images(self, previous: release.Manifest | None) -> None:
        """Digests of database, queue and proxy: those of the running release while the tags are the same."""
        for name in stack.BASE_SERVICES:
            tag = getattr(self.settings, f"{name}_image")
            kept = previous and not self.settings.update_base_images and previous.image_tags.get(name) == tag
            self.base_images[name] = previous.images[name] if previous and kept else self.pin(tag)

    def build_contexts(self, tree: Path) -> dict[str, str]:
        """``{image that the Dockerfile starts from: the same (or what BUILD_CONTEXTS names) with digest}``."""
        parser = DockerfileParser(path=str(tree / source.DOCKERFILE), cache_content=True)
        stages = {name.lower() for name in parser.parent_images if "/" not in name and ":" not in name}
        parents = {name for name in parser.parent_images if name.lower() not in stages and name != "scratch"}
        return {name: self.pin(self.settings.build_contexts.get(name, name)) for name in sorted(parents)}


_lock = threading.Lock()


def current() -> Plan:
    """The plan of this process. Ends the run with every problem in one message where the control machine finds any."""
    with _lock:
        return _current()


@functools.cache
def _current() -> Plan:
    try:
        return make(load())
    except Refused as refusal:
        raise SystemExit(str(refusal)) from None


def check_data_model() -> None:
    """``Refused`` while the data model has a fault: nothing else is worth looking at, the image would carry it."""
    problems = data_model.check(data_model.MODEL)
    if problems:
        raise Refused("Preflight refused, nothing was changed:", problems)


def make(settings: Settings) -> Plan:
    """Look at data model, registry, source and patchset; ``Refused`` with all that is wrong."""
    check_data_model()
    problems: list[Problem] = []
    plan = None
    try:
        found = source.find(settings)
        arguments = {"APP_VERSION": settings.twenty_version, **settings.build_contexts}
        plan = Plan(settings, found, release.content_hash(found.commit, patchset.fingerprint(), arguments))
    except source.SourceError as error:
        problems.append(error.problem)
    try:
        own = Registry(
            settings.registry,
            settings.registry_username,
            settings.registry_password.get_secret_value(),
            settings.registry_ca_file,
        )
        own.check_login()
        if plan:
            plan.image_digest = own.digest(settings.image_name, plan.tag) or ""
    except RegistryError as error:
        setting = "REGISTRY_PASSWORD" if "refuses" in str(error) else "REGISTRY"
        remedy = "make a new access token there" if "refuses" in str(error) else "check the address and that it runs"
        problems.append(Problem(setting, f"{error}; {remedy}"))
    if plan and not plan.image_digest and not problems:
        try:
            source.patched_tree(found, plan.content_hash)
        except source.SourceError as error:
            problems.append(error.problem)
        except patchset.Drift as error:
            rows = "".join(f"\n    {row.file}: {row.id}: {row.state}" for row in error.plan.rows if not row.good)
            problems.append(
                Problem("patchset", f"{error}{rows}\n  See docs/patchset.md: how to lift the patchset to this version.")
            )
        except patchset.PatchsetError as error:
            problems.append(Problem("patchset", f"{error}\n  See docs/patchset.md: how to lift the patchset to this version."))
    if problems or plan is None:
        raise Refused("Preflight refused, nothing was changed:", problems)
    return plan
