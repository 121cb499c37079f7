#!/bin/sh
# SPDX-License-Identifier: AGPL-3.0-only
#
# Migrates the database once, with a result that can be believed: docker run IMAGE twentyops-migrate
#
# Sourced by the entrypoint, so that setting up and upgrading are exactly what this version of Twenty does by itself
# (its function setup_and_migrate_db). Added to that: proof. Upstream's upgrade reports success when it has migrated
# nothing, for instance with an unknown APP_VERSION or without an active workspace.
#
# Exit codes: 0 migrated and proved   64 setting missing or malformed   65 core migrations are still pending
#             66 cron jobs not registered   67 set-up or upgrade failed   68 a workspace was left behind
#             69 database or Redis out of reach, or the state of the database cannot be told
#             70 not started through the entrypoint

twentyops_say() {
    printf 'twentyops-migrate: %s\n' "$*"
}

twentyops_stop() {
    twentyops_code=$1
    shift
    printf 'twentyops-migrate: FAILED (exit %s): %s\n' "$twentyops_code" "$*" >&2
    exit "$twentyops_code"
}

# Runs a command, shows its output, keeps it in $twentyops_log and its exit code in $twentyops_status. Errors inside stop
# it as they would in the entrypoint: for that, never call this in a condition (the shell would switch set -e off).
twentyops_run() {
    {
        set +e
        (
            set -e
            "$@"
        ) 2>&1
        printf '%s\n' "$?" >"$twentyops_work/status"
    } | tee "$twentyops_log"
    twentyops_status=$(cat "$twentyops_work/status")
}

# Asks the database, by upstream's own data source: what is pending, which workspaces there are, which are behind.
twentyops_ask() {
    if ! node /app/twentyops-migrations.cjs >"$twentyops_work/state"; then
        twentyops_stop 69 "cannot tell which migrations are pending (see above); nothing was proved"
    fi
    twentyops_pending=$(sed -n 's/^pending	//p' "$twentyops_work/state")
    twentyops_behind=$(sed -n 's/^behind	//p' "$twentyops_work/state")
    twentyops_known=$(sed -n 's/^known	//p' "$twentyops_work/state")
    twentyops_workspaces=$(grep -c '^workspace	' "$twentyops_work/state") || twentyops_workspaces=0
}

# Names on one line, for messages.
twentyops_line() {
    printf '%s' "$1" | tr '\n' ',' | sed 's/,/, /g'
}

# Lines that a command of Twenty logged as errors; it may have ended with exit code 0 all the same.
twentyops_errors() {
    grep -E "ERROR.*\[$1\]" "$twentyops_log" | head -n 5
}

# Upstream gives psql the database's address as an argument, and with it the password to everybody who lists processes.
# Where the deploy has set PGHOST, PGUSER, PGPASSWORD and PGDATABASE, psql takes the same from there.
psql() {
    if [ -n "${PGPASSWORD:-}" ]; then
        for twentyops_argument in "$@"; do
            shift
            [ "$twentyops_argument" = "$PG_DATABASE_URL" ] || set -- "$@" "$twentyops_argument"
        done
    fi
    command psql "$@"
}

command -v setup_and_migrate_db >/dev/null 2>&1 ||
    twentyops_stop 70 "start it through the image's entrypoint: docker run IMAGE twentyops-migrate"
twentyops_version=$(printf '%s' "${APP_VERSION:-}" | tr '\n' ' ')
if ! printf '%s\n' "$twentyops_version" | grep -Eqx '[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?'; then
    twentyops_stop 64 "APP_VERSION is '$twentyops_version'; expected the version of Twenty in this image, like 1.10.0" \
        "(build argument APP_VERSION). Nothing was changed."
fi
[ -n "${PG_DATABASE_URL:-}" ] || twentyops_stop 64 "PG_DATABASE_URL is not set. Nothing was changed."

twentyops_work=$(mktemp -d) || twentyops_stop 64 "no directory for temporary files (TMPDIR is '${TMPDIR:-/tmp}')"
trap 'rm -rf "$twentyops_work"' EXIT
twentyops_log=$twentyops_work/log
DISABLE_DB_MIGRATIONS=false

# Twenty's own commands would wait for Redis without end.
node /app/twentyops-migrations.cjs reach || twentyops_stop 69 "a service is out of reach (see above). Nothing was changed."

twentyops_say "[1/3] Twenty $APP_VERSION: setting up the database if it is empty, upgrading workspaces"
twentyops_run setup_and_migrate_db
[ "$twentyops_status" -eq 0 ] ||
    twentyops_stop 67 "set-up or upgrade ended with exit code $twentyops_status (see above)"
twentyops_failures=$(twentyops_errors UpgradeCommand) || twentyops_failures=""

twentyops_say "[2/3] looking for core migrations that are still pending and for workspaces left behind"
twentyops_ask
if [ -n "$twentyops_pending" ] && [ "$twentyops_workspaces" -gt 0 ]; then
    twentyops_stop 65 "the upgrade left core migrations pending: $(twentyops_line "$twentyops_pending")." \
        "Twenty upgrades one minor version at a time; workspaces that are too old: $(twentyops_line "${twentyops_behind:-none}")"
fi
if [ -n "$twentyops_behind" ]; then
    twentyops_stop 68 "not upgraded to $APP_VERSION: $(twentyops_line "$twentyops_behind"). ${twentyops_failures:-See above.}"
fi
if [ -n "$twentyops_failures" ]; then
    twentyops_stop 67 "the upgrade ended with exit code 0 but reported errors: $twentyops_failures"
fi
if [ -n "$twentyops_pending" ]; then
    twentyops_say "no active workspace, so the upgrade ran none; running them now: $(twentyops_line "$twentyops_pending")"
    twentyops_run yarn database:migrate:prod
    [ "$twentyops_status" -eq 0 ] || twentyops_stop 65 "core migrations ended with exit code $twentyops_status (see above)"
    twentyops_ask
    [ -z "$twentyops_pending" ] || twentyops_stop 65 "still pending: $(twentyops_line "$twentyops_pending")"
fi
twentyops_say "proved: all $twentyops_known core migrations are in the database, $twentyops_workspaces active or suspended workspace(s) at $APP_VERSION"

twentyops_say "[3/3] registering cron jobs"
twentyops_run yarn command:prod cron:register:all
twentyops_failures=$(twentyops_errors CronRegisterAllCommand) || twentyops_failures=""
if [ "$twentyops_status" -ne 0 ] || [ -n "$twentyops_failures" ]; then
    twentyops_stop 66 "cron jobs were not registered (exit code $twentyops_status): ${twentyops_failures:-see above}." \
        "The database is migrated."
fi
twentyops_say "done"
exit 0
