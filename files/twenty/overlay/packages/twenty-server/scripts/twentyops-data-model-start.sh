#!/bin/sh
# SPDX-License-Identifier: AGPL-3.0-only
#
# Beside the server that the entrypoint is about to start: waits until it is healthy, then has the data model applied to every
# workspace. The server never waits for it and never dies of it; what came of it is in the container's log and, as one line, in
# /tmp/twentyops-data-model: "running since ...", "matched: ...", "failed CODE: ..." or "off: ...". The container's health check
# prints that line; a later apply in the same container replaces it. DISABLE_CUSTOM_SCHEMA_MIGRATION=true switches the run off.
# The deploy's own run is the gate; this one is for a container that is started by hand, or again.

case "$*" in
"node dist/src/main" | "yarn start:prod") ;;
*) exit 0 ;; # worker, migrations and commands share the entrypoint
esac

twentyops_state=${TWENTYOPS_STATE_DIR:-/tmp}/twentyops-data-model
if [ "${DISABLE_CUSTOM_SCHEMA_MIGRATION:-}" = "true" ]; then
    echo "off: DISABLE_CUSTOM_SCHEMA_MIGRATION is true" >"$twentyops_state"
    exit 0
fi
twentyops_running="running since $(date -u +%Y-%m-%dT%H:%M:%SZ)"
echo "$twentyops_running" >"$twentyops_state"
node scripts/migrate-schema.ts apply --wait "${CUSTOM_SCHEMA_MIGRATION_WAIT_S:-300}" 2>&1
twentyops_code=$?
# the command says it in its own words; where it could not (it was killed, or did not start), it is said here
if [ "$(cat "$twentyops_state")" = "$twentyops_running" ]; then
    if [ "$twentyops_code" -eq 0 ]; then
        echo matched >"$twentyops_state"
    else
        echo "failed $twentyops_code: the command ended before it could say why; see the container's log" >"$twentyops_state"
    fi
fi
if [ "$twentyops_code" -ne 0 ]; then
    echo "twentyops: the data model is not in every workspace (exit $twentyops_code, see above); the server goes on." \
        "Next: docker exec CONTAINER node scripts/migrate-schema.ts plan"
fi
