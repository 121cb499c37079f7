"""What the containers say: ``make logs``, ``make logs S=server``, ``make logs S=server SINCE=10m F=1``. Secrets are masked."""

import argparse
import re
import subprocess
import sys

from twentyops import access
from twentyops.settings import load
from twentyops.stack import HOME, PROJECT, SERVICES

COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
END_OF_SECRETS = "--- twentyops: the log begins ---"


def program(services: list[str], *, since: str, tail: str, follow: bool) -> str:
    """Shell program for the droplet: the secrets that it made, which must be masked, then the log."""
    options = ["--timestamps", f"--since {since}" if since else "", f"--tail {tail}", "--follow" if follow else ""]
    return (
        f'for f in {HOME}/secrets/*; do if [ -f "$f" ]; then cat "$f"; echo; fi; done; echo \'{END_OF_SECRETS}\'; '
        f"exec docker compose --ansi never --project-name {PROJECT} logs {' '.join(filter(None, options))} {' '.join(services)} 2>&1"
    )


def main() -> int:
    """Print the log, masked; ends with the exit code of the command on the droplet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("services", nargs="*", metavar="service", help=f"{', '.join(SERVICES)}; none: all")
    parser.add_argument("--since", default="", type=_duration, help="how far back: 90s, 10m, 2h")
    parser.add_argument("--tail", default="", type=_lines, help="lines of each service (default: 200, or all with --since)")
    parser.add_argument("--follow", action="store_true", help="go on until Ctrl-C")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.services) - set(SERVICES)):
        parser.error(f"no service {', '.join(unknown)}; there are {', '.join(SERVICES)}")
    settings = load()
    tail = arguments.tail or ("all" if arguments.since else "200")
    asked = program(arguments.services, since=arguments.since, tail=tail, follow=arguments.follow)
    secrets = access.secret_values(settings)
    running = subprocess.Popen(access.ssh_command(settings, asked), stdout=subprocess.PIPE, text=True, errors="replace")
    lines = iter(running.stdout or ())
    for line in lines:
        if line.rstrip("\n") == END_OF_SECRETS:
            break
        secrets.append(line.strip())
    for line in lines:
        text = access.masked(line, secrets)
        print(text if sys.stdout.isatty() else COLOUR.sub("", text), end="", flush=arguments.follow)
    if running.wait() == access.UNREACHED:
        print("the droplet could not be reached: `make status` names the setting to look at", file=sys.stderr)
    return running.returncode


def _duration(text: str) -> str:
    if not text or (text[:-1].isdigit() and text[-1] in "smh"):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no time: 90s, 10m, 2h")


def _lines(text: str) -> str:
    if not text or text == "all" or text.isdigit():
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no number of lines")


if __name__ == "__main__":
    access.main(main)
