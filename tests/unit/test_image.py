"""Our images: what their names depend on, and that the tenant manager's is made of exactly what its hash covers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from twentyops import image, settings


def test_webhook_path_is_the_same_for_proxy_and_tenant_manager() -> None:
    command = [sys.executable, "-c", "import tenant_manager; print(tenant_manager.WEBHOOK_PATH)"]
    told = subprocess.run(command, cwd=image.MANAGER, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == settings.WEBHOOK_PATH


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    there = tmp_path / "tenant_manager"
    shutil.copytree(image.MANAGER, there)
    monkeypatch.setattr(image, "MANAGER", there)
    return there


def test_tenant_managers_hash_changes_with_what_the_image_is_made_of(copy: Path) -> None:
    seen = [image.manager_hash("python:3.13"), image.manager_hash("python:3.14")]
    for name in ("Dockerfile", "requirements.lock", "tenant_manager/web.py", "tenant_manager/migrations/versions/0001_first.py"):
        with (copy / name).open("a") as file:
            file.write("# changed\n")
        seen.append(image.manager_hash("python:3.13"))
    (copy / "tenant_manager/new.py").write_text("")
    seen.append(image.manager_hash("python:3.13"))
    assert len(set(seen)) == len(seen)


def test_tenant_managers_hash_is_blind_to_what_python_leaves(copy: Path) -> None:
    before = image.manager_hash("python:3.13")
    (copy / "tenant_manager/__pycache__").mkdir(exist_ok=True)
    (copy / "tenant_manager/__pycache__/web.cpython-313.pyc").write_bytes(b"x")
    (copy / "README").write_text("not in the image")
    assert image.manager_hash("python:3.13") == before


def test_every_file_of_the_package_is_covered() -> None:
    package = image.MANAGER / "tenant_manager"
    there = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert there <= set(image.manager_files())
