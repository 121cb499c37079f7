"""Twenty's source: found at one commit, never modified, refused in words."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.unit.test_pure import settings
from twentyops import source


def git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main", "-c", "tag.gpgSign=false"]
    return subprocess.run(
        ["git", "-C", str(directory), *identity, *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with two commits; the first has the annotated tag v1.0.0."""
    root = tmp_path / "twenty"
    (root / source.DOCKERFILE).parent.mkdir(parents=True)
    git(root, "init", "--quiet", ".")
    (root / source.DOCKERFILE).write_text("FROM scratch AS twenty\n")
    git(root, "add", "-A")
    git(root, "commit", "--quiet", "-m", "one")
    git(root, "tag", "-a", "v1.0.0", "-m", "one")
    (root / "two").write_text("2\n")
    git(root, "add", "-A")
    git(root, "commit", "--quiet", "-m", "two")
    return root


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def content(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(root)}{path.stat().st_mtime_ns}".encode() + path.read_bytes())
    return digest.hexdigest()


def test_checkout_is_exported_at_its_commit_and_only_read(checkout: Path, tmp_path: Path) -> None:
    before = content(checkout)
    found = source.find(settings(TWENTY_SOURCE=str(checkout), TWENTY_REF=""))
    assert found.commit == git(checkout, "rev-parse", "HEAD")
    found.export(tmp_path / "out")
    assert (tmp_path / "out/two").read_text() == "2\n"
    assert not (tmp_path / "out/.git").exists()
    assert content(checkout) == before


def test_named_ref_of_a_checkout_is_taken_whatever_is_checked_out(checkout: Path, tmp_path: Path) -> None:
    found = source.find(settings(TWENTY_SOURCE=str(checkout), TWENTY_REF="v1.0.0"))
    found.export(tmp_path / "out")
    assert (tmp_path / "out" / source.DOCKERFILE).exists()
    assert not (tmp_path / "out/two").exists()


@pytest.mark.parametrize("ref", ["v1.0.0", "main", "commit"])
def test_git_address_is_fetched_at_its_ref(checkout: Path, tmp_path: Path, ref: str) -> None:
    ref = git(checkout, "rev-parse", "v1.0.0^{commit}") if ref == "commit" else ref
    found = source.find(settings(TWENTY_SOURCE=f"file://{checkout}", TWENTY_REF=ref))
    assert found.commit == git(checkout, "rev-parse", f"{ref}^{{commit}}")
    git(checkout, "config", "uploadpack.allowAnySHA1InWant", "true")
    source.fetch(found)
    source.fetch(found)  # there already: nothing to do
    found.export(tmp_path / "out")
    assert (tmp_path / "out/two").exists() == (ref == "main")


def refused(**changed: str) -> str:
    with pytest.raises(source.SourceError) as caught:
        source.find(settings(**changed))
    return f"{caught.value.problem.setting}: {caught.value.problem.remedy}"


def test_dirty_checkout_is_refused_with_its_files(checkout: Path) -> None:
    (checkout / "two").write_text("changed\n")
    text = refused(TWENTY_SOURCE=str(checkout), TWENTY_REF="")
    assert text.startswith("TWENTY_SOURCE")
    assert "1 uncommitted changes (two); commit or stash" in text


def test_ref_that_does_not_exist_is_refused(checkout: Path) -> None:
    assert refused(TWENTY_SOURCE=str(checkout), TWENTY_REF="v9.9.9").startswith("TWENTY_REF: v9.9.9 does not exist")
    assert refused(TWENTY_SOURCE=f"file://{checkout}", TWENTY_REF="v9.9.9").startswith("TWENTY_REF: v9.9.9 is no tag or branch")


def test_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "no directory at" in refused(TWENTY_SOURCE=str(tmp_path / "nowhere"))
    assert "cannot be read" in refused(TWENTY_SOURCE=f"file://{tmp_path}/nowhere", TWENTY_REF="main")
    (tmp_path / "empty").mkdir()
    assert "is it Twenty's repository?" in refused(TWENTY_SOURCE=str(tmp_path / "empty"))
