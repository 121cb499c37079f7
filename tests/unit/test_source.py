"""Twenty's source: found at one commit, never modified, refused in words."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

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


def test_commit_that_is_not_complete_is_refused(checkout: Path, tmp_path: Path) -> None:
    """What is built from it would carry the name of the whole commit."""
    blob = git(checkout, "rev-parse", "HEAD:two")
    (checkout / ".git/objects" / blob[:2] / blob[2:]).unlink()
    found = source.find(settings(TWENTY_SOURCE=str(checkout), TWENTY_REF="main"))
    with pytest.raises(source.SourceError, match=r"TWENTY_SOURCE: commit [0-9a-f]{40} is not complete"):
        found.export(tmp_path / "out")
    assert not (tmp_path / "out").exists()


class GitHost(BaseHTTPRequestHandler):
    """Asks for a login, and refuses it."""

    logins: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        if login := self.headers.get("authorization"):
            self.logins.append(base64.b64decode(login.split()[1]).decode())
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_login_reaches_its_host_and_stands_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    GitHost.logins.clear()
    arguments: list[str] = []
    real = subprocess.run

    def noted(argv: list[str], **more: Any) -> Any:
        arguments.extend(argv)
        return real(argv, **more)

    monkeypatch.setattr(subprocess, "run", noted)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    with ThreadingHTTPServer(("127.0.0.1", 0), GitHost) as host:
        thread = threading.Thread(target=host.serve_forever)
        thread.start()
        try:
            with pytest.raises(source.SourceError) as caught:
                source.find(
                    settings(TWENTY_SOURCE=f"http://robot:s3cret%40x@127.0.0.1:{host.server_port}/r.git", TWENTY_REF="main")
                )
        finally:
            host.shutdown()
            thread.join()
    assert "robot:s3cret@x" in GitHost.logins
    for told in (str(caught.value), str(caught.value.problem), repr(caught.value.__cause__), " ".join(arguments)):
        assert "s3cret" not in told
        assert "robot" not in told


def test_login_is_taken_out_of_addresses_that_git_asks_by_http() -> None:
    assert source.split_login("https://github.com/twentyhq/twenty.git") == ("https://github.com/twentyhq/twenty.git", {})
    assert source.split_login("git@github.com:twentyhq/twenty.git")[1] == {}
    address, environ = source.split_login("https://TOKEN@git.example/r.git")
    assert (address, environ["TWENTYOPS_GIT_USER"], environ["TWENTYOPS_GIT_PASSWORD"]) == (
        "https://git.example/r.git",
        "TOKEN",
        "",
    )
    found = source.Source(address, "", "c", None, environ)
    assert "TOKEN" not in repr(found)
    with pytest.raises(source.SourceError, match="control character"):
        source.split_login("https://a%0Ahost=evil@git.example/r.git")


def test_checkout_of_another_user_is_refused_with_gits_remedy(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    with pytest.raises(source.SourceError) as caught:
        source.find(settings(TWENTY_SOURCE=str(checkout), TWENTY_REF=""))
    assert caught.value.problem.setting == "TWENTY_SOURCE"
    assert f"git config --global --add safe.directory {checkout}" in caught.value.problem.remedy


def test_machine_without_git_is_told_so(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for location, ref in ((str(checkout), ""), (f"file://{checkout}", "v1.0.0")):
        with pytest.raises(source.SourceError, match="git is not installed"):
            source.find(settings(TWENTY_SOURCE=location, TWENTY_REF=ref))
