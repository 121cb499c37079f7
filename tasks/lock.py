"""Phase 2: one live deploy at a time."""

from pyinfra import host
from pyinfra.api import deploy

from twentyops import lock, operations, plan
from twentyops.deploying import is_deploy_file


@deploy("Lock")
def acquire() -> None:
    """Take the lock on the droplet; given back when the run ends, however it ends."""
    minutes = plan.current().settings.lock_minutes
    operations.control_step(name="Take the deploy lock", function=lambda: lock.acquire(minutes), description="locked")


if is_deploy_file(__name__) and "droplet" in host.groups:
    acquire()
