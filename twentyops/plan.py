"""What one run of the deploy wants, worked out once on the control machine before any host changes."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser

from twentyops import data_model, patchset, release, source, stack, twenty_env
from twentyops.errors import NotYetKnown, Problem, Refused
from twentyops.image import MANAGER, Image, manager_hash
from twentyops.registry import ImageRef, Registry, RegistryError
from twentyops.settings import Settings, load


@dataclass
class Plan:
    """Settings, source and images of this run."""

    settings: Settings
    source: source.Source
    twenty: Image
    manager: Image
    base_images: dict[str, str] = field(default_factory=dict)
    """``{postgres | redis | caddy: full reference with digest}``, filled by preflight on the droplet."""
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    """The droplet's generated secrets, in this process's memory only."""
    previous: release.Manifest | None = None
    recorded: Callable[[], bool] = lambda: False
    """Whether this run recorded another release than the one that ran; known when the run has ended."""
    cpus: int = stack.DEFAULT_CPUS
    """Processors of the droplet, filled by preflight: limits are parts of them."""

    @property
    def content_hash(self) -> str:
        """Of Twenty: the release is named after it."""
        return self.twenty.content_hash

    @property
    def built(self) -> tuple[Image, Image]:
        """The images that this project builds."""
        return (self.twenty, self.manager)

    @property
    def images(self) -> dict[str, str]:
        """``{service: full reference with digest}``."""
        own = {"server": self.twenty.reference, "worker": self.twenty.reference, "tenant-manager": self.manager.reference}
        cache = {"redis-cache": self.base_images["redis"]} if "redis" in self.base_images else {}
        return {**self.base_images, **cache, **own}

    def files(self) -> dict[str, str]:
        """Every file of the release; holds secrets."""
        if not self.secrets:
            raise NotYetKnown("the droplet's secrets are made in this run")
        return stack.render(self.settings, self.images, self.secrets, self.cpus)

    def service_hashes(self) -> dict[str, str]:
        """``{service: hash}`` that decides which containers are made anew."""
        if not self.secrets:
            raise NotYetKnown("the droplet's secrets are made in this run")
        return stack.service_hashes(self.settings, self.images, self.secrets, self.cpus)

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
        tags |= {"server": self.twenty.name, "worker": self.twenty.name, "tenant-manager": self.manager.name}
        tags["redis-cache"] = s.redis_image
        return release.Manifest(
            id=self.release_id,
            content_hash=self.content_hash,
            config_hash=self.config_hash,
            images=self.images,
            image_tags=tags,
            twenty_source=self.source.location,
            twenty_ref=self.source.ref,
            twenty_commit=self.source.commit,
            twenty_version=s.twenty_version,
            public_url=s.public_url,
            deployed_at=release.now(),
            deployed_by=release.who(),
        )

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


_lock = threading.Lock()


def current() -> Plan:
    """The plan of this process. Ends the run with every problem in one message where the control machine finds any."""
    with _lock:
        return _current()


def made() -> Plan | None:
    """The plan of this process if there is one already; nothing is looked at for it."""
    return _current() if _current.cache_info().currsize else None


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


def draft(settings: Settings, found: source.Source) -> Plan:
    """What is to run, before any registry was asked. No address is baked into an image: pages learn it at run time."""
    arguments = {"APP_VERSION": settings.twenty_version}
    content = release.content_hash(found.commit, patchset.fingerprint(), {**arguments, **settings.build_contexts})
    manager = manager_hash(settings.python_image)
    plan = Plan(
        settings,
        found,
        twenty=Image(
            title="Twenty's image",
            repository=settings.repository,
            tag=content[:32],
            content_hash=content,
            context=lambda: source.patched_tree(found, content),
            dockerfile=source.DOCKERFILE,
            arguments=lambda: {**arguments, "TWENTYOPS_CONTENT_HASH": content},
            replaced=lambda tree: {
                name: plan.pin(settings.build_contexts.get(name, name)) for name in parents(tree / source.DOCKERFILE)
            },
        ),
        manager=Image(
            title="the tenant manager's image",
            repository=settings.repository,
            tag=f"tenant-manager-{manager[:32]}",
            content_hash=manager,
            context=lambda: MANAGER,
            dockerfile="Dockerfile",
            arguments=lambda: {"PYTHON_IMAGE": plan.pin(settings.python_image)},
            cache_tag="tenant-manager-buildcache",
        ),
    )
    return plan


def parents(dockerfile: Path) -> list[str]:
    """Images that a Dockerfile starts from, its own stages left out; sorted."""
    parser = DockerfileParser(path=str(dockerfile), cache_content=True)
    stages = {name.lower() for name in parser.parent_images if "/" not in name and ":" not in name}
    return sorted({name for name in parser.parent_images if name.lower() not in stages and name != "scratch"})


def _remedied(error: RegistryError) -> tuple[str, str]:
    """Setting and remedy of what a registry refuses."""
    for words, setting, remedy in (
        ("refuses this user", "REGISTRY_PASSWORD", "make a new access token there"),
        ("does not let this user", "IMAGE_NAME", "name a repository of this user, or give the token the right to read and write"),
        ("429", "REGISTRY", "or log in as a user with a higher limit"),
    ):
        if words in str(error):
            return setting, f"{error}; {remedy}"
    return "REGISTRY", f"{error}; check the address and that it runs"


def make(settings: Settings) -> Plan:
    """Look at data model, registry, source, variables for Twenty and patchset; ``Refused`` with all that is wrong."""
    check_data_model()
    problems: list[Problem] = []
    plan = None
    known = None
    try:
        found = source.find(settings)
        plan = draft(settings, found)
        known = twenty_env.read(found) if settings.twenty_env else None
    except source.SourceError as error:
        problems.append(error.problem)
    problems += twenty_env.problems(settings, known)
    try:
        own = Registry(
            settings.registry,
            settings.registry_username,
            settings.registry_password.get_secret_value(),
            settings.registry_ca_file,
        )
        own.check_login()
        for image in plan.built if plan else ():
            image.digest = own.digest(settings.image_name, image.tag, ours=True) or ""
    except RegistryError as error:
        problems.append(Problem(*_remedied(error)))
    if plan and not plan.twenty.digest and not problems:
        try:
            plan.twenty.context()
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
