"""Twenty's source: from a git address or a local checkout, at one commit, patched into a fresh tree of our own.

A local checkout is only read: git works on it with an index of its own.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from twentyops import prune
from twentyops.errors import Problem
from twentyops.settings import Settings

KEPT_TREES = 5
DOCKERFILE = "packages/twenty-docker/twenty/Dockerfile"


CREDENTIALS = (
    '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$TWENTYOPS_GIT_USER" "$TWENTYOPS_GIT_PASSWORD"; }; f'
)


class SourceError(Exception):
    """The source cannot be had as asked; ``problem`` names the setting and the remedy."""

    def __init__(self, setting: str, remedy: str) -> None:
        super().__init__(f"{setting}: {remedy}")
        self.problem = Problem(setting, remedy)


class GitError(SourceError):
    """A git command that failed, with git's own last line as ``reason``."""

    def __init__(self, directory: Path | None, reason: str) -> None:
        self.reason = reason
        remedy = "look at it with git there"
        if "dubious ownership" in reason:
            remedy = f"it belongs to another user; if you trust it: git config --global --add safe.directory {shlex.quote(str(directory))}"
        super().__init__("TWENTY_SOURCE", f"git cannot read {directory} ({reason}): {remedy}")


def split_login(address: str) -> tuple[str, dict[str, str]]:
    """A git address without the login in it, and the environment by which git gets that login, for its host alone.

    So that it stands in no argument, message, file of git or release.json. An address without a login has no such environment.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
        return address, {}
    login, _, place = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    user, password = unquote(user), unquote(password)
    if any(ord(c) < 32 for c in user + password):
        raise SourceError("TWENTY_SOURCE", f"the login for {place} has a control character in it; encode it right or take it out")
    return urlunsplit(parts._replace(netloc=place)), {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"credential.{parts.scheme}://{place}.helper",
        "GIT_CONFIG_VALUE_0": CREDENTIALS,
        "TWENTYOPS_GIT_USER": user,
        "TWENTYOPS_GIT_PASSWORD": password,
    }


@dataclass(frozen=True)
class Source:
    """One state of Twenty's tree. ``commit`` is git's, or ``tree:<hash>`` for a directory that is no checkout."""

    location: str
    """Directory or address; never with a login."""
    ref: str
    commit: str
    repository: Path | None
    """Git directory that holds the commit, ``None`` for a plain directory."""
    login: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Environment for git, from ``split_login``."""

    def export(self, destination: Path) -> None:
        """Write the tree at that commit into ``destination``, which must not exist; for git only."""
        if self.repository is None:
            raise ValueError(f"{self.location} is no checkout; the patchset reads it as it is")
        destination.mkdir(parents=True)
        index = destination.parent / f"{destination.name}.index"
        environ = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(destination)}
        try:
            _git(self.repository, "read-tree", self.commit, environ=environ)
            try:
                _git(self.repository, "checkout-index", "--all", "--force", f"--prefix={destination}/", environ=environ)
            except GitError as error:
                # what is built from a part of a commit must not carry its name
                shutil.rmtree(destination, ignore_errors=True)
                raise SourceError(
                    "TWENTY_SOURCE",
                    f"commit {self.commit} is not complete in {self.repository} ({error.reason}); fetch it again, or give a directory"
                    " with the files of that commit and no .git",
                ) from error
        finally:
            index.unlink(missing_ok=True)
        if not (destination / DOCKERFILE).is_file():
            raise SourceError("TWENTY_REF", f"{self.ref or self.commit} has no {DOCKERFILE}; is it Twenty's repository?")


def cache_directory() -> Path:
    """Where sources and patched trees are kept between runs; may be deleted at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "twentyops"


def find(settings: Settings) -> Source:
    """The source that the settings name, resolved to a commit. ``SourceError`` where there is none or it is not clean."""
    return _find_directory(settings) if settings.source_is_directory else _find_remote(settings)


def _find_directory(settings: Settings) -> Source:
    from twentyops.patchset import tree_fingerprint

    path = Path(settings.twenty_source).expanduser().resolve()
    if not path.is_dir():
        raise SourceError("TWENTY_SOURCE", f"no directory at {path}; give a checkout of Twenty or a git address")
    if not (path / ".git").exists():
        if not (path / DOCKERFILE).is_file():
            raise SourceError("TWENTY_SOURCE", f"{path} has no {DOCKERFILE}; is it Twenty's repository?")
        return Source(str(path), "", f"tree:{tree_fingerprint(path)}", None)
    repository = Path(_git(path, "rev-parse", "--absolute-git-dir"))
    dirty = _git(
        path, "--no-optional-locks", "-c", "core.fsmonitor=false", "status", "--porcelain", "--untracked-files=no"
    ).splitlines()
    if dirty:
        names = ", ".join(line.split(maxsplit=1)[1] for line in dirty[:3])
        raise SourceError("TWENTY_SOURCE", f"{path} has {len(dirty)} uncommitted changes ({names}); commit or stash them")
    ref = settings.twenty_ref
    commit = _git(path, "rev-parse", "--verify", "--quiet", f"{ref or 'HEAD'}^{{commit}}", check=False)
    if not commit:
        raise SourceError(
            "TWENTY_REF", f"{ref} does not exist in {path}; fetch it there, or leave TWENTY_REF empty for what is checked out"
        )
    return Source(str(path), ref, commit, repository)


def _find_remote(settings: Settings) -> Source:
    url, login = split_login(settings.twenty_source)
    ref = settings.twenty_ref
    repository = cache_directory() / "sources" / hashlib.sha256(url.encode()).hexdigest()[:16]
    commit = ref if re.fullmatch(r"[0-9a-f]{40}", ref) else ""
    if not commit:
        try:
            listing = _git(None, "ls-remote", "--", url, ref, f"{ref}^{{}}", environ=login, timeout=60).splitlines()
        except GitError as error:
            raise SourceError("TWENTY_SOURCE", f"{url} cannot be read: {error.reason}") from error
        if not listing:
            raise SourceError("TWENTY_REF", f"{ref} is no tag or branch of {url}; look at its list of tags")
        peeled = [line for line in listing if line.endswith("^{}")]
        commit = (peeled or listing)[0].split("\t")[0]
    return Source(url, ref, commit, repository, login)


def fetch(source: Source) -> None:
    """Have the commit in the local cache (git addresses only; the rest is there already)."""
    if source.repository is None or Path(source.location).is_dir():
        return
    if not source.repository.is_dir():
        source.repository.mkdir(parents=True)
        _git(source.repository, "init", "--quiet", "--bare", ".")
    if _git(source.repository, "cat-file", "-t", source.commit, check=False) != "commit":
        try:
            _git(
                source.repository,
                "fetch",
                "--quiet",
                "--depth",
                "1",
                "--",
                source.location,
                source.commit,
                environ=source.login,
                timeout=1800,
            )
        except GitError:
            # some servers hand out refs only
            _git(
                source.repository,
                "fetch",
                "--quiet",
                "--depth",
                "1",
                "--",
                source.location,
                source.ref,
                environ=source.login,
                timeout=1800,
            )


def read_file(source: Source, path: str) -> str | None:
    """Text of one file of the tree at that commit, which is fetched first; ``None`` where it has none."""
    if source.repository is None:
        file = Path(source.location) / path
        return file.read_text(encoding="utf-8") if file.is_file() else None
    fetch(source)
    return _git(source.repository, "show", f"{source.commit}:{path}", check=False) or None


def patched_tree(source: Source, content_hash: str) -> Path:
    """Directory with the patched tree of that content hash, made now unless it is there. Errors: the patchset's drift."""
    from twentyops import patchset

    trees = cache_directory() / "trees"
    destination = trees / content_hash[:16]
    if destination.is_dir():
        prune.used(destination)
        return destination
    trees.mkdir(parents=True, exist_ok=True)
    prune.trees(trees, KEPT_TREES - 1)
    if source.repository is None:
        patchset.apply(Path(source.location), destination)
        return destination
    plain = trees / f"{content_hash[:16]}.{os.getpid()}.source"
    try:
        fetch(source)
        source.export(plain)
        patchset.apply(plain, destination)
    finally:
        shutil.rmtree(plain, ignore_errors=True)
    return destination


def _git(
    directory: Path | None, *arguments: str, environ: dict[str, str] | None = None, check: bool = True, timeout: int = 300
) -> str:
    """What a git command prints, without the last line break. Raises GitError where it fails and ``check`` is set."""
    place = []
    if directory:
        place = ["--git-dir" if (directory / "HEAD").is_file() else "-C", str(directory)]
    try:
        result = subprocess.run(
            ["git", *place, *arguments],
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", **(environ or {})},
            capture_output=True, text=True, check=check, timeout=timeout,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise GitError(directory, f"git {arguments[0]}: no end after {timeout} s") from error
    except FileNotFoundError as error:
        raise SourceError("TWENTY_SOURCE", "git is not installed on this machine; install it (apt-get install git)") from error
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if line.startswith(("fatal:", "error:"))] or error.stderr.splitlines()
        raise GitError(directory, lines[0] if lines else "git gave no reason") from error
    return result.stdout.rstrip("\n")
