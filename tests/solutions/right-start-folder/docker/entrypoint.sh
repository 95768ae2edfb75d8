#!/bin/sh
set -eu
. /docker/functions.sh
case "${1:-web}" in
    web) announce web; exec gunicorn --config /docker/server.py app.wsgi:app ;;
    *) exec "$@" ;;
esac
