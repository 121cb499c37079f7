"""Many releases leave the disks as full as the kept ones make them."""

from __future__ import annotations

from pathlib import Path

from tests.rehearsal import driver
from tests.rehearsal.conftest import Deployed, standin_copy


def test_releases_beyond_the_retention_go_with_their_images(deployed: Deployed, tmp_path: Path) -> None:
    droplet, first = deployed.droplet, driver.manifest(deployed.droplet)
    target = deployed.target.having(RELEASE_RETENTION="2")
    manifests = []
    try:
        for mark in ("one", "two", "three"):
            (tmp_path / mark).mkdir()
            run = target.having(TWENTY_SOURCE=str(standin_copy(tmp_path / mark, mark))).run()
            assert run.exit_code == 0, str(run)
            manifests.append(driver.manifest(droplet))
        listing = "docker image ls --digests --format '{{.Repository}}@{{.Digest}}'"
        present = set(droplet.ssh(listing).stdout.split())
        servers = [manifest["images"]["server"] for manifest in (first, *manifests)]
        assert len(set(servers)) == 4
        assert [server in present for server in servers] == [False, False, True, True]
        assert set(manifests[-1]["images"].values()) <= present, "an image of what runs is gone"
        releases = droplet.ssh("ls /opt/twenty/releases").stdout.split()
        assert sorted(releases) == sorted(manifest["id"] for manifest in manifests[1:])
        repository = servers[-1].partition("@")[0]
        tags = deployed.builder.ssh(f"docker image ls --format '{{{{.Tag}}}}' {repository}").stdout.split()
        assert len(tags) <= 4, "two of each of our two images stay on the builder"
    finally:
        back = deployed.target.run()
    assert back.exit_code == 0, str(back)
    assert driver.manifest(droplet)["images"] == first["images"]
