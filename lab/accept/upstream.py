"""Upstream's own unit tests around what the patchset touches: which they are, and running them in the lab's builder.

A test file counts when it lies beside a file that a rule edits, under its name, or imports it directly.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lab.command import run
from twentyops import patchset, source

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


# --- running them ----------------------------------------------------------------------------------------------------

BUILD_SECONDS = 3000
NEEDED = ("twenty-shared", "twenty-emails", "twenty-ui", "twenty-server", "twenty-front")
ROOT_FILES = (
    "package.json", "yarn.lock", ".yarnrc.yml", "tsconfig.base.json", "nx.json", ".prettierrc", "jest.preset.js", "jest.config.mjs",
)  # fmt: skip
HERE = "/var/lib/twentyops/upstream"


def jest(package: str, tests: Iterable[str], results: str) -> str:
    """Shell command, in the tree, that runs these test files and writes jest's JSON. It succeeds when jest could run, whatever the
    tests say. Pure."""
    below = shlex.join(test.removeprefix(f"packages/{package}/") for test in tests)
    node = "node ../../node_modules/.bin/jest --ci --forceExit --maxWorkers=2 --coverage=false --json"
    return f"cd packages/{package} && {{ {node} --outputFile={results} --runTestsByPath {below} > {results}.log 2>&1 || test -s {results}; }}"


def dockerfile(upstreams: str, wanted: dict[str, list[str]]) -> str:
    """Upstream's (patched) Dockerfile with two stages more: the tests, run on what its own first stage installs, and their results
    alone. Pure."""
    lines = [upstreams.rstrip(), "", "FROM common-deps AS upstream-tests", "WORKDIR /app"]
    lines += [f"COPY ./{name} /app/{name}" for name in ROOT_FILES]
    lines += [f"COPY ./packages/{name} /app/packages/{name}" for name in NEEDED]
    lines.append("RUN npx nx run-many -t build --projects=twenty-shared,twenty-emails,twenty-ui && mkdir /results")
    lines += [f"RUN {jest(package, tests, f'/results/{package}.json')}" for package, tests in wanted.items()]
    lines += ["FROM scratch AS upstream-results", "COPY --from=upstream-tests /results /", ""]
    return "\n".join(lines)


def in_tree(tree: Path, wanted: dict[str, list[str]], results: Path) -> None:
    """Run them in a tree that is installed, where its packages are built; results in a directory."""
    for package, tests in wanted.items():
        run("sh", "-c", jest(package, tests, str(results / f"{package}.json")), cwd=tree, timeout=BUILD_SECONDS)


def in_builder(ssh: Sequence[str], tree: Path, contexts: dict[str, str], wanted: dict[str, list[str]], results: Path) -> None:
    """Run them in a build on a machine with Docker; ``contexts``: images that the Dockerfile names, and where they are."""
    text = dockerfile((tree / source.DOCKERFILE).read_text(), wanted)
    there = [name for name in (*ROOT_FILES, ".yarn", ".dockerignore") if (tree / name).exists()]
    packed = shlex.join(
        ["tar", "-C", str(tree), "--exclude=node_modules", "-cz", *there, *(f"packages/{name}" for name in NEEDED)]
    )
    unpack = f"rm -rf {HERE} && mkdir -p {HERE} && tar -xz --no-same-owner -C {HERE}"
    run("bash", "-c", f"set -o pipefail; {packed} | {shlex.join([*ssh, unpack])}", timeout=600)
    run(*ssh, f"cat > {HERE}/Dockerfile.upstream", input=text)
    words = ["docker", "buildx", "build", "--progress=plain", f"--file={HERE}/Dockerfile.upstream", "--target=upstream-results"]
    words += [f"--build-context={name}=docker-image://{reference}" for name, reference in contexts.items()]
    words += [f"--output=type=tar,dest={HERE}.tar", HERE]
    run(*ssh, f"{shlex.join(words)} > {HERE}.log 2>&1 || {{ tail -n 40 {HERE}.log >&2; exit 1; }}", timeout=BUILD_SECONDS)
    packed = shlex.join([*ssh, f"cat {HERE}.tar && rm -rf {HERE} {HERE}.tar"])
    run("bash", "-c", f"set -o pipefail; {packed} | {shlex.join(['tar', '-x', '-C', str(results)])}", timeout=120)


@dataclass(frozen=True)
class Answer:
    """What jest says of one test file: how many tests passed, full names of those that failed, and why; empty where it passed."""

    passed: int
    failed: tuple[str, ...]
    message: str


def read(results: Path) -> dict[str, Answer]:
    """``{test file below the tree: answer}`` from jest's JSON files in a directory."""
    found = {}
    for file in results.glob("*.json"):
        for told in json.loads(file.read_text())["testResults"]:
            _, _, name = told["name"].rpartition(f"/packages/{file.stem}/")
            cases = told["assertionResults"]
            found[f"packages/{file.stem}/{name}"] = Answer(
                sum(case["status"] == "passed" for case in cases),
                tuple(sorted(case["fullName"] for case in cases if case["status"] == "failed")),
                told["message"] if told["status"] != "passed" else "",
            )
    return found
