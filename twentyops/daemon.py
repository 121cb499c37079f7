"""daemon.json: what this deployment needs of dockerd, beside what the operator has set there. Pure."""

from __future__ import annotations

import json
from typing import Any

from twentyops.errors import Problem

PATH = "/etc/docker/daemon.json"
DROPLET: dict[str, Any] = {
    "log-driver": "json-file",
    "log-opts": {"max-size": "10m", "max-file": "3"},
    "live-restore": True,
    # visitors over IPv6 keep their address on the way to the proxy; before Docker 27 that is called experimental
    "ip6tables": True,
    "experimental": True,
}
# the containerd image store is what lets BuildKit keep its cache in the registry
BUILDER: dict[str, Any] = {**DROPLET, "features": {"containerd-snapshotter": True}}
REFUSED = {("iptables", "false"): "published ports and the packet filter need Docker's own rules"}


def _parse(text: str) -> dict[str, Any]:
    """``ValueError`` where it is no JSON object."""
    found = json.loads(text) if text.strip() else {}
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found


def merged(text: str, ours: dict[str, Any]) -> str:
    """Text of the file with our keys in it; all others stay, in their order. Of an object (features) only our keys are set."""
    found = _parse(text)
    for key, value in ours.items():
        both_objects = isinstance(value, dict) and isinstance(found.get(key), dict) and key == "features"
        found[key] = {**found[key], **value} if both_objects else value
    return json.dumps(found, indent=2) + "\n"


def problems(name: str, text: str, ours: dict[str, Any], *, written_by_us: bool) -> list[Problem]:
    """Why a host's file cannot be merged. ``written_by_us``: nobody edited it since the last deploy, so our keys may change."""
    try:
        found = _parse(text)
    except ValueError as error:
        return [Problem(name, f"its {PATH} cannot be read ({error}): mend it, dockerd would not start with it either")]
    wrong = [
        Problem(name, f"its {PATH} sets {key} to {json.dumps(found[key])}: {why}; take that line out")
        for (key, value), why in REFUSED.items()
        if key in found and json.dumps(found[key]) == value
    ]
    if written_by_us:
        return wrong
    for key, value in ours.items():
        differs = key in found and found[key] != value
        if key == "features" and isinstance(found.get(key), dict):
            differs = any(found[key].get(inner, wanted) != wanted for inner, wanted in value.items())
        if differs:
            text = f"its {PATH} sets {key} to {json.dumps(found[key])}, and this deployment needs {json.dumps(value)}"
            wrong.append(Problem(name, f"{text}: take that line out, the deploy writes it; all other keys stay as they are"))
    return wrong
