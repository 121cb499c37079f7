"""Image format: what a registry and Docker check digest by digest."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest

from lab.images import oci

LAYERS = [oci.Layer("sha256:aa", 10, "sha256:a1"), oci.Layer("sha256:bb", 20, "sha256:b1")]


def read_layer(path: Path) -> tuple[bytes, dict[str, tarfile.TarInfo]]:
    raw = gzip.decompress(path.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        return raw, {member.name: member for member in tar.getmembers()}


def test_manifest_names_config_and_layers_by_digest_and_size() -> None:
    config = oci.encode(oci.image_config(LAYERS, oci.RunConfig(), architecture="amd64", created="2026-01-01T00:00:00Z"))
    manifest = oci.manifest(LAYERS, config)
    assert manifest["config"]["digest"] == f"sha256:{hashlib.sha256(config).hexdigest()}"
    assert manifest["config"]["size"] == len(config)
    assert [(entry["digest"], entry["size"]) for entry in manifest["layers"]] == [("sha256:aa", 10), ("sha256:bb", 20)]
    assert manifest["mediaType"] == oci.MANIFEST_TYPE


def test_config_lists_uncompressed_digests_from_the_base_up() -> None:
    config = oci.image_config(LAYERS, oci.RunConfig(), architecture="arm64", created="2026-01-01T00:00:00Z")
    assert config["rootfs"] == {"type": "layers", "diff_ids": ["sha256:a1", "sha256:b1"]}
    assert len(config["history"]) == len(LAYERS)
    assert (config["architecture"], config["os"]) == ("arm64", "linux")


def test_run_config_uses_dockers_names_and_leaves_out_what_is_empty() -> None:
    run = oci.RunConfig(env={"A": "1"}, cmd=("x",), volumes=("/data",), ports=("80/tcp",), stop_signal="SIGINT")
    assert run.document() == {
        "Env": ["A=1"],
        "Cmd": ["x"],
        "Volumes": {"/data": {}},
        "ExposedPorts": {"80/tcp": {}},
        "StopSignal": "SIGINT",
    }


def test_same_document_gives_same_bytes_whatever_its_order() -> None:
    assert oci.encode({"b": 1, "a": 2}) == oci.encode({"a": 2, "b": 1})


def test_layer_digests_match_the_file_and_the_tar_inside(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc" / "motd").write_text("hello")
    (tree / "etc" / "link").symlink_to("motd")
    layer = oci.write_layer(tree, tmp_path / "layer")
    raw, members = read_layer(tmp_path / "layer")
    assert layer.digest == f"sha256:{hashlib.sha256((tmp_path / 'layer').read_bytes()).hexdigest()}"
    assert layer.diff_id == f"sha256:{hashlib.sha256(raw).hexdigest()}"
    assert layer.size == (tmp_path / "layer").stat().st_size
    assert sorted(members) == ["etc", "etc/link", "etc/motd"]
    assert members["etc/link"].linkname == "motd"


def test_layer_leaves_out_the_content_of_skipped_folders_but_keeps_them(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "var/cache/apt/archives").mkdir(parents=True)
    (tree / "var/cache/apt/archives/x.deb").write_text("x")
    (tree / "var/cache/aptitude").mkdir()
    oci.write_layer(tree, tmp_path / "layer", skip=("var/cache/apt",))
    _, members = read_layer(tmp_path / "layer")
    assert sorted(members) == ["var", "var/cache", "var/cache/apt", "var/cache/aptitude"]


def test_hard_links_stay_links(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_text("x")
    (tree / "b").hardlink_to(tree / "a")
    oci.write_layer(tree, tmp_path / "layer")
    _, members = read_layer(tmp_path / "layer")
    assert members["b"].islnk()
    assert members["b"].linkname == "a"


@pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts and file capabilities need root")
def test_overlay_marks_become_layer_marks_and_capabilities_travel(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "opaque").mkdir(parents=True)
    os.setxattr(tree / "opaque", "trusted.overlay.opaque", b"y")
    os.mknod(tree / "gone", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    (tree / "tool").write_text("x")
    capability = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service=ep, VFS revision 2
    os.setxattr(tree / "tool", "security.capability", capability)
    oci.write_layer(tree, tmp_path / "layer")
    _, members = read_layer(tmp_path / "layer")
    assert {".wh.gone", "opaque/.wh..wh..opq"} <= set(members)
    assert "gone" not in members
    kept = members["tool"].pax_headers["SCHILY.xattr.security.capability"]
    assert kept.encode("utf-8", "surrogateescape") == capability


def test_layers_survive_the_cache_file() -> None:
    assert oci.layers_from_json(json.loads(json.dumps(oci.layers_as_json(LAYERS)))) == LAYERS
