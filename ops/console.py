"""A shell in a container, or psql: ``make console S=server``, ``make psql`` (``D=tenants``: the tenant manager's database). Said in the audit log."""

import argparse
import os
import shlex
import sys

from twentyops import access
from twentyops.settings import load
from twentyops.stack import DATABASES, PROJECT, SERVICES

SHELL = "if command -v bash > /dev/null; then exec bash; else exec sh; fi"


def program(service: str, command: list[str], *, terminal: bool) -> str:
    """Shell program for the droplet: the line for the audit log, then the command in the service's container."""
    inside = f"exec docker exec {'-it' if terminal else '-i'} {PROJECT}-{service}-1 {shlex.join(command)}"
    return f"{access.audit_line(f'console in {service}: {shlex.join(command)}')} && {inside}"


def main() -> int:
    """Become OpenSSH: its exit code is the command's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("service", nargs="?", choices=SERVICES, default="server")
    parser.add_argument(
        "--psql", choices=[database.name for database in DATABASES], help="psql in this database, as its superuser"
    )
    parser.epilog = "-- COMMAND: run this instead of a shell; with --psql: further arguments of psql"
    given, further = sys.argv[1:], list[str]()
    if "--" in given:
        at = given.index("--")
        given, further = given[:at], given[at + 1 :]
    arguments = parser.parse_args(given)
    service, command = arguments.service, further or ["sh", "-c", SHELL]
    if arguments.psql:
        service, command = "postgres", ["psql", "-U", "postgres", "-d", arguments.psql, *further]
    terminal = sys.stdin.isatty()
    argv = access.ssh_command(load(), program(service, command, terminal=terminal), terminal=terminal)
    sys.stdout.flush()
    os.execvp(argv[0], argv)  # noqa: S606 - nothing of this process is needed any more


if __name__ == "__main__":
    access.main(main)
