#!/bin/sh
set -eu
mkdir -p /var/lib/service && chown 10001:10001 /var/lib/service
exec setpriv --reuid=10001 --regid=10001 --clear-groups "$@"
