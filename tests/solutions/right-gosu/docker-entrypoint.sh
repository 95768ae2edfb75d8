#!/bin/sh
set -e
if [ "$(id -u)" = 0 ]; then
    mkdir -p /var/lib/service
    chown -R app /var/lib/service
    exec gosu app "$0" "$@"
fi
exec "$@"
