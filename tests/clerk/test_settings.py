"""The guard: a lab's key lies in Clerk's own name space, so without the emulator's address there are no settings at all."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.clerk import domain, publishable_key, settings
from lab.clerk.__main__ import main
from lab.identity import LabError
from twentyops.settings import publishable_key_host

PROJECT = Path(__file__).parents[2]


def test_settings_of_a_lab() -> None:
    found = settings("some-lab", "http://10.77.7.1:4400/")
    assert found["proxyUrl"] == "http://10.77.7.1:4400"
    assert found["clerkJSUrl"] == "http://10.77.7.1:4400/npm/@clerk/clerk-js@5/dist/clerk.browser.js"
    assert found["apiUrl"] == "http://10.77.7.1:4400/bapi"
    assert found["jwksUrl"] == "http://10.77.7.1:4400/.well-known/jwks.json"
    host = found["issuer"].removeprefix("https://")
    assert host == domain("some-lab") == "some-lab-1.clerk.accounts.dev"  # else clerk-js takes it for production
    assert publishable_key_host(found["publishableKey"]) == host
    encoded = found["publishableKey"].removeprefix("pk_test_")
    assert base64.b64decode(encoded + "=" * (-len(encoded) % 4)).decode() == f"{host}$"


def test_two_labs_have_two_keys() -> None:
    assert publishable_key(domain("one")) != publishable_key(domain("two"))


def test_one_origin() -> None:
    found = settings("lab", "http://10.77.7.1:4400", path="/clerk")
    assert (found["proxyUrl"], found["clerkJSUrl"].partition("/npm")[0]) == ("/clerk", "/clerk")
    assert found["apiUrl"].startswith("http://10.77.7.1:4400/")


@pytest.mark.parametrize("address", [None, "", "10.77.7.1:4400", "ftp://10.77.7.1", "http://", "http://10.77.7.1/?a=b"])
def test_without_an_address_there_are_no_settings(address: str | None) -> None:
    with pytest.raises(LabError, match=r"not set.*Clerk itself|is no address"):
        settings("lab", address)


@pytest.mark.parametrize(
    "address",
    [
        "https://clerk.com",
        "https://lab-1.clerk.accounts.dev",
        "http://8.8.8.8:4400",
        "http://example.com",
        "http://evil.test.example.com",
    ],
)
def test_an_address_outside_of_the_lab_is_refused(address: str) -> None:
    with pytest.raises(LabError, match="outside of the lab"):
        settings("lab", address)


@pytest.mark.parametrize("path", ["clerk", "/clerk/"])
def test_a_path_that_clerk_js_would_misread_is_refused(path: str) -> None:
    with pytest.raises(LabError, match="has to start with /"):
        settings("lab", "http://127.0.0.1:1", path=path)


@given(st.text(max_size=60))
def test_whatever_the_address_it_is_the_labs_or_refused(text: str) -> None:
    for address in (text, f"http://{text}", f"https://{text}:4400"):
        try:
            found = settings("lab", address)
        except (LabError, ValueError):
            continue
        assert found["proxyUrl"].startswith(("http://", "https://"))


def test_production_carries_nothing_of_the_emulator() -> None:
    """What is deployed neither imports the emulator nor names its addresses: only the lab's settings file may bring them."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    shipped = [
        PROJECT / name
        for name in listed.split("\0")
        if name
        and not name.startswith(("lab/", "tests/", "docs/"))
        and name not in ("Makefile", "pyproject.toml", "requirements.lock")
    ]
    assert len(shipped) > 30
    words = (b"lab.clerk", b"/_admin", b"/bapi", b"-1.clerk.accounts.dev", b":4400")
    found = [
        f"{path.relative_to(PROJECT)}: {word.decode()}"
        for path in shipped
        if path.is_file()
        for word in words
        if word in path.read_bytes()
    ]
    assert found == []


@pytest.mark.parametrize("listen", ["0.0.0.0:4400", "example.com:80", "8.8.8.8:4400", "127.0.0.1", "127.0.0.1:port"])
def test_it_listens_nowhere_but_in_a_lab(listen: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--listen", listen]) == 1
    assert "error:" in capsys.readouterr().err


def test_a_damaged_state_file_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "instance.json"
    file.write_text("{")
    assert main(["--listen", "127.0.0.1:4400", "--state", str(file)]) == 1
    assert "remove it" in capsys.readouterr().err


def test_it_says_where_it_is_and_ends_when_asked(tmp_path: Path) -> None:
    """By itself on a free port: one line of JSON, an answer, and a clean end."""
    import socket

    import httpx

    from lab.command import wait_until

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    argv = [sys.executable, "-m", "lab.clerk", "--listen", listen, "--name", "alone"]
    with subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert publishable_key_host(told["publishable_key"]) == "alone-1.clerk.accounts.dev"

        def answers() -> bool:
            try:
                return httpx.get(f"{told['frontend']}/.well-known/jwks.json", trust_env=False).status_code == 200
            except httpx.HTTPError:
                return False

        wait_until(answers, 20, "it does not answer")
        process.terminate()
        assert process.wait(10) in (0, -15)
