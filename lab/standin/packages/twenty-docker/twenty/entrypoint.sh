#!/bin/sh
# The lab's stand-in for Twenty. Same contract as upstream's: an empty database is set up, workspaces are upgraded,
# cron jobs are registered, then the container's command takes over.
set -e

setup_and_migrate_db() {
    if [ "${DISABLE_DB_MIGRATIONS}" = "true" ]; then
        echo "Migrations are switched off (DISABLE_DB_MIGRATIONS)."
        return
    fi

    core_exists=$(psql -tAc "SELECT count(*) FROM pg_namespace WHERE nspname = 'core'" "${PG_DATABASE_URL}")
    if [ "$core_exists" = "0" ]; then
        echo "No schema core yet: setting up the database."
        node dist/scripts/setup-db
        yarn database:migrate:prod
    fi

    yarn command:prod upgrade
    echo "Database is set up."
}

register_background_jobs() {
    if [ "${DISABLE_CRON_JOBS_REGISTRATION}" = "true" ]; then
        echo "Cron jobs are not registered (DISABLE_CRON_JOBS_REGISTRATION)."
        return
    fi

    if yarn command:prod cron:register:all; then
        echo "Cron jobs are registered."
    else
        echo "Cron jobs could not be registered; starting without them."
    fi
}

setup_and_migrate_db
register_background_jobs

exec "$@"
