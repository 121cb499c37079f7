#!/bin/sh
# Stands in for the official image's entrypoint: options alone start the server, root becomes redis, and protected mode is off
# unless somebody asked for it (the official image is compiled that way).
set -eu
case "${1:-}" in -*|*.conf) set -- redis-server "$@" ;; esac
if [ "${1:-}" = redis-server ]; then
  if [ "$(id -u)" = 0 ]; then
    find . \! -user redis -exec chown redis '{}' +
    exec setpriv --reuid=redis --regid=redis --init-groups "$0" "$@"
  fi
  config=
  case "${2:-}" in ''|-*) ;; *) config=$2 ;; esac
  asked=no
  case " $* " in *' --protected-mode '*) asked=yes ;; esac
  if [ -n "$config" ] && grep -Eiq '^[[:space:]]*protected-mode[[:space:]]' "$config"; then asked=yes; fi
  if [ "$asked" = no ]; then set -- "$@" --protected-mode no; fi
  if [ "$(umask)" = 0022 ]; then umask 0077; fi
fi
exec "$@"
