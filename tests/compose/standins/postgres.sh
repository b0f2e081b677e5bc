#!/bin/sh
# Makes the cluster at the first start, as the official image does, and runs it.
set -eu
data=/var/lib/postgresql/data
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$data" && chown postgres "$data"
  exec setpriv --reuid=postgres --regid=postgres --clear-groups "$0"
fi
if [ ! -s "$data/PG_VERSION" ]; then
  # shellcheck disable=SC2086  # several words
  initdb --pgdata="$data" --username="$POSTGRES_USER" --auth=trust $POSTGRES_INITDB_ARGS
  echo "host all all all ${POSTGRES_HOST_AUTH_METHOD}" >>"$data/pg_hba.conf"
  pg_ctl --pgdata="$data" --wait --options="-c listen_addresses= -k /tmp" start
  createdb --host=/tmp --username="$POSTGRES_USER" "$POSTGRES_DB" || [ "$POSTGRES_DB" = "$POSTGRES_USER" ]
  pg_ctl --pgdata="$data" --wait stop
fi
exec postgres -D "$data" -c listen_addresses='*' -k /tmp
