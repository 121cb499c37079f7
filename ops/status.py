"""What runs: ``pyinfra inventory.py ops/status.py --limit droplet``. Changes nothing."""

import time

from pyinfra import host, logger

from twentyops import facts, lock, operations, release, stack


def status() -> str | None:
    """Print release, services, lock and room; a text names the services that are not healthy."""
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
    told, outcome = operations.remote(f"docker exec {stack.PROJECT}-server-1 cat /tmp/twentyops-data-model")
    if told:
        say.append(f"data model at the server's start: {outcome.strip()}")
    counted, told = operations.remote(
        f"docker exec {stack.PROJECT}-tenant-manager-1 python -m tenant_manager tenants count 2>/dev/null"
    )
    if counted:
        say += stack.occupied(told)
    say += stack.crowded(operations.remote("docker stats --no-stream --format '{{.Name}} {{.MemPerc}} {{.MemUsage}}'")[1])
    holder = lock.read()
    if holder:
        reason = lock.left_behind(holder, time.time())
        say.append(f"locked by {holder.get('who')}" + (f"; left behind: {reason}" if reason else ""))
    for line in say:
        logger.info(f"{host.print_prefix}{line}")
    sick = [name for name in stack.SERVICES if services.get(name, {}).get("health") != "healthy"]
    return f"not healthy: {', '.join(sick)}; see docs/runbook/service-unhealthy.md" if sick else None


if "droplet" in host.groups:
    operations.control_step(name="Status", function=status, description="told")
