"""What no kept release needs goes, and nothing else."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from twentyops import prune

A, B, C, POSTGRES, OLD_POSTGRES = (
    f"r.example.com/{n}@sha256:{d * 64}" for n, d in zip(("t", "t", "t", "p", "p"), "abcde", strict=True)
)


def release(name: str, *images: str, recorded: bool = True) -> prune.Kept:
    return prune.Kept(name, recorded, frozenset(images))


def test_images_of_releases_beyond_the_retention_go() -> None:
    found = [release("r3", C, POSTGRES), release("r2", B, POSTGRES), release("r1", A, OLD_POSTGRES)]
    assert prune.superseded("r3", found, 2) == (["r1"], [OLD_POSTGRES, A])


def test_what_runs_stays_however_old_it_is() -> None:
    """After a deploy of an older release: it is current, and the newest others are kept for a way back."""
    found = [release("r3", C), release("r2", B), release("r1", A)]
    assert prune.superseded("r1", found, 2) == (["r2"], [B])


def test_failed_releases_never_take_the_place_of_one_that_served() -> None:
    failed = [release(f"f{n}", C, recorded=False) for n in range(5)]
    found = [release("r2", B), *failed, release("r1", A)]
    assert prune.superseded("r2", found, 2) == ([f"f{n}" for n in range(5)], [C])


def test_an_image_that_a_kept_release_names_too_stays() -> None:
    found = [release("r3", A), release("r2", B), release("r1", A, B)]
    assert prune.superseded("r3", found, 2) == (["r1"], [])


class Droplet:
    """Runs what is meant for a droplet here, with releases below a directory of this test and a Docker that writes down what goes."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.docker = home / "docker"
        self.docker.write_text(f'#!/bin/sh\necho "$@" >> {home}/asked\n[ ! -e {home}/images ] || cat {home}/images\n')
        self.docker.chmod(0o755)

    def __call__(self, command: str) -> tuple[bool, str]:
        done = subprocess.run(
            ["sh", "-c", command.replace("/opt/twenty", str(self.home))],
            env={"PATH": f"{self.home}:/usr/bin:/bin"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode == 0, done.stdout

    def release(self, name: str, *images: str, recorded: bool = True, age: int = 0) -> Path:
        place = self.home / "releases" / name
        place.mkdir(parents=True)
        text = "\n".join(f'    image: "{image}"' for image in images)
        (place / "compose.yaml").write_text(text)
        if recorded:
            (place / "release.json").write_text(text)
        os.utime(place, (time.time() - age, time.time() - age))
        return place

    def asked(self) -> list[str]:
        return (self.home / "asked").read_text().splitlines() if (self.home / "asked").exists() else []


@pytest.fixture
def droplet(tmp_path: Path) -> Droplet:
    return Droplet(tmp_path)


def test_directories_and_images_go_together(droplet: Droplet) -> None:
    droplet.release("r1", A, OLD_POSTGRES, age=30)
    droplet.release("f1", C, recorded=False, age=20)
    droplet.release("r2", B, POSTGRES, age=10)
    newest = droplet.release("r3", C, POSTGRES)
    (droplet.home / "current").symlink_to(newest)
    assert prune.releases(droplet, 2) is None
    assert sorted(path.name for path in (droplet.home / "releases").iterdir()) == ["r2", "r3"]
    assert droplet.asked() == [f"image rm {OLD_POSTGRES} {A}"]
    assert prune.releases(droplet, 2) is None
    assert len(droplet.asked()) == 1, "nothing is left to let go"


def test_nothing_goes_where_it_is_not_known_what_runs(droplet: Droplet) -> None:
    droplet.release("r1", A, age=30)
    droplet.release("r2", B)
    (droplet.home / "current").symlink_to(droplet.home / "releases" / "r3")
    assert "names none" in str(prune.releases(droplet, 1))
    assert len(list((droplet.home / "releases").iterdir())) == 2
    assert droplet.asked() == []


def test_the_builder_keeps_the_newest_images_of_our_repository(droplet: Droplet) -> None:
    (droplet.home / "images").write_text("r.example.com/t:4\nr.example.com/t:<none>\nr.example.com/t:3\nr.example.com/t:2\n")
    prune.built_images(droplet, "r.example.com/t", 2)
    assert droplet.asked()[1:] == ["image rm r.example.com/t:2"]


@pytest.mark.parametrize("keep", [1, 3])
def test_trees_that_were_not_used_for_longest_go(tmp_path: Path, keep: int) -> None:
    ages = {"a" * 16: 5, "b" * 16: 3, "c" * 16: 0.1, "d" * 16: 9, f"{'e' * 16}.4711.source": 2, f"{'f' * 16}.1.source": 0.1}
    for name, days in ages.items():
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - days * prune.DAY,) * 2)
    prune.trees(tmp_path, keep)
    used = ["c" * 16, "b" * 16, "a" * 16, "d" * 16][:keep]
    assert {path.name for path in tmp_path.iterdir()} == {*used, f"{'f' * 16}.1.source"}


def test_a_tree_of_today_stays_for_whoever_is_at_work_with_it(tmp_path: Path) -> None:
    for name in "abcdef":
        (tmp_path / (name * 16)).mkdir()
    prune.trees(tmp_path, 1)
    assert len(list(tmp_path.iterdir())) == 6
