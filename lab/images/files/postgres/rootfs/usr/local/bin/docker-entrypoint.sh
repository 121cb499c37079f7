#!/usr/bin/env bash
# Stands in for the official image's entrypoint: same variables, same users, same init scripts. Unlike it, a first start that
# is killed at any moment begins anew: the cluster is made in a folder beside its place and moved there when it is complete.
set -Eeuo pipefail

die() { printf 'postgres entrypoint: %s\n' "$*" >&2; exit 1; }

# VAR or the content of the file that VAR_FILE names, else a default
file_env() {
  local name=$1 file="${1}_FILE" default=${2:-}
  if [ -n "${!name:-}" ] && [ -n "${!file:-}" ]; then die "both $name and $file are set; give one"; fi
  if [ -n "${!file:-}" ]; then
    [ -r "${!file}" ] || die "$file names ${!file}, which cannot be read"
    export "$name=$(< "${!file}")"
  else
    export "$name=${!name:-$default}"
  fi
  unset "$file"
}

prepare_folders() {
  mkdir -p "$PGDATA" /var/run/postgresql
  chmod 0700 "$PGDATA" 2>/dev/null || [ "$(id -u)" != 0 ] || die "cannot set the mode of $PGDATA"
  if [ "$(id -u)" = 0 ]; then
    find "$PGDATA" /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
    chmod 3777 /var/run/postgresql
  fi
}

run_init_scripts() {
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) if [ -x "$file" ]; then echo "running $file"; "$file"; else echo "sourcing $file"; . "$file"; fi ;;
      *.sql) echo "running $file"; init_sql -f "$file" ;;
      *.sql.gz) echo "running $file"; gunzip -c "$file" | init_sql ;;
      '/docker-entrypoint-initdb.d/*') ;;
      *) echo "ignoring $file" ;;
    esac
  done
}

init_sql() { psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" "$@"; }

# a whole cluster in $1: initdb, database, init scripts, access rules; stopped cleanly at the end
make_cluster() {
  local data=$1 method=${POSTGRES_HOST_AUTH_METHOD:-}
  file_env POSTGRES_PASSWORD
  file_env POSTGRES_USER postgres
  file_env POSTGRES_DB "$POSTGRES_USER"
  file_env POSTGRES_INITDB_ARGS
  [ -n "$POSTGRES_PASSWORD" ] || [ "$method" = trust ] || die "the database is not initialised and POSTGRES_PASSWORD is not set"
  # shellcheck disable=SC2086 -- arguments by words, as the official image takes them
  initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") --pgdata="$data" $POSTGRES_INITDB_ARGS
  printf "listen_addresses = '*'\nunix_socket_directories = '/var/run/postgresql'\n" >> "$data/postgresql.conf"
  printf '\nhost all all all %s\n' "${method:-$(postgres -C password_encryption -D "$data")}" >> "$data/pg_hba.conf"
  export PGPASSWORD=$POSTGRES_PASSWORD
  PGDATA=$data pg_ctl --pgdata="$data" -o "-c listen_addresses=''" --wait start
  if [ "$POSTGRES_DB" != postgres ]; then
    POSTGRES_DB=postgres init_sql --set db="$POSTGRES_DB" <<< 'CREATE DATABASE :"db";'
  fi
  PGDATA=$data run_init_scripts
  PGDATA=$data pg_ctl --pgdata="$data" --mode=fast --wait stop
  unset PGPASSWORD
}

initialise() {
  local draft=$PGDATA/.initialising stray
  if [ -s "$PGDATA/PG_VERSION" ]; then
    rm -rf "$draft"
    echo 'PostgreSQL Database directory appears to contain a database; Skipping initialization'
    return
  fi
  if [ ! -e "$draft/.complete" ]; then
    stray=$(find "$PGDATA" -mindepth 1 -maxdepth 1 \! -name .initialising \! -name lost+found -print -quit)
    [ -z "$stray" ] || die "$PGDATA is not empty and holds no cluster ($stray)"
    rm -rf "$draft"
    mkdir -m 0700 "$draft"
    make_cluster "$draft"
    # initdb and the clean stop have written the rest through to the disk
    sync "$draft"/*.conf
    touch "$draft/.complete"
    sync "$draft/.complete" "$draft"
  fi
  # PG_VERSION moves last: only with it the folder counts as a cluster
  find "$draft" -mindepth 1 -maxdepth 1 \! -name PG_VERSION \! -name .complete -exec mv -t "$PGDATA" '{}' +
  sync "$PGDATA"
  mv "$draft/PG_VERSION" "$PGDATA/"
  sync "$PGDATA"
  rm -rf "$draft"
  echo 'PostgreSQL init process complete; ready for start up.'
}

if [ $# -eq 0 ] || [ "${1:0:1}" = - ]; then set -- postgres "$@"; fi
if [ "$1" = postgres ]; then
  for argument in "$@"; do
    case $argument in -\?|--help|--describe-config|-V|--version) exec "$@" ;; esac
  done
  prepare_folders
  if [ "$(id -u)" = 0 ]; then exec setpriv --reuid=postgres --regid=postgres --init-groups "$BASH_SOURCE" "$@"; fi
  initialise
fi
exec "$@"
