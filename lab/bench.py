"""Figures, measured in a lab of their own: each step by the clock, from the commands that people run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from lab import bench_model, rehearse
from lab.identity import LabError
from lab.twenty import Twenty
from lab.world import Lab, Say


def on_droplet(lab: Lab) -> Twenty:
    """The Twenty that was deployed to a lab."""
    return Twenty.behind(("ssh", "-F", str(lab.ssh_config), "-o", "BatchMode=yes", lab.droplet.name))


def data_model(twenty: Twenty, say: Say) -> int:
    """Only the data model, on a server that runs; print JSON with seconds and MiB. Exit 1 where that server is the stand-in."""
    figures = bench_model.main(twenty, say)
    print(json.dumps(figures, indent=2))
    return 1 if figures is None else 0


def main(name: str, say: Say) -> int:
    """Make a lab, rehearse twice, remove it; print JSON with seconds and MiB. Exit 1 when a rehearsal fails."""
    figures: dict[str, object] = {}
    lab = Lab(name, say)

    def timed(label: str, step: Callable[[], object]) -> None:
        began = time.monotonic()
        step()
        figures[label] = round(time.monotonic() - began, 1)
        say(f"{label}: {figures[label]} s")

    def run(label: str) -> None:
        report = rehearse.deploy(lab, echo=False)
        if report.exit_code:
            raise LabError(f"{label} failed with exit {report.exit_code}; see it by: python -m lab rehearse --name {name}")
        figures[label] = {
            "seconds": round(report.seconds, 1),
            "changed": report.changed,
            "phases": {phase: round(seconds, 1) for phase, seconds in report.phases.items()},
            "peak_mib": {machine: peak >> 20 for machine, peak in report.peaks.items()},
        }
        say(f"{label}: {report.seconds:.1f} s, {report.changed} operations changed")

    lab.down()
    try:
        timed("lab up (caches as they are)", lab.up)
        timed("base images (caches as they are)", lab.ensure_images)
        run("first rehearsal")
        run("second rehearsal")
        timed("lab up again", lab.up)
        figures["data model"] = bench_model.main(on_droplet(lab), say)
    finally:
        timed("lab down", lab.down)
    print(json.dumps(figures, indent=2))
    return 0
