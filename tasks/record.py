"""Phase 11: say on the droplet what runs, keep the last releases, give the lock back."""

from pyinfra import host
from pyinfra.api import deploy

from tasks import configure, preflight
from twentyops import lock, operations, plan
from twentyops.deploying import is_deploy_file


@deploy("Record")
def release() -> None:
    """Manifest and the link ``current``; an audit line; releases beyond the retention go (never a volume or a backup)."""
    current = plan.current()
    recorded = operations.release_record(
        name="Release manifest",
        directory=lambda: current.directory,
        manifest=current.manifest,
        keep=current.settings.release_retention,
    )
    current.recorded = recorded.did_change
    operations.control_step(name="Give the lock back", function=lock.give_back, description="unlocked")


if is_deploy_file(__name__):
    preflight.check()
    if "droplet" in host.groups:
        configure.recall(plan.current())
        release()
