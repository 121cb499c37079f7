"""Phase 9: the data model in every workspace, proved; after the services, before anybody is told that the deploy went well."""

from pyinfra import host
from pyinfra.api import deploy

from tasks import configure, preflight
from twentyops import data_model, operations, plan, stack
from twentyops.deploying import is_deploy_file


@deploy("Data model")
def apply() -> None:
    """Apply what the image carries to every workspace; one that cannot match fails the deploy."""
    current = plan.current()
    operations.applied_data_model(
        name="Data model in every workspace",
        container=f"{stack.PROJECT}-server-1",
        model=data_model.fingerprint(data_model.load()),
        directory=lambda: current.directory,
        timeout=current.settings.migration_timeout_s,
    )


if is_deploy_file(__name__):
    preflight.check()
    if "droplet" in host.groups:
        configure.recall(plan.current())
        apply()
