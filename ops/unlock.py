"""Remove a deploy's lock that was left behind: ``make unlock``. Says whose it is, and asks where a person can answer (``-y``: does not)."""

from gevent import monkey

monkey.patch_all()  # as pyinfra's own command does, before anything else is imported

import argparse  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

from twentyops import access, lock, operations  # noqa: E402
from twentyops.settings import load  # noqa: E402


def main() -> int:
    """Remove the lock whoever holds it: the operator has decided."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-y", "--yes", action="store_true", help="remove it without a question")
    arguments = parser.parse_args()
    with access.droplet(load()):
        holder = lock.read()
        if holder is None:
            print("there was no lock")
            return 0
        started = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(holder.get("started", 0)))
        reason = lock.left_behind(holder, time.time()) or "still within its time: is that deploy known to be dead?"
        whose = f"the lock of {holder.get('who')}, process {holder.get('pid')}, since {started}"
        if not arguments.yes:
            print(f"{whose}; {reason}")
            if not sys.stdin.isatty():
                print("Nothing was changed. Next: the same with -y removes it", file=sys.stderr)
                return 1
            if input("Remove it? [y/N] ").strip().lower() != "y":
                print("Nothing was changed")
                return 1
        succeeded, output = operations.remote(f"rm -f {lock.PATH} && {access.audit_line('unlocked: ' + whose)}")
        if not succeeded:
            print(f"{lock.PATH} could not be removed: {output}", file=sys.stderr)
            return 1
        print(f"removed {whose}")
        return 0


if __name__ == "__main__":
    access.main(main)
