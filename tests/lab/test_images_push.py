"""Pushing into Debian's docker-registry with TLS and login, as the lab runs it."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from lab import packages
from lab.images import PushError, oci
from lab.images.push import push

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="installs docker-registry where it is missing")


@dataclass(frozen=True)
class Running:
    address: str
    username: str
    password: str
    ca_file: Path

    def get(self, path: str) -> bytes:
        answer = httpx.get(
            f"https://{self.address}/v2/{path}",
            auth=(self.username, self.password),
            headers={"Accept": oci.MANIFEST_TYPE},
            verify=ssl.create_default_context(cafile=self.ca_file),
        )
        return answer.raise_for_status().content


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    packages.install_programs({"docker-registry": "docker-registry", "htpasswd": "apache2-utils", "openssl": "openssl"})
    home = tmp_path_factory.mktemp("registry")
    port = free_port()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", home / "key.pem", "-out", home / "ca.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    login = subprocess.run(["htpasswd", "-Bbn", "lab", "secret"], check=True, capture_output=True).stdout
    (home / "htpasswd").write_bytes(login)
    configuration = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(home / "data")}},
        "http": {"addr": f"127.0.0.1:{port}", "tls": {"certificate": f"{home}/ca.pem", "key": f"{home}/key.pem"}},
        "auth": {"htpasswd": {"realm": "lab", "path": f"{home}/htpasswd"}},
    }
    (home / "config.yml").write_text(json.dumps(configuration))
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(home / "config.yml")], stdout=log, stderr=log)
    running = Running(f"127.0.0.1:{port}", "lab", "secret", home / "ca.pem")
    try:
        end = time.monotonic() + 30
        while True:
            try:
                running.get("")
                break
            except httpx.TransportError:
                assert time.monotonic() < end, (home / "log").read_text()
                time.sleep(0.05)
        yield running
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A folder as the builder leaves it: one layer with one file."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "motd").write_text(tmp_path.name)
    layer = oci.write_layer(tree, tmp_path / "layer.tar.gz")
    run = oci.RunConfig(cmd=("cat", "/motd"))
    config = oci.encode(oci.image_config([layer], run, architecture="amd64", created="2026-01-01T00:00:00Z"))
    (tmp_path / "config.json").write_bytes(config)
    (tmp_path / "manifest.json").write_bytes(oci.encode(oci.manifest([layer], config)))
    (tmp_path / "layers.json").write_text(json.dumps([str(tmp_path / "layer.tar.gz")]))
    return tmp_path


def test_pushed_image_can_be_read_back_blob_by_blob(registry: Running, image: Path) -> None:
    assert push(registry, image, "library/x", "1") is True
    manifest = registry.get("library/x/manifests/1")
    assert manifest == (image / "manifest.json").read_bytes()
    document = json.loads(manifest)
    for entry in (document["config"], *document["layers"]):
        assert oci.sha256(registry.get(f"library/x/blobs/{entry['digest']}")) == entry["digest"]


def test_second_push_sends_nothing_and_a_moved_tag_is_put_right(registry: Running, image: Path) -> None:
    assert push(registry, image, "library/y", "1") is True
    assert push(registry, image, "library/y", "1") is False
    document = json.loads((image / "manifest.json").read_bytes())
    (image / "manifest.json").write_bytes(json.dumps(document, indent=1).encode())
    assert push(registry, image, "library/y", "1") is True


def test_wrong_password_names_the_registry_and_the_user(registry: Running, image: Path) -> None:
    with pytest.raises(PushError, match=rf"{registry.address} refused the login of lab; check its htpasswd"):
        push(replace(registry, password="wrong"), image, "library/z", "1")


def test_registry_that_is_down_is_named(registry: Running, image: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(PushError, match=rf"{address} does not answer"):
        push(replace(registry, address=address), image, "library/z", "1")


def test_foreign_certificate_is_refused(registry: Running, image: Path, tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=other",
         "-keyout", tmp_path / "other.key", "-out", tmp_path / "other.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    with pytest.raises(PushError, match="certificate is not signed by"):
        push(replace(registry, ca_file=tmp_path / "other.pem"), image, "library/z", "1")


def test_missing_ca_file_is_named(registry: Running, image: Path, tmp_path: Path) -> None:
    with pytest.raises(PushError, match=r"nothing\.pem is missing"):
        push(replace(registry, ca_file=tmp_path / "nothing.pem"), image, "library/z", "1")
