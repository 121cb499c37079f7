"""Phase 8: data services, Twenty's migrations, server, worker, proxy; each healthy before the next."""

from pyinfra import host
from pyinfra.api import deploy

from tasks import configure, preflight
from twentyops import operations, plan, stack
from twentyops.deploying import is_deploy_file


@deploy("Services")
def roll_out() -> None:
    """Bring every service to the release; what is there already is left alone."""
    current = plan.current()
    for step in stack.ORDER:
        operations.compose_services(
            name=f"Run {', '.join(step)}",
            project=stack.PROJECT,
            directory=lambda: current.directory,
            wanted=current.service_hashes,
            services=step,
            timeout=current.settings.health_timeout_s,
        )
        if "postgres" in step:
            _prepare_database(current)


def _prepare_database(current: plan.Plan) -> None:
    operations.postgres_database(
        name="Twenty's database",
        container=f"{stack.PROJECT}-postgres-1",
        database=stack.DATABASE,
        password=lambda: current.secrets["twenty_database_password"],
    )
    operations.twenty_migrations(
        name="Twenty's migrations",
        project=stack.PROJECT,
        directory=lambda: current.directory,
        image=lambda: current.image,
        database=stack.DATABASE,
        timeout=current.settings.migration_timeout_s,
    )


if is_deploy_file(__name__):
    preflight.check()
    if "droplet" in host.groups:
        configure.release()
        roll_out()
