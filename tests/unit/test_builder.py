"""What a build shows, with a Docker that only prints."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from twentyops import builder
from twentyops.image import Image

PRINTED = """\
#4 [internal] load .dockerignore
#5 importing cache manifest from registry.invalid/a/b:buildcache
#5 ERROR: failed to configure registry cache importer: registry.invalid/a/b:buildcache: not found
#6 0.3 a line of a step
#7 ERROR: process did not complete successfully
------
 > importing cache manifest from registry.invalid/a/b:buildcache:
------
 > [2/3] RUN false:
"""


@pytest.mark.parametrize("code", [0, 1])
def test_first_build_does_not_frighten_and_errors_stay(tmp_path: Path, code: int) -> None:
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    (tmp_path / "printed").write_text(PRINTED)
    docker.write_text(f"#!/bin/sh\ncat {tmp_path}/printed\nexit {code}\n")
    docker.chmod(0o755)
    image = Image("An image", "registry.invalid/a/b", "tag", "0" * 64, lambda: tmp_path, "Dockerfile", dict)
    log = tmp_path / "logs/build.log"
    command = builder.build_command(image, str(tmp_path), str(log), tmp_path, cache_export=False)
    environ = {**os.environ, "PATH": f"{docker.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", command], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert done.stdout.splitlines() == [
        "#4 [internal] load .dockerignore",
        "#5 importing cache manifest from registry.invalid/a/b:buildcache",
        "#5 no build cache in the registry yet: registry.invalid/a/b:buildcache",
        "#7 ERROR: process did not complete successfully",
        " > [2/3] RUN false:",
    ]
    assert log.read_text() == PRINTED
