"""Phase 10: the smoke suite, from the control machine against the droplet's public address."""

from pyinfra import host
from pyinfra.api import deploy

from tasks import configure, preflight
from twentyops import operations, plan, smoke, stack
from twentyops.deploying import is_deploy_file


@deploy("Verify")
def smoke_suite() -> None:
    """Run tests/smoke; a failed check fails the deploy and puts the release before back."""
    current = plan.current()
    data = operations.host_data()

    def prove() -> str | None:
        problem = smoke.run(current, data)
        return problem and "\n".join([problem, *operations.put_back(current.directory, list(stack.SERVICES))])

    operations.control_step(name="Smoke suite", function=prove, description="every check passed")


if is_deploy_file(__name__):
    preflight.check()
    if "droplet" in host.groups:
        configure.recall(plan.current())
        smoke_suite()
