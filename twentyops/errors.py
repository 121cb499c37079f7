"""How the product says no: what was wrong, where, what to do next."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing to mend: the setting (or file, or host) and the remedy in one sentence."""

    setting: str
    remedy: str


class NotYetKnown(Exception):
    """Something that an earlier operation of this run finds out; while planning it counts as a change to come."""


class Refused(Exception):
    """Nothing was changed: every problem found, in one message."""

    def __init__(self, title: str, problems: list[Problem]) -> None:
        self.problems = problems
        width = max(len(p.setting) for p in problems)
        super().__init__("\n".join([title, *(f"  {p.setting:<{width}}  {p.remedy}" for p in problems)]))
