"""``python -m lab.images build|push``: the base images of the lab by hand."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.identity import LabError
from lab.images import BuildError, PushError, ensure
from lab.images.store import build


@dataclass(frozen=True)
class _Registry:
    address: str
    username: str
    password: str
    ca_file: Path


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 1 with one message on standard error. Prints a JSON object ``{name: where it is}``."""
    parser = argparse.ArgumentParser(prog="python -m lab.images", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    builder = commands.add_parser("build", help="into the cache only")
    pusher = commands.add_parser("push", help="into a registry; password in LAB_REGISTRY_PASSWORD")
    pusher.add_argument("--registry", required=True, help="host:port")
    pusher.add_argument("--username", required=True)
    pusher.add_argument("--ca-file", required=True, type=Path)
    for command in (builder, pusher):
        command.add_argument("names", nargs="*", metavar="IMAGE", help="default: all")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    names = tuple(given.names)
    try:
        if given.command == "build":
            result = {name: str(folder) for name, (_, folder) in build(names).items()}
        else:
            password = os.environ.get("LAB_REGISTRY_PASSWORD", "")
            if not password:
                parser.error("LAB_REGISTRY_PASSWORD is not set")
            result = ensure(_Registry(given.registry, given.username, password, given.ca_file), names)
    except (BuildError, LabError, PushError, ValueError) as refused:
        print(f"lab.images: {refused}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
