"""The data model by the clock, on a Twenty that runs: the naive way beside ours, checks, memory. Goals: docs/data-model.md."""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.identity import LabError
from lab.twenty import Tenant, Twenty
from lab.world import Say

NAIVE = Path(__file__).with_name("naive_model.cjs")
HAS_SERVICES = "node -e \"require.resolve('@nestjs/core')\""
"""Ends well where a process of its own can boot Twenty's services: not on the stand-in."""
WORKSPACES = 20
FRESH = 3


@dataclass(frozen=True)
class Goal:
    """One promise: ``figure`` is to be at most ``bound``, both in ``unit``."""

    what: str
    bound: float
    figure: float
    unit: str

    @property
    def met(self) -> bool:
        return self.figure <= self.bound

    def __str__(self) -> str:
        return (
            f"{'met   ' if self.met else 'MISSED'}  {self.what}: {self.figure:.3g} {self.unit} (goal: at most {self.bound:.3g})"
        )


def goals(figures: Mapping[str, Any]) -> list[Goal]:
    """The goals of the data model, from figures in seconds."""
    naive = figures["naive"]["seconds"]
    return [
        Goal("fresh workspace by the running server, part of the naive time", 1 / 8, figures["server"]["seconds"] / naive, "x"),
        Goal("fresh workspace by a process of its own, start included", 1 / 3, figures["process"]["whole"] / naive, "x"),
        Goal("matching workspace checked", 3, figures["check of one"]["whole"], "s"),
        Goal(f"{WORKSPACES} workspaces checked", 20, figures[f"check of {WORKSPACES}"]["whole"], "s"),
    ]


class Bench:
    """Measures one server; every workspace that it makes stays there."""

    def __init__(self, twenty: Twenty, say: Say) -> None:
        self.twenty, self.say = twenty, say

    def command(self, *arguments: str, through: str = "") -> dict[str, Any]:
        """One run of migrate-schema.ts, which must end well.

        Returns ``whole`` (seconds, the start of the command included), ``seconds`` (of the work in the workspaces, as the report
        says), ``peak_mib`` of the command, ``load`` (of this machine, one minute, when it ended) and the ``report``.
        """
        given = ("--through", through) if through else ()
        return self._timed(self.twenty.command(*arguments, *given, "--json"), f"migrate-schema {' '.join(arguments)}", through)

    def naive(self, tenant: Tenant) -> dict[str, Any]:
        """The same figures of ``naive_model.cjs`` on a new workspace."""
        arguments = shlex.join([self.twenty.token(tenant), tenant.workspace])
        return self._timed(f"exec node - {arguments} <<'NAIVE'\n{NAIVE.read_text()}\nNAIVE\n", "the naive way")

    def _timed(self, script: str, what: str, through: str = "") -> dict[str, Any]:
        began = time.monotonic()
        done = self.twenty.run(script, 1800, through=through)
        whole = time.monotonic() - began
        if done.returncode != 0:
            raise LabError(f"{what}: exit {done.returncode}\n{done.stderr[-1500:]}")
        report = json.loads(done.stdout)
        peak = re.search(r"^peak (\d+) KiB$", done.stderr, re.MULTILINE)
        return {
            "whole": round(whole, 2),
            "seconds": round(sum(w["seconds"] for w in report["workspaces"]), 2),
            "peak_mib": int(peak[1]) >> 10 if peak else None,
            "load": round(os.getloadavg()[0], 1),
            "report": report,
        }

    def fresh(self, through: str) -> dict[str, Any]:
        """A new workspace gets the model, all of it."""
        tenant = self.twenty.tenant("Bench")
        if through == "naive":
            found = self.naive(tenant)
        else:
            found = self.command("apply", "--workspace", tenant.workspace, through=through)
        written = found.pop("report")["workspaces"][0]["written"]
        if (written["objects"], written["fields"] + written["relations"]) != (7, 142):
            raise LabError(f"{through}: wrote {written}, which is not the whole model")
        self.say(
            f"fresh workspace, through {through}: {found['seconds']} s of work, {found['whole']} s in all, load {found['load']}"
        )
        return found

    def run(self) -> dict[str, Any]:
        """Every figure, by name."""
        figures: dict[str, Any] = {"cpus": os.cpu_count(), "server before": self._memory()}
        server = sorted((self.fresh("server") for _ in range(FRESH)), key=lambda one: one["seconds"])
        figures["server"] = {**server[FRESH // 2], "of": [one["seconds"] for one in server]}
        figures["server after ours"] = self._memory()
        figures["naive"] = self.fresh("naive")
        figures["server after the naive way"] = self._memory()
        figures["process"] = self.fresh("process")

        one = self.twenty.tenant("Bench")
        # as the tenant manager does it for a new tenant: one call to the server that runs
        began = time.monotonic()
        report = self.twenty.internal("POST", f"tenants/{one.organization}/data-model", {"mode": "apply"})
        if report["status"] != "matched":
            raise LabError(f"a new tenant's workspace: {report}")
        figures["new tenant"] = {"whole": round(time.monotonic() - began, 2), "seconds": report["seconds"]}
        checks = sorted((self.command("verify", "--workspace", one.workspace) for _ in range(FRESH)), key=lambda c: c["whole"])
        figures["check of one"] = {k: v for k, v in checks[FRESH // 2].items() if k != "report"}

        known: list[str] = self.twenty.internal("GET", "data-model")["workspaces"]
        while len(known) < WORKSPACES:
            known.append(self.twenty.tenant("Bench").workspace)
            self.say(f"workspace {len(known)} of {WORKSPACES}")
        chosen = [part for workspace in known[:WORKSPACES] for part in ("--workspace", workspace)]
        made = self.command("apply", *chosen)
        self.say(f"{WORKSPACES} workspaces made to match in {made['whole']} s")
        found = self.command("verify", *chosen)
        figures[f"check of {WORKSPACES}"] = {k: v for k, v in found.items() if k != "report"}
        figures["server at the end"] = self._memory()
        return figures

    def _memory(self) -> dict[str, int]:
        found = self.twenty.server_memory_kib()
        return {"most_mib": found["VmHWM"] >> 10, "now_mib": found["VmRSS"] >> 10}


def main(twenty: Twenty, say: Say) -> dict[str, Any] | None:
    """Measure, tell goal and figure of each, return the figures; None where the server is the stand-in, which has no way of ours."""
    twenty.internal("GET", "data-model")
    if twenty.run(HAS_SERVICES, 60).returncode != 0:
        say(
            "the server is the stand-in: only a real Twenty applies the model by its own services, so there is nothing to compare"
        )
        return None
    figures = Bench(twenty, say).run()
    for goal in goals(figures):
        say(str(goal))
    return figures
