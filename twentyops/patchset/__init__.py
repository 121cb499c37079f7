"""Overlay and rules -> patched tree, unified diff, drift report. Command line: ``python -m twentyops.patchset``."""

from twentyops.patchset.engine import (
    ENGINE_VERSION,
    MARKER,
    ROOT,
    Candidate,
    Drift,
    Patchset,
    Plan,
    Row,
    apply,
    fingerprint,
    plan,
)
from twentyops.patchset.errors import HostileInput, PatchsetError, RulesError, UsageError
from twentyops.patchset.tree import tree_fingerprint

__all__ = [
    "ENGINE_VERSION",
    "MARKER",
    "ROOT",
    "Candidate",
    "Drift",
    "HostileInput",
    "Patchset",
    "PatchsetError",
    "Plan",
    "Row",
    "RulesError",
    "UsageError",
    "apply",
    "fingerprint",
    "plan",
    "tree_fingerprint",
]
