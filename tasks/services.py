"""Phase 8: data services, migrations, server, worker, tenant manager, proxy; each healthy before the next."""

from functools import partial

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
        if "caddy" in step:
            operations.volume_handover(
                name="Certificates belong to the proxy's user",
                project=stack.PROJECT,
                service="caddy-volume",
                volume="caddy-state",
                owner=stack.CADDY_USER,
                directory=lambda: current.directory,
            )
        operations.compose_services(
            name=f"Run {', '.join(step)}",
            project=stack.PROJECT,
            directory=lambda: current.directory,
            wanted=current.service_hashes,
            services=step,
            timeout=current.settings.health_timeout_s,
        )
        if "postgres" in step:
            _prepare_databases(current)


def _prepare_databases(current: plan.Plan) -> None:
    operations.sorted_again(name="Order of the databases' indexes", container=f"{stack.PROJECT}-postgres-1")
    for database in stack.DATABASES:
        operations.postgres_database(
            name=f"Database {database.name}",
            container=f"{stack.PROJECT}-postgres-1",
            database=database.name,
            password=partial(lambda secret: current.secrets[secret], database.secret),
        )
        operations.database_migrations(
            name=f"Migrations of {database.name}",
            project=stack.PROJECT,
            service=database.migrated_by,
            directory=lambda: current.directory,
            image=partial(lambda service: current.images[service], database.serves),
            database=database.name,
            timeout=current.settings.migration_timeout_s,
        )


if is_deploy_file(__name__):
    preflight.check()
    if "droplet" in host.groups:
        configure.release()
        roll_out()
