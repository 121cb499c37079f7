"""Phase 4: Twenty at its ref, patched. The control machine does it while planning (plan.py), so that drift stops the run
before any host changes; here the result is only told."""

from pyinfra import host
from pyinfra.api import deploy

from twentyops import operations, plan
from twentyops.deploying import is_deploy_file


@deploy("Source")
def tell() -> None:
    """Say which source the release is made from."""
    current = plan.current()
    operations.control_step(
        name=f"Source {current.source.commit[:17]} + patchset = {current.twenty.tag[:12]}",
        function=lambda: None,
        description="known",
    )


if is_deploy_file(__name__) and "builder" in host.groups:
    tell()
