"""Remove a deploy's lock that was left behind: ``pyinfra inventory.py ops/unlock.py --limit droplet``. Says whose it was."""

import time

from pyinfra import host, logger

from twentyops import lock, operations


def unlock() -> str | None:
    """Remove the lock whoever holds it; the operator has decided."""
    holder = lock.read()
    if holder is None:
        logger.info(f"{host.print_prefix}there was no lock")
        return None
    started = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(holder.get("started", 0)))
    succeeded, output = operations.remote(f"rm -f {lock.PATH}")
    if not succeeded:
        return f"{lock.PATH} could not be removed: {output}"
    logger.info(f"{host.print_prefix}removed the lock of {holder.get('who')}, process {holder.get('pid')}, since {started}")
    return None


if "droplet" in host.groups:
    operations.control_step(name="Remove the deploy lock", function=unlock, description="unlocked")
