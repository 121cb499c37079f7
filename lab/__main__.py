"""``python -m lab``: up, down, status and the rest, for people and for the Makefile."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lab.identity import DEFAULT_NAME, PROJECT, LabError
from lab.rootfs import SUITES
from lab.world import Lab, every_lab, leftovers


class _Sayer(logging.Handler):
    """Passes on what the builder of the base images logs."""

    def __init__(self, say: Progress) -> None:
        super().__init__()
        self.say = say
        self.addFilter(logging.Filter("lab"))

    def emit(self, record: logging.LogRecord) -> None:
        self.say(record.getMessage())


class Progress:
    """Lines with the seconds since the start in front."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:6.1f} s] {text}", file=sys.stderr, flush=True)


def up(args: argparse.Namespace) -> int:
    say = Progress()
    say(f"lab {args.name}: up")
    logging.basicConfig(level=logging.INFO, handlers=[_Sayer(say)])
    lab = Lab(args.name, say).up(args.os, images=args.images, memory_mib=args.memory)
    say(f"registry at {lab.registry.address}")
    say(f"lab {args.name} is up; ssh -F {os.path.relpath(lab.ssh_config)} droplet")
    return 0


def down(args: argparse.Namespace) -> int:
    say = Progress()
    Lab(args.name, say, args.project).down()
    say(f"lab {args.name} is gone")
    return 0


def rehearse(args: argparse.Namespace) -> int:
    from lab import rehearse  # needs the deploy's own package, which the lab's machines do not

    say = Progress()
    return rehearse.rehearse(Lab.open(args.name, say, PROJECT), say).exit_code  # never to another checkout's lab


def bench(args: argparse.Namespace) -> int:
    from lab import bench
    from lab.twenty import Twenty

    if args.shell:
        return bench.data_model(Twenty(tuple(shlex.split(args.shell)), tuple(shlex.split(args.process_shell))), Progress())
    if args.data_model:
        return bench.data_model(bench.on_droplet(Lab.open(args.name)), Progress())
    return bench.main(args.name, Progress())


def accept(args: argparse.Namespace) -> int:
    from lab.accept import run, suites  # needs the deploy's own package too

    if args.list:
        print("\n".join(run.describe(suites.SUITES)))
        return 0
    return run.main(args.name, args.suite, Progress(), again=args.again)


def status(args: argparse.Namespace) -> int:
    lab = Lab.open(args.name)
    parts = {name: machine.running() for name, machine in lab.machines.items()}
    parts["registry"] = lab.registry.running() and lab.registry.answers()
    parts["clerk"] = lab.clerk.running() and lab.clerk.answers()
    if args.json:
        print(
            json.dumps(
                {
                    "state": lab.state().model_dump(
                        exclude={"registry": {"password"}, "clerk": {"secret_key", "webhook_secret", "admin_token"}}
                    ),
                    "running": parts,
                }
            )
        )
    else:
        for machine in lab.machines.values():
            print(f"{machine.name:10} {machine.os:9} {machine.address:15} {'up' if parts[machine.name] else 'DOWN'}")
        for name, address in (("registry", lab.registry.address), ("clerk", lab.clerk.listen)):
            print(f"{name:10} {'':9} {address:15} {'up' if parts[name] else 'DOWN'}")
    return 0 if all(parts.values()) else 1


def listing(_args: argparse.Namespace) -> int:
    for memory in every_lab():
        machines = ", ".join(memory.get("machines", {})) or "no machines"
        print(f"{memory['name']:24} 10.77.{memory.get('number', '?')}.0/24  {machines}  ({memory['project']})")
        if not Path(memory["project"]).is_dir():
            print(f"  its checkout is gone: python -m lab down --name {memory['name']} --project {memory['project']}")
    return 0


def left(args: argparse.Namespace) -> int:
    found = leftovers(args.name)
    print("\n".join(found) or f"nothing of lab {args.name} is left")
    return 1 if found else 0


def ssh(args: argparse.Namespace) -> int:
    lab = Lab.open(args.name)
    argv = lab.machine(args.machine).ssh_argv(*args.command)
    os.execvp(argv[0], argv)  # noqa: S606


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = root.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, call: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--name", default=DEFAULT_NAME, help="which lab (default: %(default)s)")
        sub.set_defaults(call=call)
        return sub

    sub = command("up", up, "make the lab, or repair what is missing of it")
    sub.add_argument("--os", choices=SUITES, default="trixie", help="Debian of the droplet (default: %(default)s)")
    sub.add_argument("--memory", type=int, metavar="MIB", help="limit the droplet's memory")
    sub.add_argument("--no-images", dest="images", action="store_false", help="leave the registry empty")
    command("rehearse", rehearse, "deploy to the lab with the real commands, and report")
    sub = command("accept", accept, "ask the real Twenty of TWENTY_SOURCE all suites that need one; exit 1 unless all was shown")
    sub.add_argument("--suite", action="append", default=[], metavar="NAME", help="only this suite (may be repeated)")
    sub.add_argument("--again", action="store_true", help="ask also what has a result for this release")
    sub.add_argument("--list", action="store_true", help="the suites, and what each needs; asks nothing")
    sub = command("bench", bench, "times and memory of a deploy beside their goals, measured here in a lab of its own")
    sub.set_defaults(name="bench")
    sub.add_argument("--data-model", action="store_true", help="only the data model, on the lab --name, which is up and stays up")
    sub.add_argument(
        "--shell", default="", help="only the data model, on a server that runs elsewhere: command that starts sh beside it"
    )
    sub.add_argument("--process-shell", default="", help="the same where a second process of the server's size has room")
    sub = command("down", down, "leave this machine as it was")
    sub.add_argument("--project", type=Path, default=PROJECT, help="checkout that the lab belongs to (default: this one)")
    command("status", status, "what runs").add_argument("--json", action="store_true")
    command("list", listing, "labs of every checkout")
    command("leftovers", left, "what of the lab is in the kernel or on the disk; exit 1 when something is")
    sub = command("ssh", ssh, "a shell, or one command, on a machine")
    sub.add_argument("machine", nargs="?", default="droplet")
    sub.add_argument("command", nargs=argparse.REMAINDER)
    return root


def main(argv: list[str] | None = None) -> int:
    """Run one command; a LabError becomes one message and exit 1."""
    args = parser().parse_args(argv)
    try:
        code: int = args.call(args)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here, python -m lab down removes what there is", file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
