#!/bin/sh
# SPDX-License-Identifier: AGPL-3.0-only
#
# Beside the server that the entrypoint is about to start: waits until it is healthy, then has the data model applied to every
# workspace. The server never waits for it and never dies of it; what came of it is in the container's log and in
# /tmp/twentyops-data-model ("running", "matched" or "failed CODE"). DISABLE_CUSTOM_SCHEMA_MIGRATION=true switches it off.
# The deploy's own run is the gate; this one is for a container that is started by hand, or again.

[ "${DISABLE_CUSTOM_SCHEMA_MIGRATION:-}" = "true" ] && exit 0
case "$*" in
"node dist/src/main" | "yarn start:prod") ;;
*) exit 0 ;; # worker, migrations and commands share the entrypoint
esac

twentyops_state=${TWENTYOPS_STATE_DIR:-/tmp}/twentyops-data-model
echo running >"$twentyops_state"
if node scripts/migrate-schema.ts apply --wait "${CUSTOM_SCHEMA_MIGRATION_WAIT_S:-300}" 2>&1; then
    echo matched >"$twentyops_state"
else
    twentyops_code=$?
    echo "failed $twentyops_code" >"$twentyops_state"
    echo "twentyops: the data model is not in every workspace (exit $twentyops_code, see above); the server goes on." \
        "Next: docker exec CONTAINER node scripts/migrate-schema.ts plan"
fi
