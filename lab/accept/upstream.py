"""Upstream's own unit tests around what the patchset touches: which they are, and running them in the lab's builder.

A test file counts when it lies beside a file that a rule edits, under its name, or imports it directly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from twentyops import patchset

IMPORTS = re.compile(r"""(?:from|import|import\(|require\(|mock\(|requireActual\()\s*['"]([^'"\n]+)['"]""")
SUFFIXES = (".ts", ".tsx")


@dataclass(frozen=True)
class Package:
    """A package of Twenty's with jest: how its tests are named, and what its import aliases stand for."""

    name: str
    tests: re.Pattern[str]
    aliases: tuple[tuple[str, str], ...]

    @property
    def root(self) -> PurePosixPath:
        return PurePosixPath("packages") / self.name


PACKAGES = (
    Package("twenty-server", re.compile(r"\.spec\.ts$"), (("src/", "src/"), ("test/", "test/"))),
    Package("twenty-front", re.compile(r"(/__tests__/.*|\.(spec|test))\.tsx?$"), (("@/", "src/modules/"), ("~/", "src/"))),
)


def touched(tree: Path) -> list[str]:
    """TypeScript files of Twenty's own that the rules edit in this tree, sorted."""
    found = {row.file for row in patchset.plan(tree).rows if row.file.endswith(SUFFIXES)}
    return sorted(file for file in found if (tree / file).is_file())


def _stem(path: str) -> str:
    """A module as imports name it: no suffix, no ``/index``."""
    return re.sub(r"(/index)?(\.tsx?)?$", "", path)


def _module(package: Package, importer: PurePosixPath, specifier: str) -> str:
    """Path below the tree, without suffix, of what is imported; empty for a library."""
    if specifier.startswith("."):
        parts: list[str] = []
        for part in (importer.parent / specifier).parts:
            if part == "..":
                parts[-1:] = []
            else:
                parts.append(part)
        return _stem("/".join(parts))
    for alias, place in package.aliases:
        if specifier.startswith(alias):
            return _stem(f"{package.root}/{place}{specifier.removeprefix(alias)}")
    return ""


def _beside(test: PurePosixPath, stems: Iterable[str]) -> bool:
    """Whether a test's name and folder say that it is about one of these modules."""
    folder = test.parent.parent if test.parent.name == "__tests__" else test.parent
    name = re.sub(r"\.(spec|test)$", "", test.with_suffix("").name)
    return f"{folder}/{name}" in stems


def specs(tree: Path, files: Iterable[str]) -> dict[str, list[str]]:
    """``{package: test files below the tree}`` that are about these files."""
    stems = {_stem(file) for file in files}
    found: dict[str, list[str]] = {}
    for package in PACKAGES:
        source = tree / package.root / "src"
        for path in sorted(file for file in source.rglob("*") if file.suffix in SUFFIXES):
            test = PurePosixPath(path.relative_to(tree).as_posix())
            if not package.tests.search(str(test)) or path.name.endswith((".integration-spec.ts", ".d.ts")):
                continue
            imported = {_module(package, test, name) for name in IMPORTS.findall(path.read_text(errors="replace"))}
            if imported & stems or _beside(test, stems):
                found.setdefault(package.name, []).append(str(test))
    return found
