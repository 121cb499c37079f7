"""Runs the smoke suite at the end of a deploy, as a person would run it alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory, mkstemp
from typing import Any

from pyinfra import logger

from twentyops.plan import Plan

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 600


def ssh_config(data: dict[str, Any]) -> str:
    """OpenSSH's configuration for the suite: every check over one connection, all else as everywhere (twentyops.ssh)."""
    lines = [
        "ControlMaster auto",
        "ControlPath ~/.ssh/twentyops-%C",
        "ControlPersist 30",
        Path(data["ssh_config_file"]).read_text(),
    ]
    return "\n".join(lines)


def run(plan: Plan, data: dict[str, Any]) -> str | None:
    """Run tests/smoke against the droplet; a returned text names the failed tests and the file with the whole output."""
    with TemporaryDirectory(prefix="twentyops-") as directory:
        config = Path(directory) / "ssh_config"
        config.write_text(ssh_config(data))
        Path("~/.ssh").expanduser().mkdir(mode=0o700, exist_ok=True)
        command = [
            sys.executable, "-m", "pytest", str(ROOT / "tests/smoke"), "-q", "--no-header", "--tb=short", "-p", "no:cacheprovider",
            f"--hosts=ssh://{data['ssh_name']}", f"--ssh-config={config}", f"--release-directory={plan.directory}",
            *(["--sudo"] if data.get("_sudo") else []),
        ]  # fmt: skip
        environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"COLUMNS": "240"}
        try:
            result = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return f"the smoke suite did not end within {TIMEOUT_S} s; run it alone: pytest tests/smoke --hosts=ssh://{data['ssh_name']} --ssh-config={data['ssh_config_file']}"
    last = (result.stdout.strip().splitlines() or ["no output"])[-1]
    if result.returncode == 0:
        logger.info(f"    smoke suite: {last}")
        return None
    whole = _keep(plan.release_id, result.stdout + result.stderr)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)(?: - (.*))?$", result.stdout, re.MULTILINE)
    lines = [f"  {name.split('::')[-1]}: {reason}" for name, reason in failed] or result.stdout.splitlines()[-15:]
    return (
        f"The smoke suite found broken promises ({last}):\n"
        + "\n".join(lines)
        + f"\nThe release {plan.release_id} is not recorded. Whole output: {whole}\nNext: docs/runbook/promise-broken.md"
    )


def _keep(release_id: str, text: str) -> str:
    """Path of a new file (0600) on this machine with pytest's output: after the previous release is restored it cannot be produced again."""
    descriptor, path = mkstemp(prefix=f"twentyops-smoke-{release_id}-", suffix=".log")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return path
