"""``python -m lab.clerk --listen ADDR:PORT``: the emulator by itself, without a lab."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

from lab.clerk import addresses
from lab.clerk.server import Emulator, Kept, Secrets, Server, owner_only, read
from lab.identity import LabError


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m lab.clerk", description=__doc__)
    found.add_argument("--listen", required=True, metavar="ADDR:PORT", help="loopback or a lab's own address")
    found.add_argument("--name", default="lab", help="lab's name: the publishable key follows from it (default: %(default)s)")
    found.add_argument("--state", type=Path, metavar="FILE", help="keep the instance in this file; it holds secrets (0600)")
    found.add_argument(
        "--secrets",
        type=Path,
        metavar="FILE",
        help="JSON with secret_key, webhook_secret, admin_token for a new instance; without it they are made up",
    )
    found.add_argument("--webhook-url", metavar="URL", help="where webhooks go")
    found.add_argument("--webhook-speed", type=float, metavar="N", help="Svix's seconds per second of ours, between retries")
    found.add_argument("--home-url", metavar="URL", help="the application: where people go who came without a return address")
    found.add_argument("--script", type=Path, metavar="DIR", help="clerk-js' files, when they were fetched before")
    return found


def main(argv: list[str] | None = None) -> int:
    """Listen until ended. Prints one line of JSON with the addresses when nothing keeps the secrets (no ``--state``)."""
    args = parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    try:
        host, _, port = args.listen.rpartition(":")
        addresses.checked(f"http://{args.listen}", "--listen")
        if not port.isdecimal():
            raise LabError(f"--listen {args.listen!r}: give ADDR:PORT, such as 127.0.0.1:4400")
        emulator = Emulator(args.name, args.state, kept(args), args.script)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.state is None:
        print(json.dumps(emulator.told(f"http://{args.listen}")), flush=True)
    Server(emulator, host, int(port)).run()
    return 0


def program() -> int:
    """``main`` as a process of its own: what it writes is nobody else's."""
    owner_only()
    return main()


def kept(args: argparse.Namespace) -> Kept:
    """What the state file holds, with what the command line replaces."""
    found = read(args.state)
    if args.secrets and not (args.state and args.state.exists()):  # later ones are the instance's own: a secret may be rotated
        found.secrets = Secrets.model_validate_json(args.secrets.read_text())
    if args.webhook_url:
        found.endpoint.url = args.webhook_url
    if args.webhook_speed:
        found.endpoint.speed = args.webhook_speed
    if args.home_url:
        found.data.settings.home_url = args.home_url
    return found


if __name__ == "__main__":
    sys.exit(program())
