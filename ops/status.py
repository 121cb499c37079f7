"""What runs on the droplet: ``make status``. Changes nothing; exit code 1 where something is not as it should be."""

from gevent import monkey

monkey.patch_all()  # as pyinfra's own command does, before anything else is imported

import sys  # noqa: E402
import time  # noqa: E402

from pyinfra import host  # noqa: E402

from twentyops import access, facts, firewall, lock, operations, release, stack  # noqa: E402
from twentyops.settings import load  # noqa: E402


def status() -> tuple[list[str], list[str]]:
    """(release, services, lock and room as lines, what is not as it should be)."""
    manifest = release.Manifest.from_json(host.get_fact(facts.ReleaseManifest))
    services = host.get_fact(facts.ComposeServices, project=stack.PROJECT)
    state = host.get_fact(facts.HostState)
    say = [f"{state['os']} {state['os_version']}, {state['memory_mb']} MB of memory, {state['disk_mb']} MB of disk free"]
    if manifest:
        say.append(
            f"release {manifest.id}: Twenty {manifest.twenty_version} ({manifest.twenty_commit[:17]}) at {manifest.public_url}"
        )
        say.append(f"deployed {manifest.deployed_at} by {manifest.deployed_by}")
    else:
        say.append("no release is recorded: nothing was deployed, or the first deploy did not end well")
    for name in stack.SERVICES:
        found = services.get(name)
        if found is None:
            say.append(f"{name:<14} no container")
            continue
        as_recorded = not manifest or manifest.images.get(name) == found["image"]
        say.append(
            f"{name:<14} {found['state']}, {found['health'] or 'no health'}{'' if as_recorded else ', another image than recorded'}"
        )
    said, outcome = operations.remote(f"docker exec {stack.PROJECT}-server-1 cat {facts.DATA_MODEL_OUTCOME}")
    if said:
        say.append(f"data model at the server's start: {outcome.strip()}")
    counted, counts = operations.remote(
        f"docker exec {stack.PROJECT}-tenant-manager-1 python -m tenant_manager tenants count 2>/dev/null"
    )
    if counted:
        say += stack.occupied(counts)
    say += stack.crowded(operations.remote("docker stats --no-stream --format '{{.Name}} {{.MemPerc}} {{.MemUsage}}'")[1])
    holder = lock.read()
    if holder:
        reason = lock.left_behind(holder, time.time())
        say.append(f"locked by {holder.get('who')}" + (f"; left behind: {reason}" if reason else ""))
    sick = [name for name in stack.SERVICES if services.get(name, {}).get("health") != "healthy"]
    wrong = [f"not healthy: {', '.join(sick)}; see docs/runbook/service-unhealthy.md"] if sick else []
    remedy = f"systemctl reload-or-restart {firewall.UNIT} on the droplet, or deploy again"
    wrong += [f"packet filter: table {table} is not loaded, so containers reach what it closes: {remedy}" for table in unloaded()]
    return say, wrong


def unloaded() -> list[str]:
    """Tables of the packet filter that lie on the droplet and are not in its kernel."""
    _, text = operations.remote(f"cat {firewall.DIRECTORY}/*.nft 2> /dev/null; echo --; nft list tables 2> /dev/null")
    lying, _, loaded = text.rpartition("\n--")
    return [table for table in firewall.tables({"": lying}) if f"table {table}" not in loaded.splitlines()]


def main() -> int:
    """Print the state, and to standard error what is wrong with it."""
    with access.droplet(load()):
        say, wrong = status()
    print("\n".join(say))
    sys.stdout.flush()
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    access.main(main)
