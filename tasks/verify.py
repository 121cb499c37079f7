"""Phase 10: the smoke suite, from the control machine against the droplet's public address."""

from pyinfra import host
from pyinfra.api import deploy

from twentyops import operations, plan, smoke
from twentyops.deploying import is_deploy_file


@deploy("Verify")
def smoke_suite() -> None:
    """Run tests/smoke; a failed check fails the deploy."""
    current = plan.current()
    data = operations.host_data()
    operations.control_step(
        name="Smoke suite", function=lambda: smoke.run(current, host.name, data), description="every check passed"
    )


if is_deploy_file(__name__):
    smoke_suite()
