"""The cache of built images, and the one call that brings them into a registry."""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.identity import cache_dir
from lab.images.build import Builder
from lab.images.host import inspect
from lab.images.push import Registry, push
from lab.images.recipes import Recipe, base_key, recipe_key, recipes
from lab.locks import only_one

log = logging.getLogger("lab.images")

SUITES = ("trixie", "bookworm")
KEPT = 3  # builds of one image that stay in the cache: worktrees side by side may differ


def _weight(recipe: Recipe) -> int:
    """Order of building: most packages from outside first."""
    return -len(recipe.npm) - len(recipe.pypi)


def _prune(folder: Path, name: str, current: str) -> None:
    """Drop the oldest builds of one image, never the current one."""
    builds = sorted(folder.glob(f"{name}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in [build for build in builds if build.name != current][KEPT - 1 :]:
        shutil.rmtree(path)


def build(names: tuple[str, ...] = ()) -> dict[str, tuple[Recipe, Path]]:
    """Images (all, or those named) in the cache: ``{name: (recipe, folder)}``; instant when nothing changed."""
    cache = cache_dir() / "images"
    cache.mkdir(parents=True, exist_ok=True)
    with only_one("images"):
        host = inspect(SUITES)
        known = {recipe.name: recipe for recipe in recipes(host)}
        if unknown := set(names) - set(known):
            raise ValueError(f"no such image: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
        builder = Builder(cache, host)
        wanted = [known[name] for name in names or known]
        # two at a time: one downloads while the other unpacks; the longest first
        with ThreadPoolExecutor(2) as pool:
            jobs = {recipe.name: pool.submit(builder.image, recipe) for recipe in sorted(wanted, key=_weight)}
        made = {recipe.name: (recipe, jobs[recipe.name].result()) for recipe in wanted}
        for name, (recipe, _) in made.items():
            _prune(cache / "image", name, f"{name}-{recipe_key(recipe, host)}")
        for suite in SUITES:
            _prune(cache / "base", suite, f"{suite}-{base_key(host, suite)}")
    return made


def ensure(registry: Registry, names: tuple[str, ...] = ()) -> dict[str, str]:
    """Make sure that a registry holds the lab's base images; ``{name: "address/library/x:tag"}``.

    Builds what the cache lacks (root needed), uploads what the registry lacks. Errors: ``HostError``, ``BuildError``,
    ``PushError``.
    """
    held = {}
    for name, (recipe, folder) in build(names).items():
        sent = push(registry, folder, recipe.repository, recipe.tag)
        held[name] = f"{registry.address}/{recipe.repository}:{recipe.tag}"
        log.info("%s: %s", held[name], "pushed" if sent else "there already")
    return held
