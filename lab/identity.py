"""Who a lab is: one name in one checkout. Every trace that a lab leaves in the kernel carries a key made from both, so
that it can be found and removed when every file about it is lost."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
DEFAULT_NAME = "rehearsal"
NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,22}[a-z0-9])?")
MARK = "TWENTYOPS_LAB_ID"
ROLE = "TWENTYOPS_LAB_ROLE"
OTHER_PROJECT = "LAB_PROJECT"
"""Variable that names the checkout whose lab is used instead of this one's own, by what only opens a lab."""


class LabError(Exception):
    """What went wrong in the lab, where, and what to do next; shown to a person without a traceback."""


def cache_dir() -> Path:
    """Where what may be kept between labs lies (trees, packages, images), outside of the repository."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twentyops-lab"


@dataclass(frozen=True)
class Identity:
    """Name of a lab and the checkout that it belongs to; all names in the kernel follow from the two."""

    name: str
    project: Path = field(default=PROJECT)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise LabError(
                f"lab name {self.name!r} refused: at most 24 of a-z, 0-9 and -, starting with a letter, "
                "not ending with -; choose another with --name"
            )

    @property
    def key(self) -> str:
        """Eight hex digits, short enough for the name of an interface."""
        return hashlib.sha256(f"{self.project}\0{self.name}".encode()).hexdigest()[:8]

    @property
    def id(self) -> str:
        return f"{self.name}-{self.key}"

    @property
    def bridge(self) -> str:
        return f"tl-{self.key}"

    @property
    def ipset(self) -> str:
        return f"tl-{self.key}"

    @property
    def forward_chain(self) -> str:
        return f"TL-{self.key}"

    @property
    def input_chain(self) -> str:
        return f"TL-{self.key}-IN"

    @property
    def comment(self) -> str:
        return f"twentyops-lab:{self.id}"

    @property
    def route_metric(self) -> int:
        """Metric of the guard route: says whose it is, and is far behind any route that works."""
        return 0x1000_0000 | int(self.key[:7], 16)

    def cgroup(self, machine: str) -> str:
        return f"twentylab-{self.key}-{machine}"

    @property
    def state_dir(self) -> Path:
        base = self.project / ".lab"
        return base if self.name == DEFAULT_NAME else base / self.name

    @property
    def runtime(self) -> Path:
        """Keys, writable layers of the machines and registry storage of this lab; removed by ``down``."""
        return cache_dir() / "labs" / self.id
